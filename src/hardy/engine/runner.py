"""Carries a plan out: what is needed first, then the units; a parent where there are several."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from hardy.core.errors import HardyError, Interrupted, SpecError
from hardy.engine.device import make_fabric
from hardy.engine.progress import Reporter
from hardy.engine.ranks import check_devices
from hardy.engine.signals import Stopped, stop_on_signals
from hardy.engine.unit import ending, keep, run_unit, with_weights
from hardy.plan.foresee import check
from hardy.plan.tracker import EXPERIMENT_TAG, FINGERPRINT_TAG, Run, Tracker
from hardy.plan.units import Plan, PlannedUnit
from hardy.results.report import parent_report
from hardy.results.request import REQUEST, UNITS, request_text, spec_tag, units_text
from hardy.results.stored import StoredUnit
from hardy.results.table import markdown, parent_metrics
from hardy.results.verdicts import all_verdicts, announce, note_verdicts
from hardy.spec import Resolved


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
        units in order, as they are stored.

    Raises:
        Interrupted: If a signal stopped it; the runs in progress are KILLED.
        HardyError: If a unit failed; its run is FAILED with the reason in a tag.
    """
    try:
        with stop_on_signals(), reporter.showing(len(plan.needed) + len(plan.units)):
            run_id, units = _carry_out(plan, tracker, reporter)
            announce(plan.resolved, units, reporter.say)
            return run_id, units
    except Stopped as stop:
        raise Interrupted(stop.number, hint=resume_command) from None
    except SpecError:
        raise  # going on would meet it again
    except HardyError as error:
        error.hint = "\n".join(filter(None, (error.hint, f"Then go on: {resume_command}")))
        raise


def _carry_out(plan: Plan, tracker: Tracker, reporter: Reporter) -> tuple[str, list[StoredUnit]]:
    check((*plan.needed, *plan.units))
    for planned in (*plan.needed, *plan.units):
        if not planned.reusable:
            experiment = planned.unit.experiment
            make_fabric(experiment)  # a device that is not there leaves no run behind
            if experiment.method.yields_weights:
                check_devices(experiment)
    if len(plan.units) == 1 and not plan.needed:
        only = with_weights(plan.units[0], {}, tracker)
        unit = run_unit(only, tracker, reporter, tags=spec_tag(plan.resolved))
        return unit.run_id, [unit]
    past = tracker.find(plan.fingerprint)
    if past is not None and past.finished and all(unit.reusable for unit in plan.units):
        tracker.refer(past.run_id)
        return past.run_id, _run_all(plan, tracker, reporter, past.run_id)
    parent = tracker.start(
        plan.resolved.name,
        tags=_parent_tags(plan),
        resume=past.run_id if past is not None and not past.busy else None,
    )
    with ending(parent):
        parent.text(request_text(plan.resolved), REQUEST)
        units = _run_all(plan, tracker, reporter, parent.run_id)
        _summarise(parent, plan.resolved, units)
        parent.text(units_text(units), UNITS)
    return parent.run_id, units


def _run_all(plan: Plan, tracker: Tracker, reporter: Reporter, parent: str) -> list[StoredUnit]:
    """Run what is needed first, then the units; return the units, each run once."""
    made: dict[str, StoredUnit] = {}
    for planned in (*plan.needed, *plan.units):
        if planned.fingerprint not in made:
            runs = {mark: unit.run_id for mark, unit in made.items()}
            ready = with_weights(planned, runs, tracker)
            made[planned.fingerprint] = run_unit(ready, tracker, reporter, parent=parent)
    runs = {mark: unit.run_id for mark, unit in made.items()}
    return [_as(planned, made[planned.fingerprint], runs, tracker) for planned in plan.units]


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
    """Write to the parent what its units came to: leaderboard, report, means."""
    note_verdicts(parent, all_verdicts(resolved, units), before=markdown(units))
    with tempfile.TemporaryDirectory() as folder:
        for path, content in parent_report(resolved, units):
            keep(parent, Path(folder), path, content)
    parent.metrics(parent_metrics(resolved, units))
