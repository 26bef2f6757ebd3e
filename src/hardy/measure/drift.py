"""Whether a second run gave the numbers of the first: metric by metric, sample by sample."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pandas as pd

from hardy.measure.records import TIMING

_KEY = ("sample", "dataset", "shift")


@dataclass(frozen=True)
class Change:
    """One value, then and now; None where there is none.

    Attributes:
        name: The metric, or the records' column.
        then: What the first run recorded.
        now: What the second run recorded.
        drifted: Whether the two differ by more than the tolerance.
    """

    name: str
    then: Any
    now: Any
    drifted: bool

    @property
    def distance(self) -> float:
        """Absolute difference; infinite where the values cannot be subtracted and differ."""
        if _is_number(self.then) and _is_number(self.now):
            return abs(float(self.now) - float(self.then))
        return float("inf") if self.drifted else 0.0


@dataclass(frozen=True)
class SampleDrift:
    """A sample that drifted, and in what; no changes where only one run has the sample."""

    sample: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Drift:
    """What came of a comparison.

    Attributes:
        metrics: Every metric of the first run, timings aside.
        samples: The samples that drifted, in the first run's order.
        sample_count: Samples compared.
    """

    metrics: tuple[Change, ...]
    samples: tuple[SampleDrift, ...]
    sample_count: int

    @property
    def drifted(self) -> bool:
        """Whether any number left the tolerance."""
        return bool(self.samples) or any(change.drifted for change in self.metrics)


def compare(
    then: tuple[Mapping[str, float], pd.DataFrame],
    now: tuple[Mapping[str, float], pd.DataFrame],
    tolerance: float = 0.0,
    following: Sequence[str] = (),
) -> Drift:
    """Compare the metrics and the records of two runs of the same spec.

    What the first run recorded must come back; what only the second one has is no drift. Times
    are left out. With a tolerance, predictions and other whole numbers must still be equal, but
    fields that follow from others, such as ranks from probabilities, are left out.

    Args:
        then: Metrics and records of the first run.
        now: Metrics and records of the second run.
        tolerance: Largest absolute difference of a number that is no drift, at least 0.
        following: The task's fields of an answer that follow from its others.
    """
    metrics = [
        _change(name, value, now[0].get(name), tolerance)
        for name, value in sorted(then[0].items())
        if not is_time(name)
    ]
    return Drift(
        tuple(metrics), tuple(_samples(then[1], now[1], tolerance, following)), len(then[1])
    )


def is_time(metric: str) -> bool:
    """Tell whether a metric says how long something took, or what the machine did meanwhile."""
    return "second" in metric or metric.startswith("system/") or metric == "train/waiting"


def _samples(
    then: pd.DataFrame, now: pd.DataFrame, tolerance: float, following: Sequence[str]
) -> Iterator[SampleDrift]:
    jumping = tuple(f".{field}" for field in following) if tolerance else ()
    columns = [
        str(name)
        for name in then.columns
        if not str(name).startswith(TIMING) and name not in _KEY and not str(name).endswith(jumping)
    ]
    before, after = _by_key(then), _by_key(now)
    for key, row in before.items():
        other = after.get(key)
        values = other if other is not None else {}
        changes = [_change(c, row[c], values.get(c), tolerance) for c in columns]
        drifted = tuple(change for change in changes if change.drifted)
        if other is None or drifted:
            yield SampleDrift(key[0], drifted if other is not None else ())
    yield from (SampleDrift(key[0], ()) for key in after if key not in before)


def _by_key(frame: pd.DataFrame) -> dict[tuple[str, ...], dict[str, Any]]:
    rows: list[dict[str, Any]] = frame.to_dict(orient="records")  # type: ignore[assignment]
    return {tuple(str(row.get(name)) for name in _KEY): row for row in rows}


def _change(name: str, then: Any, now: Any, tolerance: float) -> Change:  # noqa: ANN401
    then, now = _plain(then), _plain(now)
    return Change(name, then, now, not _agree(then, now, tolerance))


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return a cell as Python has it; whatever says "no value" becomes None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if value is pd.NA or value != value else value


def _agree(then: Any, now: Any, tolerance: float) -> bool:  # noqa: ANN401
    if isinstance(then, list) and isinstance(now, list):
        pairs = zip(then, now, strict=False)
        return len(then) == len(now) and all(_agree(a, b, tolerance) for a, b in pairs)
    # A prediction is a whole number: near is as wrong as far.
    if any(isinstance(value, float) for value in (then, now)) and all(map(_is_number, (then, now))):
        return abs(float(then) - float(now)) <= tolerance
    return bool(then == now)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def largest(drift: Drift, count: int) -> list[tuple[str, Change]]:
    """Return the samples that drifted most, each with its largest change; absent samples first."""
    absent = [
        (s.sample, Change("sample", "present", "absent", drifted=True))
        for s in drift.samples
        if not s.changes
    ]
    worst = [
        (s.sample, max(s.changes, key=lambda c: c.distance)) for s in drift.samples if s.changes
    ]
    worst.sort(key=lambda pair: -pair[1].distance)
    return list(chain(absent, worst))[:count]
