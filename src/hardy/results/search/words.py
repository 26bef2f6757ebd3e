"""How a search's paths, values and trials are written."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hardy.results.search.trial import Trial
from hardy.spec.dump import scalar
from hardy.spec.search.spec import Categorical, Constraint, Scalar, SearchSpec


def constraint_name(constraint: Constraint) -> str:
    """Return what a constraint wants, such as `ece at most 0.1`."""
    if constraint.at_most is not None:
        return f"{constraint.metric} at most {constraint.at_most:g}"
    return f"{constraint.metric} at least {constraint.at_least:g}"


def value_text(spec: SearchSpec, path: str, value: Scalar) -> str:
    """Return a searched value as a spec has it, every digit of it."""
    if isinstance(value, float):
        return number(value)
    each = spec.space.get(path)
    # The label of a list or a mapping is its own text already.
    if isinstance(each, Categorical) and value not in each.choices:
        return str(value)
    return scalar(value)


def value_cell(spec: SearchSpec, path: str, value: Scalar, most: int = 20) -> str:
    """Return a searched value in few characters."""
    text = f"{value:.4g}" if isinstance(value, float) else value_text(spec, path, value)
    return text if len(text) <= most else text[: most - 1] + "…"


def number(value: float) -> str:
    """Return every digit of a number, and nothing for NaN."""
    return "" if math.isnan(value) else repr(float(value))


def interval(trial: Trial, objective: int) -> tuple[float, float] | None:
    """Return an objective's 95 % interval; None where there is none."""
    if objective >= len(trial.intervals) or any(map(math.isnan, trial.intervals[objective])):
        return None
    return trial.intervals[objective]


def objective_text(trial: Trial, objective: int, *, bounds: bool = True) -> str:
    """Return an objective with its interval, or what became of the trial."""
    if not trial.objectives:
        return trial.state
    text = f"{trial.objectives[objective]:.4g}"
    found = interval(trial, objective) if bounds else None
    return f"{text} [{found[0]:.4g}, {found[1]:.4g}]" if found else text


def short_paths(paths: Iterable[str]) -> dict[str, str]:
    """Return for each path its shortest end that no other path has."""
    parts = {path: path.split(".") for path in paths}
    found = {}
    for path, own in parts.items():
        others = [other for name, other in parts.items() if name != path]
        ends = range(1, len(own))
        count = next((n for n in ends if all(o[-n:] != own[-n:] for o in others)), len(own))
        found[path] = ".".join(own[-count:])
    return found


def counts(trials: Sequence[Trial]) -> str:
    """Say how many trials there are, and what became of them."""
    number_of = {
        state: sum(trial.state == state for trial in trials)
        for state in ("complete", "pruned", "failed", "running")
    }
    missing = sum(trial.state == "complete" and not trial.feasible for trial in trials)
    text = (
        f"{len(trials)} trials: {number_of['complete']} finished, {number_of['pruned']} pruned, "
        f"{number_of['failed']} failed"
    )
    if missing:
        text = text.replace("finished", f"finished ({missing} miss a constraint)")
    return f"{text}, {number_of['running']} still running" if number_of["running"] else text


@dataclass(frozen=True)
class Saving:
    """What pruning spared, against the median of the trials that finished.

    Attributes:
        pruned: Trials that were pruned.
        samples: Samples that these did not answer for.
        share: The same, of the samples that all trials would have taken.
        seconds: Time that they did not take.
    """

    pruned: int
    samples: int
    share: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"pruning saved about {self.samples:,} samples ({100 * self.share:.0f} %) and "
            f"{self.seconds:,.0f} s: {self.pruned} trials stopped early, against the median of "
            "those that finished"
        )


def saving(trials: Sequence[Trial]) -> Saving | None:
    """Return what pruning spared; None where no trial was pruned, or none finished."""
    whole = [trial for trial in trials if trial.state == "complete"]
    pruned = [trial for trial in trials if trial.state == "pruned"]
    if not whole or not pruned:
        return None
    samples = statistics.median(trial.samples for trial in whole)
    seconds = statistics.median(trial.seconds for trial in whole)
    spared = round(sum(max(0, samples - trial.samples) for trial in pruned))
    taken = sum(trial.samples for trial in trials)
    return Saving(
        pruned=len(pruned),
        samples=spared,
        share=spared / (taken + spared) if taken + spared else 0.0,
        seconds=sum(max(0.0, seconds - trial.seconds) for trial in pruned),
    )
