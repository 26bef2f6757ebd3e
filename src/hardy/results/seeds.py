"""Runs that differ in their seed alone: the mean of each metric, and how far trainings scatter.

The 95 % interval is Student's t over the seeds, mean ± t(0.975, R - 1) s / √R of R runs with the
standard deviation s. It tells how sure one is of another training's mean; how sure the samples make
a single run is that run's own interval.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hardy.results.stored import StoredUnit, by_experiment
from hardy.spec import Resolved


@dataclass(frozen=True)
class OverSeeds:
    """One metric over R seeds.

    Attributes:
        name: The experiment's.
        answer: Whose metric it is.
        metric: Its plain name.
        runs: R, at least 2.
        mean: Over the runs.
        sd: Their standard deviation, by 1 / (R - 1).
        low: Lower end of the mean's 95 % interval.
        high: Its upper end.
    """

    name: str
    answer: str
    metric: str
    runs: int
    mean: float
    sd: float
    low: float
    high: float


def over_seeds(resolved: Resolved, units: Sequence[StoredUnit]) -> Iterator[OverSeeds]:
    """Yield the metrics that tables show and specs expect, of each experiment run with many seeds.

    Args:
        resolved: What was run: a matrix or a suite.
        units: Its units, in order.
    """
    for experiment, own in by_experiment(resolved, units):
        for alike in differing_in_seeds(own):
            first = alike[0]
            expected = (each.metric for each in first.experiment.expect)
            for metric in dict.fromkeys((*first.task.tabled, *expected)):
                found = of_metric(experiment.name, alike, metric)
                if found is not None:
                    yield found


def differing_in_seeds(units: Sequence[StoredUnit]) -> list[list[StoredUnit]]:
    """Return the runs whose specs are the same but for the seed, where there are several seeds."""
    found: dict[str, list[StoredUnit]] = {}
    for unit in units:
        others = unit.experiment.model_copy(update={"seed": 0, "name": ""})
        key = others.model_dump_json()
        found.setdefault(key, []).append(unit)
    return [own for own in found.values() if len({unit.experiment.seed for unit in own}) > 1]


def of_metric(name: str, units: Sequence[StoredUnit], metric: str) -> OverSeeds | None:
    """Return a metric of the main answers over seeds; None where a run has none."""
    values = [unit.metrics.get(metric, math.nan) for unit in units]
    if not all(map(math.isfinite, values)):
        return None
    from scipy.stats import t

    runs = len(values)
    mean = math.fsum(values) / runs
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (runs - 1))
    half = float(t.ppf(0.975, runs - 1)) * sd / math.sqrt(runs)
    return OverSeeds(name, units[0].main, metric, runs, mean, sd, mean - half, mean + half)
