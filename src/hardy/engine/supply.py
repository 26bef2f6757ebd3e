"""Hands the weights that one unit's run yields to the unit that begins with them."""

from collections.abc import Mapping
from dataclasses import replace

from hardy.core.errors import TrackingError, WeightsError
from hardy.models.state import WEIGHTS as WEIGHTS
from hardy.models.weights import run_file
from hardy.plan.tracker import Tracker
from hardy.plan.units import PlannedUnit
from hardy.results.stored import StoredUnit


def supplied(planned: PlannedUnit, made: Mapping[str, StoredUnit], tracker: Tracker) -> PlannedUnit:
    """Return a unit with the file of the weights that another unit's run yields, if it needs one.

    Args:
        planned: The unit.
        made: Results of the units that ran first, by fingerprint.
        tracker: Where the artifacts are.

    Raises:
        WeightsError: If that run left no weights.
    """
    located, references = dict(planned.located), planned.unit.experiment.weights()
    for path, source in planned.needs.items():
        run_id = _run_of(source, made)
        if run_id is None:
            continue  # it is finished, and its source's run is there no longer
        try:
            file = tracker.artifact(run_id, run_file(references[path]))
        except TrackingError as error:
            name = source.unit.experiment.name
            message = (
                f"{planned.unit.experiment.name} begins with the weights of {name}, but its run "
                f"{run_id} has no artifact {run_file(references[path])}"
            )
            raise WeightsError(message, hint=f"Run {name} anew with --again.") from error
        located[path] = replace(located[path], path=file)
    return replace(planned, located=located) if located != planned.located else planned


def _run_of(source: PlannedUnit, made: Mapping[str, StoredUnit]) -> str | None:
    if source.fingerprint in made:
        return made[source.fingerprint].run_id
    return source.past.run_id if source.past is not None and source.past.finished else None
