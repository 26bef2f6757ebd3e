"""One unit: set up, fit, answer, judge; or the run that already holds its numbers."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import torch

from hardy.core.errors import ArtifactAbsent, HardyError, TrackingError, WeightsError
from hardy.data.dataset import Dataset
from hardy.data.leaks import check_apart
from hardy.data.open import open_dataset, open_division
from hardy.engine.alone import alone
from hardy.engine.analysed import analysed, catch_up, lacks
from hardy.engine.analyses import check as check_analyses
from hardy.engine.answer import answer
from hardy.engine.checkpoint import Checkpoint
from hardy.engine.device import threads_as_before
from hardy.engine.fit import discard as discard_fitted
from hardy.engine.fit import fit
from hardy.engine.journal import Journal
from hardy.engine.journal import discard as discard_journal
from hardy.engine.left_out import ARTIFACT
from hardy.engine.pictures import draw, keep, title_of
from hardy.engine.progress import Reporter
from hardy.engine.setup import Setup, set_up
from hardy.engine.signals import Stopped
from hardy.engine.source_check import check_source
from hardy.engine.watch import Pruned, Watch
from hardy.engine.worker import is_worker
from hardy.measure.records import shares, write_parquet
from hardy.methods.base_spec import Role
from hardy.models.state import FITTED, state_sha256
from hardy.models.weights import run_file
from hardy.plan.foresee import remarks
from hardy.plan.measured import work_label
from hardy.plan.tracker import (
    EXPERIMENT_TAG,
    FINGERPRINT_TAG,
    PRUNED_TAG,
    SHARED_TAG,
    THREADS_TAG,
    WORK_TAG,
    PastRun,
    Run,
    Scalar,
    Status,
    Tracker,
)
from hardy.plan.units import PlannedUnit
from hardy.results.stored import RECORDS, SPEC, StoredUnit
from hardy.results.verdicts import judged
from hardy.spec import dump
from hardy.spec.experiment import Experiment
from hardy.tasks.summary import summarise

# What a tracking store calls the samples that are for something.
_CONTEXTS: Mapping[Role, str] = {"fit": "train", "validate": "validation", "answer": "test"}


def run_unit(
    planned: PlannedUnit,
    tracker: Tracker,
    reporter: Reporter,
    *,
    parent: str | None = None,
    tags: Mapping[str, str] = MappingProxyType({}),
    watch: Watch | None = None,
    turns: int = 0,
) -> StoredUnit:
    """Return a unit as it is stored: an earlier run's where there is one, else by running it.

    Args:
        planned: The unit; its weights are at hand.
        tracker: Where runs are written and found.
        reporter: Told of samples.
        parent: Id of the run to nest under.
        tags: Further tags of its run.
        watch: Told of its way; of an earlier run's it is not.
        turns: See `Setup`.

    Raises:
        Pruned: If the watch stops it; its run is KILLED, with the step in a tag, for good.
        HardyError: If the unit failed; its run is FAILED with the reason in a tag.
    """
    if planned.past is not None and planned.past.finished:
        return _reused(planned, planned.past, tracker, reporter, parent)
    name = planned.unit.experiment.name
    with alone(planned.fingerprint, name, tracker, reporter) as (found, waited):
        past = planned.past
        # A finished one that the plan did not name may be one that is to be run again.
        if waited or (past is not None and found is not None and found.finished):
            past = found
        if past is not None and past.finished:
            return _reused(planned, past, tracker, reporter, parent)
        run = tracker.start(
            name,
            tags={**_tags(planned), **tags},
            parent=parent,
            resume=past.run_id if past is not None else None,
        )
        checkpoint = Checkpoint(run.run_id, planned.fingerprint)
        with ending(run), threads_as_before():
            try:
                _carry_out(planned, run, checkpoint, reporter, watch, turns)
            except Pruned as pruned:
                pruned.run_id = run.run_id
                _discard(run, checkpoint)
                raise
        _discard(run, checkpoint)
    return _done(StoredUnit(tracker, tracker.get(run.run_id), planned), reporter)


def _reused(
    planned: PlannedUnit,
    past: PastRun,
    tracker: Tracker,
    reporter: Reporter,
    parent: str | None,
) -> StoredUnit:
    """Return an earlier run as the unit's, once it holds what its experiment asks for."""
    if parent is None:
        tracker.refer(past.run_id)
    unit = StoredUnit(tracker, past, planned, reused=True)
    of = f" of {unit.other}" if unit.other else ""
    reporter.say(
        f"{planned.unit.experiment.name}: reuses run {past.run_id}{of} "
        f"(same fingerprint {planned.fingerprint})"
    )
    if lacks(planned.unit.experiment, past):
        unit = catch_up(unit, planned, lambda: _datasets(planned), tracker, reporter)
    return _done(unit, reporter)


