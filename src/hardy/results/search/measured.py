"""What a trial's runs come to: means over its seeds, intervals, constraints."""

from collections.abc import Sequence

import numpy as np

from hardy.core.errors import MethodError
from hardy.measure.bootstrap import resampled
from hardy.results.pooled import joined
from hardy.results.stored import StoredUnit
from hardy.spec.search.spec import Constraint

_DRAWS = 500


def mean(units: Sequence[StoredUnit], metric: str) -> float:
    """Return the mean of a metric over units.

    Raises:
        MethodError: If a unit has not the metric, or it is no number.
    """
    values = [unit.metrics.get(metric, float("nan")) for unit in units]
    mean = sum(values) / len(values)
    if not np.isfinite(mean):
        known = sorted(units[0].metrics)
        message = f"{metric} of {units[0].name} is {'no number' if metric in known else 'absent'}"
        raise MethodError(message, hint=f"It has {', '.join(known)}.")
    return mean


def interval(units: Sequence[StoredUnit], metric: str) -> tuple[float, float]:
    """Return the 95 % interval of a metric over all units, photographs drawn whole, or NaN."""
    first = units[0]
    ends_of = (f"{metric}.low", f"{metric}.high")
    if len(units) == 1 and all(end in first.metrics for end in ends_of):
        return first.metrics[ends_of[0]], first.metrics[ends_of[1]]
    if metric not in first.task.spec.metrics:
        return float("nan"), float("nan")
    frame = joined(units)
    at = first.task.metric_at(frame, first.main, metric)
    return resampled(at, len(frame), frame["sample"].to_numpy(), draws=_DRAWS)


def missed(units: Sequence[StoredUnit], constraint: Constraint) -> float:
    """Return by how much a constraint is missed; at most 0 where it is held."""
    value = mean(units, constraint.metric)
    if constraint.at_most is not None:
        return value - constraint.at_most
    return (constraint.at_least or 0.0) - value
