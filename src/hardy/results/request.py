"""What a run was asked for, kept with the run: by it, `hardy resume` knows what to go on with."""

import json
from collections.abc import Sequence
from pathlib import Path

from hardy.core.errors import TrackingError
from hardy.core.paths import experiments_dir, project_root
from hardy.plan.tracker import PastRun, Tracker
from hardy.results.stored import SPEC, StoredUnit
from hardy.spec import Resolved, resolve

REQUEST = "request.json"
UNITS = "units.json"


def request_text(resolved: Resolved) -> str:
    """Return a spec's file and overrides as JSON; the file relative to the project if it is in it.

    Relative, since the project may lie elsewhere when the run is resumed.
    """
    root = project_root()
    inside = resolved.path.is_relative_to(root)
    path = resolved.path.relative_to(root) if inside else resolved.path
    return json.dumps({"spec": path.as_posix(), "overrides": list(resolved.overrides)}, indent=1)


def read_request(file: Path) -> tuple[str, tuple[str, ...]]:
    """Return the spec's file and the overrides that `request_text` wrote.

    Raises:
        TrackingError: If the file is something else.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        path = project_root() / str(content["spec"])
        return str(path), tuple(str(override) for override in content["overrides"])
    except (ValueError, KeyError, TypeError) as error:
        message = f"{file} does not say what the run was asked for: {error}"
        raise TrackingError(message, hint="Run the spec itself: `hardy run SPEC`.") from error


def units_text(units: Sequence[StoredUnit]) -> str:
    """Return the names and runs of a parent's units as JSON, the reused ones included."""
    named = [{"name": unit.name, "run": unit.run_id, "reused": unit.reused} for unit in units]
    return json.dumps(named, indent=1)


def read_units(file: Path) -> list[str]:
    """Return the ids of the runs that `units_text` wrote, in order.

    Raises:
        TrackingError: If the file is something else.
    """
    try:
        return [str(unit["run"]) for unit in json.loads(file.read_text(encoding="utf-8"))]
    except (ValueError, KeyError, TypeError) as error:
        message = f"{file} does not list a run's units: {error}"
        raise TrackingError(message, hint="Name one of the units instead.") from error


def spec_tag(resolved: Resolved) -> dict[str, str]:
    """Return the tag that says which named experiment a run is of; none for a file elsewhere."""
    folder = experiments_dir().resolve()
    if not resolved.path.is_relative_to(folder):
        return {}
    return {"hardy.spec": resolved.path.relative_to(folder).with_suffix("").as_posix()}


def resolve_run(tracker: Tracker, run: PastRun) -> Resolved:
    """Resolve what a run was asked for: a parent's spec as it now is, a unit's as it was.

    Raises:
        TrackingError: If the run is none of hardy's, or stopped before it kept its spec.
        SpecError: If the spec cannot be read any more.
    """
    if is_parent(run):
        return resolve(*read_request(tracker.artifact(run.run_id, REQUEST)))
    return resolve(str(tracker.artifact(run.run_id, SPEC)))


def unit_runs(tracker: Tracker, run: PastRun) -> list[PastRun]:
    """Return the runs that hold a run's numbers: a finished parent's units, or the unit itself.

    Raises:
        TrackingError: If the run is none of hardy's, or a parent that has not finished.
    """
    if not is_parent(run):
        return [run]
    return [tracker.get(unit) for unit in read_units(tracker.artifact(run.run_id, UNITS))]


def is_parent(run: PastRun) -> bool:
    """Tell a run that stands above units from a unit.

    Raises:
        TrackingError: If it is neither.
    """
    role = run.tags.get("hardy.role")
    if role not in ("parent", "unit"):
        message = f"the run {run.run_id} ({run.name}) was not made by `hardy run`"
        raise TrackingError(message, hint="`hardy list` shows the last runs of each experiment.")
    return role == "parent"