@dataclass(frozen=True)
class UnitJob:
    """Runs a unit, in whatever process; returns its run's id, and whether it is an earlier one.

    Attributes:
        planned: The unit; its weights are at hand.
        parent: Id of the run to nest under.
        tags: Further tags of its run.
    """

    planned: PlannedUnit
    parent: str | None
    tags: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, tracker: Tracker, reporter: Reporter) -> tuple[str, bool]:
        """Run it; see `run_unit`."""
        unit = run_unit(self.planned, tracker, reporter, parent=self.parent, tags=self.tags)
        return unit.run_id, unit.reused


def _discard(run: Run, checkpoint: Checkpoint) -> None:
    """Delete what only a run that goes on would need."""
    for discard in (discard_journal, discard_fitted):
        discard(run.run_id)
    checkpoint.discard()


def _done(unit: StoredUnit, reporter: Reporter) -> StoredUnit:
    """Say what a unit's method warns of, and that the unit is done."""
    for line in unit.warnings:
        reporter.say(line)
    reporter.unit_done()
    return unit


@contextmanager
def ending(run: Run) -> Iterator[None]:
    """End a run with the status that is true of what happened inside.

    Where the store cannot be told of a stop or a failure, the process ends with that all the same;
    the next one finds the run (`tracking/leftovers.py`).
    """
    try:
        yield
    except Pruned as pruned:
        run.tags({PRUNED_TAG: str(pruned.step)})
        run.end(Status.KILLED)
        raise
    except Stopped as stop:
        with suppress(TrackingError):
            run.end(Status.KILLED, f"stopped by signal {stop.number}")
        raise
    except BaseException as error:
        with suppress(TrackingError):
            run.end(Status.FAILED, error.message if isinstance(error, HardyError) else repr(error))
        raise
    else:
        run.end(Status.FINISHED)


def _carry_out(
    planned: PlannedUnit,
    run: Run,
    checkpoint: Checkpoint,
    reporter: Reporter,
    watch: Watch | None,
    turns: int,
) -> None:
    experiment = planned.unit.experiment
    for line in remarks(planned):
        reporter.say(f"{experiment.name}: note: {line}")
    run.text(dump(experiment), SPEC)
    run.params(leaves(experiment))
    data = _datasets(planned)
    check_apart(
        experiment.name, {str(role): each for role, each in data.items()}, planned.trained_on
    )
    setup = set_up(experiment, planned.located, data, shares=is_worker())
    setup = replace(setup, watch=watch, turns=turns)
    _note_inputs(setup, run, reporter)
    check_source(setup)
    check_analyses(setup)
    fitted = fit(setup, checkpoint, run, reporter)
    with Journal(run.run_id, planned.fingerprint) as journal:
        frame = answer(setup, fitted, journal, reporter, experiment.name)
    _judge(setup, frame, run, reporter)
    if setup.left_out:
        reporter.say(f"{experiment.name}: warning: {setup.left_out.line()}")


def _datasets(planned: PlannedUnit) -> dict[Role, Dataset]:
    """Return the samples by role, as the plan opened them; an absent dataset is an error here."""
    experiment, found = planned.unit.experiment, {}
    for role, other in experiment.method.roles().items():
        known = planned.samples[role].dataset
        spec = other.data(experiment.data, experiment.seed) if other else experiment.data
        found[role] = known if known is not None else open_dataset(spec)
    return found


