"""What is known of a unit once it has run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import pandas as pd

from hardy.plan.units import PlannedUnit
from hardy.spec import Resolved


@dataclass(frozen=True)
class UnitResult:
    """A finished unit: its plan, its run, its per-sample records.

    Attributes:
        planned: The unit, with its fingerprint and the digests of its data and weights.
        run_id: The MLflow run that holds it.
        frame: Per-sample records (see `hardy.measure.records`).
        metrics: The run's metrics by name.
        reused: Whether an earlier run of the same fingerprint stood in.
    """

    planned: PlannedUnit
    run_id: str
    frame: pd.DataFrame
    metrics: Mapping[str, float]
    reused: bool


def by_experiment(
    resolved: Resolved, results: Sequence[UnitResult]
) -> Iterator[tuple[Resolved, list[UnitResult]]]:
    """Yield each experiment of a suite, or the only one, with the results of its units."""
    rest = iter(results)
    for experiment in resolved.experiments:
        yield experiment, list(islice(rest, len(experiment.units)))
