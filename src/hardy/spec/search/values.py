"""Which values a searched path takes: membership, words, count."""

import json
import math
from collections.abc import Iterable
from decimal import Decimal

from hardy.spec.search.spec import (
    Categorical,
    Distribution,
    FloatRange,
    Grid,
    IntRange,
    Scalar,
    SearchSpec,
)

_NEAR = 1e-8  # of a step, as Optuna has it


def same(a: object, b: object) -> bool:
    """Whether two values are the same one: `true` is no 1."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def label_in(spec: Distribution, value: object) -> tuple[Scalar] | None:
    """Return a value as a study knows it, alone in a tuple; None if it is none of a space's.

    Args:
        spec: The values.
        value: A choice or its label; of a range, a number.
    """
    if isinstance(spec, Categorical):
        for choice, label in zip(spec.choices, spec.labels, strict=True):
            scalar = value is None or isinstance(value, bool | int | float | str)
            if same(label, value) if scalar else choice == value:
                return (label,)
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if not spec.low <= value <= spec.high:
        return None
    if isinstance(spec, IntRange) and value != int(value):
        return None
    if spec.step is not None:
        steps = (value - spec.low) / spec.step
        if abs(steps - round(steps)) >= _NEAR:
            return None
    return (int(value),) if isinstance(spec, IntRange) else (float(value),)


def words(spec: Distribution) -> str:
    """Say which values there are."""
    if isinstance(spec, Categorical):
        return f"one of {', '.join(map(_text, spec.labels))}"
    step = "" if spec.step in (None, 1) else f" in steps of {spec.step:g}"
    log = " on a logarithmic scale" if spec.log else ""
    kind = "a whole number" if isinstance(spec, IntRange) else "a number"
    return f"{kind} from {spec.low:g} to {spec.high:g}{step or log}"


def where(spec: Distribution) -> str:
    """Say under which values of other paths these count; an empty text where they always do."""
    conditions = [
        f"{path} is {' or '.join(map(_text, wanted if isinstance(wanted, tuple) else (wanted,)))}"
        for path, wanted in (spec.when or {}).items()
    ]
    return f", where {' and '.join(conditions)}" if conditions else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def last_step(spec: FloatRange | IntRange) -> float:
    """Return the largest value that the steps of a range reach, counted in decimals."""
    low, high = Decimal(str(spec.low)), Decimal(str(spec.high))
    if spec.step is None:
        return spec.high
    return float(high - (high - low) % Decimal(str(spec.step)))


def points(space: Iterable[Distribution]) -> int | None:
    """Return how many combinations of values there are; None where they are not countable."""
    counts = [_count(spec) for spec in space]
    return None if None in counts else math.prod(count for count in counts if count is not None)


def most_trials(spec: SearchSpec) -> int:
    """Return how many trials a search makes, unless time or samples end it before."""
    there = points(spec.space.values()) if isinstance(spec.sampler, Grid) else None
    return spec.budget.trials if there is None else min(spec.budget.trials, there)


def _count(spec: Distribution) -> int | None:
    if isinstance(spec, Categorical):
        return len(spec.choices)
    if spec.log or spec.step is None:
        return None
    return math.floor((spec.high - spec.low) / spec.step + _NEAR) + 1
