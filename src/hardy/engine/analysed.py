"""Analyses written to a unit's run: with its other numbers, or later, to a run that lacks them.

They are no part of a fingerprint, so a run that is reused may have been made without them. They are
then drawn from what it fitted and from its records; it is not run anew.
"""

import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pandas as pd

from hardy.core.errors import ArtifactAbsent, HardyError, SpecError
from hardy.core.hashing import digest
from hardy.data.dataset import Dataset
from hardy.engine.analyses import Found, analyse, check
from hardy.engine.device import threads_as_before
from hardy.engine.pictures import keep, title_of
from hardy.engine.progress import Reporter
from hardy.engine.setup import Setup, set_up
from hardy.engine.worker import is_worker
from hardy.methods.base_spec import Role
from hardy.methods.fitting import Fits
from hardy.models.state import MANIFEST, manifest_of, read_fitted
from hardy.plan.tracker import PastRun, Run, Status, Tracker
from hardy.plan.units import PlannedUnit
from hardy.results.stored import SPEC, StoredUnit
from hardy.spec import dump
from hardy.spec.experiment import Experiment

_TAG = "hardy.analysed."
_ENVIRONMENT = "environment.json"
_NAMES = (
    "similarity",
    "embedding",
    "prediction_grid",
    "examples",
    "feature_maps",
    "latents",
    "codebook",
)


def lacks(experiment: Experiment, past: PastRun) -> bool:
    """Whether a finished run lacks analyses that an experiment of its fingerprint asks for."""
    return any(past.tags.get(tag) != mark for tag, mark in _marks(experiment).items())


def analysed(setup: Setup, frame: pd.DataFrame, run: Run, reporter: Reporter) -> dict[str, float]:
    """Write the tables and pictures of a unit's analyses to its run; return their numbers."""
    return _written(setup.experiment, _found(setup, frame, reporter), run)


def catch_up(
    unit: StoredUnit,
    planned: PlannedUnit,
    data: Callable[[], Mapping[Role, Dataset]],
    tracker: Tracker,
    reporter: Reporter,
) -> StoredUnit:
    """Give a finished run the analyses that it lacks; where they cannot be had, say why.

    Args:
        unit: The run.
        planned: What asks for them.
        data: Opens its samples by role.
        tracker: Where the run is.
        reporter: Told of what is left out.

    Raises:
        SpecError: If a layer that the spec names is none.
    """
    experiment = planned.unit.experiment
    try:
        with threads_as_before():
            setup = set_up(experiment, planned.located, data(), shares=is_worker())
            check(setup)
            _load(setup, unit.run_id, tracker)
            # All of it before the run is opened: it has finished, and stays so.
            found = list(_found(setup, unit.frame, reporter))
        environment = _text(tracker, unit.run_id, _ENVIRONMENT)
        run = tracker.start(unit.run.name, tags={}, resume=unit.run_id)
    except SpecError:
        raise
    except HardyError as error:
        reporter.say(f"{experiment.name}: note: its run {unit.run_id} lacks analyses: {error}")
        return unit
    try:
        if environment is not None:  # its numbers are from there; to begin writes the present one
            run.text(environment, _ENVIRONMENT)
        run.metrics(_written(experiment, found, run))
        run.text(dump(_with_analyses(unit, tracker, experiment)), SPEC)
    finally:
        run.end(Status.FINISHED)
    reporter.say(f"{experiment.name}: run {unit.run_id} now has the analyses that it lacked")
    return StoredUnit(tracker, tracker.get(unit.run_id), planned, reused=True)


def _with_analyses(unit: StoredUnit, tracker: Tracker, experiment: Experiment) -> Experiment:
    """Return the spec that a run keeps, with the analyses that it has now: it is to be repeated."""
    kept = StoredUnit(tracker, unit.run).experiment
    asked = {name: s for name in _NAMES if (s := getattr(experiment.explain, name)) is not None}
    return kept.model_copy(update={"explain": kept.explain.model_copy(update=asked)})


def _text(tracker: Tracker, run_id: str, path: str) -> str | None:
    """Return a text artifact of a run; None where there is none."""
    try:
        return tracker.artifact(run_id, path).read_text(encoding="utf-8")
    except ArtifactAbsent:
        return None


def _load(setup: Setup, run_id: str, tracker: Tracker) -> None:
    """Give the method what it fitted in that run."""
    if not isinstance(setup.method, Fits) or "fit" not in setup.data:
        return
    manifest = tracker.artifact(run_id, MANIFEST)
    files = [tracker.artifact(run_id, path) for path in manifest_of(manifest)]
    setup.method.load(read_fitted([*files, manifest]))


def _found(setup: Setup, frame: pd.DataFrame, reporter: Reporter) -> Iterable[Found]:
    name = setup.experiment.name
    return analyse(setup, frame, lambda line: reporter.say(f"{name}: note: {line}"))


def _written(experiment: Experiment, found: Iterable[Found], run: Run) -> dict[str, float]:
    numbers = {}
    title = title_of(experiment.name, [experiment])
    with tempfile.TemporaryDirectory() as folder:
        for path, content in found:
            if isinstance(content, float):
                numbers[path] = content
            else:
                keep(run, Path(folder), path, content, title)
    if marks := _marks(experiment):
        run.tags(marks)
    return numbers


def _marks(experiment: Experiment) -> dict[str, str]:
    """Return tags that say which analyses a run has, each by what its spec states."""
    named = {name: getattr(experiment.explain, name) for name in _NAMES}
    return {f"{_TAG}{name}": digest(s.identity()) for name, s in named.items() if s is not None}
