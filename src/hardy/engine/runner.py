"""Carries a plan out: what is needed first, then the units; a parent where there are several.

Units are jobs of a pool: one after the other in this process, or side by side in workers.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import MappingProxyType

from hardy.core.disk import not_written
from hardy.core.errors import HardyError, Interrupted, SpecError
from hardy.engine.alone import alone
from hardy.engine.device import make_fabric
from hardy.engine.pictures import keep, title_of
from hardy.engine.pool import make_pool
from hardy.engine.progress import Reporter
from hardy.engine.ranks import check_devices, launched
from hardy.engine.signals import Stopped, stop_on_signals
from hardy.engine.unit import UnitJob, ending, run_unit, with_weights
from hardy.plan.foresee import check
from hardy.plan.tracker import EXPERIMENT_TAG, FINGERPRINT_TAG, Run, Tracker
from hardy.plan.units import Plan, PlannedUnit
from hardy.results.beside import beside
from hardy.results.report import parent_report
from hardy.results.request import REQUEST, UNITS, request_text, spec_tag, units_text
from hardy.results.stored import StoredUnit
from hardy.results.sweep import sweep_markdown, sweep_metrics, sweep_report, sweeps
from hardy.results.table import markdown, parent_metrics
from hardy.results.verdicts import all_verdicts, announce, note_verdicts
from hardy.spec import Resolved
from hardy.spec.experiment import Experiment


def run_plan(
    plan: Plan,
    tracker: Tracker,
    reporter: Reporter,
    *,
    resume_command: str,
    jobs: int | None = None,
) -> tuple[str, list[StoredUnit]]:
    """Carry out every unit that no finished run already holds.

    Args:
        plan: What to run, in order.
        tracker: Where runs are written.
        reporter: Told of units and samples.
        resume_command: What goes on after a stop; printed as the hint of `Interrupted`.
        jobs: How many units run at a time, each in a process of its own with one thread (see
            `device.beside_others`); None for one after the other in this process.

    Returns:
        The id of the run that a person should look at (the parent's, or the only unit's), and the
        units in order, as they are stored.

    Raises:
        Interrupted: If a signal stopped it; the runs in progress are KILLED.
        HardyError: If a unit failed; its run is FAILED with the reason in a tag, and those that
            ran beside it are KILLED.
    """
    with going_on(resume_command), reporter.showing(len(plan.needed) + len(plan.units)):
        check_ready(plan, reporter, jobs)
        run_id, units = _carry_out(plan, tracker, reporter, jobs)
        announce(plan.resolved, units, reporter.say)
        return run_id, units


@contextmanager
def going_on(resume_command: str) -> Iterator[None]:
    """Stop on signals, and say of stops and failures how to go on.

    Raises:
        Interrupted: If a signal stopped what was inside.
        HardyError: Any other, with the command in its hint.
    """
    try:
        with stop_on_signals():
            yield
    except Stopped as stop:
        raise Interrupted(stop.number, hint=resume_command) from None
    except SpecError:
        raise  # going on would meet it again
    except (HardyError, OSError) as failed:
        error = failed if isinstance(failed, HardyError) else not_written(failed)
        if error is None:
            raise
        error.hint = "\n".join(filter(None, (error.hint, f"Then go on: {resume_command}")))
        raise error from failed.__cause__


def check_ready(plan: Plan, reporter: Reporter, jobs: int | None) -> None:
    """Make sure, before anything runs, that what is to run can: here, and beside others.

    Raises:
        SpecError: If something cannot.
    """
    check((*plan.needed, *plan.units))
    for planned in (*plan.needed, *plan.units):
        if not planned.reusable:
            experiment = planned.unit.experiment
            fabric = make_fabric(experiment)  # a device that is not there leaves no run behind
            if experiment.method.yields_weights:
                check_devices(experiment)
            if jobs is not None:
                _check_beside(experiment)
                if jobs > 1 and fabric.device.type != "cpu":
                    reporter.say(f"{experiment.name}: note: {jobs} jobs share the GPU")


def _carry_out(
    plan: Plan, tracker: Tracker, reporter: Reporter, jobs: int | None
) -> tuple[str, list[StoredUnit]]:
    if len(plan.units) == 1 and not plan.needed:
        (unit,) = _run_all(plan, tracker, reporter, jobs, tags=spec_tag(plan.resolved))
        return unit.run_id, [unit]
    with alone(plan.fingerprint, plan.resolved.name, tracker, reporter) as (past, waited):
        if waited:
            plan = _looked_up(plan, tracker)
        if past is not None and past.finished and all(unit.reusable for unit in plan.units):
            tracker.refer(past.run_id)
            return past.run_id, _run_all(plan, tracker, reporter, jobs, past.run_id)
        parent = tracker.start(
            plan.resolved.name,
            tags=_parent_tags(plan),
            resume=past.run_id if past is not None else None,
        )
        with ending(parent):
            parent.text(request_text(plan.resolved), REQUEST)
            units = _run_all(plan, tracker, reporter, jobs, parent.run_id)
            _summarise(parent, plan.resolved, units)
            parent.text(units_text(units), UNITS)
    return parent.run_id, units


def _looked_up(plan: Plan, tracker: Tracker) -> Plan:
    """Return a plan with the runs that another process has made since it was planned."""
    found = tracker.find_many([each.fingerprint for each in (*plan.needed, *plan.units)])

    def known(planned: PlannedUnit) -> PlannedUnit:
        return replace(planned, past=found.get(planned.fingerprint, planned.past))

    needed, units = tuple(map(known, plan.needed)), tuple(map(known, plan.units))
    return replace(plan, needed=needed, units=units)


def _check_beside(experiment: Experiment) -> None:
    """Make sure that an experiment can run beside others.

    Raises:
        SpecError: If it is itself spread over several devices.
    """
    compute = experiment.compute
    if launched() or (compute.devices or 1) * (compute.nodes or 1) > 1:
        message = f"{experiment.name}: a training on several devices has no others beside it"
        raise SpecError(message, hint="Leave --jobs out, or compute.devices and torchrun.")


def _run_all(
    plan: Plan,
    tracker: Tracker,
    reporter: Reporter,
    jobs: int | None,
    parent: str | None = None,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> list[StoredUnit]:
    """Run each unit once, when what it needs has run; return the plan's units in its order."""
    left: dict[str, PlannedUnit] = {}
    for planned in (*plan.needed, *plan.units):
        left.setdefault(planned.fingerprint, planned)
    unmade, made = set(left), dict[str, StoredUnit]()
    running, keys = dict[int, PlannedUnit](), count()
    with make_pool(jobs, tracker, reporter) as pool:
        while unmade:
            for mark, planned in list(left.items()):
                if len(running) == pool.size:
                    break
                if any(source.fingerprint in unmade for source in planned.needs.values()):
                    continue
                whole = with_weights(left.pop(mark), _runs(made), tracker)
                if whole.reusable:  # nothing is computed
                    made[mark] = run_unit(whole, tracker, reporter, parent=parent, tags=tags)
                    unmade.remove(mark)
                else:
                    key = next(keys)
                    running[key] = whole
                    pool.submit(key, UnitJob(whole, parent, dict(tags)))
            if running:
                key, result = pool.wait()
                if isinstance(result, BaseException):
                    raise result
                whole, (run_id, reused) = running.pop(key), result
                unit = StoredUnit(tracker, tracker.get(run_id), whole, reused=reused)
                made[whole.fingerprint] = unit
                unmade.remove(whole.fingerprint)
    runs = _runs(made)
    return [_as(planned, made[planned.fingerprint], runs, tracker) for planned in plan.units]


