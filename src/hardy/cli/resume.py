"""`hardy resume`: go on with a run that was stopped or failed."""

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from hardy.cli.complete import complete_run
from hardy.cli.run import JOBS, carry_out, jobs_flag
from hardy.core.errors import TrackingError
from hardy.spec import check_policies

if TYPE_CHECKING:
    from hardy.plan.tracker import PastRun, Tracker
    from hardy.plan.units import Plan


@click.command()
@click.argument("run", shell_complete=complete_run)
@JOBS
def command(run: str, jobs: int | None) -> None:
    """Go on with RUN where it was: a unit at its next sample, a parent at its next unit.

    RUN is an id or its first 6 characters or more. What has finished is not run again.

    Example: hardy resume 3f2a9c
    """
    from hardy.results.request import is_parent
    from hardy.tracking.lookup import find_run
    from hardy.tracking.mlflow_tracker import MlflowTracker

    tracker = MlflowTracker()
    past = tracker.get(find_run(run))
    is_parent(past)  # refuses a run that is none of hardy's
    if past.finished:
        tracker.refer(past.run_id)
        click.echo(f"{past.name}: run {past.run_id} has finished; there is nothing to go on with")
        return
    plan = _plan(tracker, past)
    above = past.tags.get("mlflow.parentRunId")
    # A matrix competes as a whole, once its parent has finished.
    if above is None:
        check_policies(plan.resolved)
    again = shlex.join(["hardy", "resume", past.run_id, *jobs_flag(jobs)])
    carry_out(plan, tracker, resume_command=again, jobs=jobs, compete=above is None)
    if above:
        click.echo(f"it is one unit of a run; the others: hardy resume {above}")


def _plan(tracker: "Tracker", past: "PastRun") -> "Plan":
    """Plan what the run was asked for, and make sure that it still means the same.

    Raises:
        TrackingError: If another process is writing the run, if it stands aside, or if its spec,
            data, weights or code have changed since.
    """
    from hardy.plan.tracker import FINGERPRINT_TAG
    from hardy.plan.units import make_plan
    from hardy.registry.stores import default_stores
    from hardy.results.request import is_parent, resolve_run

    if past.busy:
        message = f"the run {past.run_id} ({past.name}) is being written by another process"
        raise TrackingError(message, hint="Wait until it ends, or stop it first.")
    if FINGERPRINT_TAG not in past.tags:
        message = f"the run {past.run_id} ({past.name}) is a smoke test or a reproduction"
        raise TrackingError(message, hint="Start it again: these runs stand aside and are short.")
    plan = make_plan(resolve_run(tracker, past), default_stores(), tracker)
    parent = is_parent(past)
    mark = plan.fingerprint if parent else plan.units[0].fingerprint
    if mark != past.tags[FINGERPRINT_TAG]:
        what = "its spec, data, weights" if parent else "its data, weights"
        message = f"the run {past.run_id} ({past.name}) cannot go on: {what} or code changed since"
        hint = f"Start anew: hardy run {past.tags.get('hardy.spec', 'SPEC')}"
        raise TrackingError(message, hint=hint)
    return plan if parent else _this_run(plan, past)


def _this_run(plan: "Plan", past: "PastRun") -> "Plan":
    """Go on in the run that was named, unless another one holds the same numbers already."""
    units = tuple(unit if unit.reusable else replace(unit, past=past) for unit in plan.units)
    return replace(plan, units=units)