def _note_inputs(setup: Setup, run: Run, reporter: Reporter) -> None:
    """Write to the run what it sees: samples, weights, device."""
    experiment = setup.experiment
    if experiment.data.partition is not None:
        run.text(json.dumps(open_division(experiment.data).as_json(), indent=1), "data/parts.json")
    noted: set[str] = set()
    for role, dataset in setup.data.items():
        if dataset.digest not in noted:
            where = {"dataset": dataset.name, "shift": experiment.data.shift_label}
            run.dataset(dataset.name, dataset.digest, where, _CONTEXTS[role])
        noted.add(dataset.digest)
    run.tags(
        {
            "hardy.state_sha256": state_sha256(setup.model.network),
            "hardy.device": setup.fabric.device.type,
            THREADS_TAG: str(torch.get_num_threads()),
            **({SHARED_TAG: "true"} if is_worker() else {}),
        }
    )
    for (path, reference), model in zip(experiment.weights().items(), setup.models, strict=True):
        # Weights that fit as they are need no word.
        if model.loaded is not None and (reference.identity() or model.loaded.missing):
            reporter.say(f"{experiment.name}: {path}: {model.loaded.line()}")
            run.text(json.dumps(asdict(model.loaded), indent=1), f"weights/loaded/{path}.json")


def _judge(setup: Setup, frame: pd.DataFrame, run: Run, reporter: Reporter) -> None:
    """Write the records, what is measured of them, and what is drawn."""
    method = setup.experiment.method
    metrics = summarise(setup.task, frame, method.kind, method.baseline, method.votes())
    metrics |= shares(frame, method.warnings)
    metrics["skipped"] = float(len(setup.left_out))
    if setup.left_out:
        run.text(setup.left_out.csv(), ARTIFACT)
    if method.yields_weights:  # its speed is that of the training
        metrics = {name: value for name, value in metrics.items() if "second" not in name}
    with tempfile.TemporaryDirectory() as folder:
        records = Path(folder) / Path(RECORDS).name
        write_parquet(frame, records)
        run.artifact(records, RECORDS)
        title = title_of(setup.experiment.name, [setup.experiment])
        for path, content in draw(setup, frame):
            keep(run, Path(folder), path, content, title)
    metrics |= analysed(setup, frame, run, reporter)
    run.metrics(judged(run, setup.experiment, setup.task, metrics, frame))


def with_weights(planned: PlannedUnit, made: Mapping[str, str], tracker: Tracker) -> PlannedUnit:
    """Return a unit with the files of all weights that other units' runs yield.

    Args:
        planned: The unit.
        made: Runs of the units that ran first, by fingerprint.
        tracker: Where the artifacts are.

    Raises:
        WeightsError: If a run left no weights.
    """
    references, located = planned.unit.experiment.weights(), dict(planned.located)
    for path, source in planned.needs.items():
        past = source.past.run_id if source.past is not None and source.past.finished else None
        run_id = made.get(source.fingerprint, past)
        if run_id is not None:  # else the unit is finished, and its source's run is gone
            file = _file(planned, source, run_id, run_file(references[path]), tracker)
            located[path] = replace(located[path], path=file)
    return replace(planned, located=located)


def _file(
    planned: PlannedUnit, source: PlannedUnit, run_id: str, wanted: str, tracker: Tracker
) -> Path:
    try:
        return tracker.artifact(run_id, wanted)
    except ArtifactAbsent as error:
        name = source.unit.experiment.name
        message = (
            f"{planned.unit.experiment.name} begins with the weights of {name}, but its run "
            f"{run_id} has no artifact {wanted}"
        )
        hint = f"Run {name} anew with --again."
        if wanted == FITTED:
            hint = "It fitted nothing beside its network; of that, write take: network.NAME."
        raise WeightsError(message, hint=hint) from error


def _tags(planned: PlannedUnit) -> dict[str, str]:
    experiment = planned.unit.experiment
    return {
        FINGERPRINT_TAG: planned.fingerprint,
        EXPERIMENT_TAG: experiment.name,
        "hardy.role": "unit",
        "hardy.task": experiment.task.kind,
        "hardy.method": experiment.method.kind,
        "hardy.model": experiment.model.name,
        "hardy.dataset": experiment.data.dataset,
        "hardy.shift": experiment.data.shift_label,
        "hardy.data_digest": planned.data_digest,
        "hardy.weights": planned.weights,
        WORK_TAG: work_label(experiment) + (", beside others" if is_worker() else ""),
        **{f"hardy.choice.{key}": str(value) for key, value in planned.unit.choices.items()},
    }


def leaves(experiment: Experiment) -> dict[str, Scalar]:
    """Return an experiment's scalar values under dotted keys, for MLflow's parameters."""
    return dict(_leaves(experiment.model_dump(mode="json", by_alias=True), ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Scalar]]:  # noqa: ANN401
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}.{index}")
    else:
        yield path, value