def _runs(made: Mapping[str, StoredUnit]) -> dict[str, str]:
    return {mark: unit.run_id for mark, unit in made.items()}


def _as(
    planned: PlannedUnit, unit: StoredUnit, runs: Mapping[str, str], tracker: Tracker
) -> StoredUnit:
    """Return a unit that ran for another of the same numbers as the one that was planned."""
    if unit.name == planned.unit.experiment.name:
        return unit
    return StoredUnit(unit.store, unit.run, with_weights(planned, runs, tracker), reused=True)


def _parent_tags(plan: Plan) -> dict[str, str]:
    return {
        FINGERPRINT_TAG: plan.fingerprint,
        EXPERIMENT_TAG: plan.resolved.name,
        "hardy.role": "parent",
        **spec_tag(plan.resolved),
    }


def _summarise(parent: Run, resolved: Resolved, units: Sequence[StoredUnit]) -> None:
    """Write to the parent what its units came to: leaderboard, report, sweeps, means."""
    swept = sweeps(resolved, units)
    note = "\n\n".join(filter(None, (markdown(units).rstrip(), sweep_markdown(swept))))
    note_verdicts(parent, all_verdicts(resolved, units), before=note)
    title = title_of(resolved.name, [unit.experiment for unit in units])
    with tempfile.TemporaryDirectory() as folder:
        found = (*parent_report(resolved, units), *beside(resolved, units), *sweep_report(swept))
        for path, content in found:
            keep(parent, Path(folder), path, content, title)
    parent.metrics(parent_metrics(resolved, units) | sweep_metrics(swept))
