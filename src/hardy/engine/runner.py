"""Carries a plan out: a run for each unit, a parent where there are several, true statuses."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from types import MappingProxyType
from typing import Any

from hardy.core.errors import HardyError, Interrupted
from hardy.data.open import open_division
from hardy.engine.checkpoint import Checkpoint, Measures
from hardy.engine.device import threads_as_before
from hardy.engine.evaluate import evaluate
from hardy.engine.fit import learn
from hardy.engine.journal import Journal, discard
from hardy.engine.leak import check_leaks
from hardy.engine.pictures import draw
from hardy.engine.progress import Reporter
from hardy.engine.setup import assemble, features_dir
from hardy.engine.signals import Stopped, stop_on_signals
from hardy.engine.source_check import check_source
from hardy.engine.supply import supplied
from hardy.engine.train import speed_of, train
from hardy.measure.records import write_parquet
from hardy.methods.features import clear_oldest
from hardy.methods.fitting import Trainer
from hardy.models.state import state_sha256
from hardy.plan.measured import work_label
from hardy.plan.tracker import (
    FINGERPRINT_TAG,
    WORK_TAG,
    PastRun,
    Run,
    Scalar,
    Status,
    Tracker,
)
from hardy.plan.units import Plan, PlannedUnit
from hardy.results.report import parent_report
from hardy.results.request import REQUEST, UNITS, request_text, spec_tag, units_text
from hardy.results.stored import RECORDS, SPEC, StoredUnit
from hardy.results.table import markdown, parent_metrics
from hardy.results.verdicts import all_verdicts, announce, judged, note_verdicts
from hardy.spec import Resolved, dump
from hardy.spec.experiment import Experiment
from hardy.tasks.summary import summarise

_WAIT_SECONDS = 3.0


def run_plan(
    plan: Plan, tracker: Tracker, reporter: Reporter, *, resume_command: str
) -> tuple[str, list[StoredUnit]]:
    """Carry out every unit that no finished run already holds.

    Args:
        plan: What to run, in order.
        tracker: Where runs are written.
        reporter: Told of units and samples.
        resume_command: What goes on after a stop; printed as the hint of `Interrupted`.

    Returns:
        The id of the run that a person should look at (the parent's, or the only unit's), and the
        units' results in order.

    Raises:
        Interrupted: If a signal stopped it; the runs in progress are KILLED.
        HardyError: If a unit failed; its run is FAILED with the reason in a tag.
    """
    try:
        with stop_on_signals(), reporter.showing(len(plan.needed) + len(plan.units)):
            run_id, results = _carry_out(plan, tracker, reporter)
            announce(plan.resolved, results, reporter.say)
            return run_id, results
    except Stopped as stop:
        raise Interrupted(stop.number, hint=resume_command) from None
    except HardyError as error:
        error.hint = "\n".join(filter(None, (error.hint, f"Then go on: {resume_command}")))
        raise


def _carry_out(plan: Plan, tracker: Tracker, reporter: Reporter) -> tuple[str, list[StoredUnit]]:
    if len(plan.units) == 1 and not plan.needed:
        only = supplied(plan.units[0], {}, tracker)
        result = _settle(only, tracker, reporter, tags=spec_tag(plan.resolved))
        return result.run_id, [result]
    past = tracker.find(plan.fingerprint)
    if past is not None and past.finished and all(unit.reusable for unit in plan.units):
        tracker.refer(past.run_id)
        units = [supplied(unit, {}, tracker) for unit in plan.units]
        return past.run_id, [_settle(unit, tracker, reporter, past.run_id) for unit in units]
    parent = tracker.start(
        plan.resolved.name,
        tags=_parent_tags(plan),
        resume=past.run_id if past is not None and not past.busy else None,
    )
    with _ending(parent):
        parent.text(request_text(plan.resolved), REQUEST)
        results = _settle_all(plan, tracker, reporter, parent.run_id)
        _summarise_parent(parent, plan.resolved, results)
        parent.text(units_text(results), UNITS)
    return parent.run_id, results


def _settle_all(plan: Plan, tracker: Tracker, reporter: Reporter, parent: str) -> list[StoredUnit]:
    """Run what is needed first, then the units; return the units' results."""
    made: dict[str, StoredUnit] = {}
    for source in plan.needed:
        ready = supplied(source, made, tracker)
        made[source.fingerprint] = _settle(ready, tracker, reporter, parent)
    return [
        made.get(unit.fingerprint)
        or _settle(supplied(unit, made, tracker), tracker, reporter, parent)
        for unit in plan.units
    ]


def _parent_tags(plan: Plan) -> dict[str, str]:
    return {
        FINGERPRINT_TAG: plan.fingerprint,
        "hardy.experiment": plan.resolved.name,
        "hardy.role": "parent",
        **spec_tag(plan.resolved),
    }


@contextmanager
def _ending(run: Run) -> Iterator[None]:
    """End a run with the status that is true of what happened inside."""
    try:
        yield
    except Stopped as stop:
        run.end(Status.KILLED, f"stopped by signal {stop.number}")
        raise
    except BaseException as error:
        run.end(Status.FAILED, error.message if isinstance(error, HardyError) else repr(error))
        raise
    else:
        run.end(Status.FINISHED)


def _settle(
    planned: PlannedUnit,
    tracker: Tracker,
    reporter: Reporter,
    parent: str | None = None,
    *,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> StoredUnit:
    """Return a unit's result: an earlier run's where there is one, else by running it."""
    name = planned.unit.experiment.name
    past = _awaited(planned, tracker, reporter)
    if past is not None and past.finished:
        if parent is None:
            tracker.refer(past.run_id)
        reporter.say(f"{name}: reuses run {past.run_id} (same fingerprint {planned.fingerprint})")
        reporter.unit_done()
        return StoredUnit(tracker, past, planned, reused=True)
    run = tracker.start(
        name,
        tags={**_tags(planned), **tags},
        parent=parent,
        resume=past.run_id if past is not None else None,
    )
    with _ending(run), threads_as_before():
        _run_unit(planned, run, reporter)
    discard(run.run_id)
    Checkpoint(run.run_id, planned.fingerprint).discard()
    clear_oldest(features_dir())
    reporter.unit_done()
    return StoredUnit(tracker, tracker.get(run.run_id), planned)


def _awaited(planned: PlannedUnit, tracker: Tracker, reporter: Reporter) -> PastRun | None:
    """Return the unit's earlier run, once no other process is writing it."""
    past = planned.past
    if past is not None and past.busy:
        name = planned.unit.experiment.name
        reporter.say(f"{name}: waiting for another process, which is at it (run {past.run_id})")
    while past is not None and past.busy:
        sleep(_WAIT_SECONDS)
        past = tracker.find(planned.fingerprint)
    return past


def _run_unit(planned: PlannedUnit, run: Run, reporter: Reporter) -> None:
    experiment = planned.unit.experiment
    run.text(dump(experiment), SPEC)
    run.params(leaves(experiment))
    bench = assemble(experiment, planned.located)
    check_leaks(planned, bench.dataset)
    check_source(bench)
    if experiment.data.partition is not None:
        run.text(json.dumps(open_division(experiment.data).as_json(), indent=1), "data/parts.json")
    run.dataset(
        bench.dataset.name,
        planned.data_digest,
        {"dataset": bench.dataset.name, "shift": experiment.data.shift_label},
        "train" if isinstance(bench.method, Trainer) else "test",
    )
    run.tags(
        {
            "hardy.state_sha256": state_sha256(bench.model.network),
            "hardy.device": bench.fabric.device.type,
        }
    )
    learned = learn(bench, lambda news: reporter.say(f"{experiment.name}: {news}"))
    epochs: list[Measures] = []
    if isinstance(bench.method, Trainer):
        bench, epochs = train(bench, Checkpoint(run.run_id, planned.fingerprint), run, reporter)
    with Journal(run.run_id, planned.fingerprint) as journal:
        frame = evaluate(bench, journal, reporter, experiment.name)
        method = experiment.method
        metrics = summarise(bench.task, frame, method.kind, method.baseline)
        metrics |= {"skipped": float(frame.attrs["skipped"]), **learned}
        if epochs and planned.own.count:
            metrics |= speed_of(epochs, planned.own.count)
        with tempfile.TemporaryDirectory() as folder:
            records = Path(folder) / "records.parquet"
            write_parquet(frame, records)
            run.artifact(records, RECORDS)
            for path, picture in draw(bench, frame):
                _save(run, Path(folder), path, picture)
    run.metrics(judged(run, experiment, bench.task, metrics, frame))


def _save(run: Run, folder: Path, path: str, content: Any) -> None:  # noqa: ANN401
    """Log a picture or a text under its artifact path."""
    if isinstance(content, str):
        run.text(content, path)
        return
    file = folder / path.replace("/", "_")
    content.save(file)
    run.artifact(file, path)


def _tags(planned: PlannedUnit) -> dict[str, str]:
    experiment = planned.unit.experiment
    return {
        FINGERPRINT_TAG: planned.fingerprint,
        "hardy.experiment": experiment.name,
        "hardy.role": "unit",
        "hardy.method": experiment.method.kind,
        "hardy.model": experiment.model.name,
        "hardy.dataset": experiment.data.dataset,
        "hardy.shift": experiment.data.shift_label,
        "hardy.data_digest": planned.data_digest,
        "hardy.weights": planned.weights,
        WORK_TAG: work_label(experiment),
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


def _summarise_parent(parent: Run, resolved: Resolved, results: Sequence[StoredUnit]) -> None:
    found = all_verdicts(resolved, results)
    note_verdicts(parent, found, before=markdown(results))
    with tempfile.TemporaryDirectory() as folder:
        for path, content in parent_report(resolved, results):
            _save(parent, Path(folder), path, content)
    parent.metrics(parent_metrics(resolved, results))
