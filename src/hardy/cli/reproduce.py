"""`hardy reproduce`: run again what a run was, and say whether its numbers come back."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from hardy.cli.complete import complete_run
from hardy.core.errors import TrackingError

if TYPE_CHECKING:
    from hardy.measure.drift import Change, Drift
    from hardy.plan.tracker import PastRun, Tracker
    from hardy.plan.units import Plan
    from hardy.tracking.reproduce import Difference, Reproduction

_SHOWN_SAMPLES = 10


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Largest absolute difference of a number that is no drift.",
)
@click.pass_context
def command(context: click.Context, run: str, tolerance: float) -> None:
    """Run anew the spec that RUN kept, and compare every metric and every sample's record.

    RUN is an id or its first 6 characters or more. The new run is tagged hardy.reproduces; it is
    never reused and never competes in the registry. Exit status 0 without drift, 1 with it.

    Example: hardy reproduce 3f2a9c --tolerance 1e-6
    """
    if not math.isfinite(tolerance):
        message = f"--tolerance {tolerance} is no distance"
        raise click.UsageError(message)

    from hardy.tracking.lookup import find_run
    from hardy.tracking.mlflow_tracker import MlflowTracker
    from hardy.tracking.reproduce import judge

    tracker = MlflowTracker()
    first = tracker.get(find_run(run))
    originals = _finished_units(tracker, first)
    repeated = _repeat(tracker, first, originals)
    found = [judge(tracker, old.run_id, repeated[old.name], tolerance) for old in originals]
    for reproduction in found:
        click.echo("\n".join(_report(reproduction, tolerance, full=len(found) == 1)))
    context.exit(int(any(reproduction.drift.drifted for reproduction in found)))


def _finished_units(tracker: "Tracker", run: "PastRun") -> "list[PastRun]":
    from hardy.results.request import is_parent, unit_runs

    is_parent(run)  # first of all: is it a run of hardy's?
    if not run.finished:
        message = f"the run {run.run_id} ({run.name}) has not finished: there is nothing to repeat"
        raise TrackingError(message, hint=f"hardy resume {run.run_id}")
    return unit_runs(tracker, run)


def _repeat(
    tracker: "Tracker", first: "PastRun", originals: "Sequence[PastRun]"
) -> Mapping[str, str]:
    """Run the units anew, each from the spec that its own run kept; return runs by unit name."""
    from hardy.engine.progress import Reporter
    from hardy.engine.runner import run_plan
    from hardy.plan.tracker import SHARED_TAG
    from hardy.tracking.reproduce import REPRODUCES_TAG
    from hardy.tracking.scratch import AsideTracker

    by_name = {first.name: first} | {run.name: run for run in originals}

    def extra(name: str) -> dict[str, str]:
        old = by_name.get(name, first)
        choices = {k: v for k, v in old.tags.items() if k.startswith("hardy.choice.")}
        return {REPRODUCES_TAG: old.run_id, **choices}

    aside = AsideTracker(tracker, "reproduction", extra)
    again = f"hardy reproduce {first.run_id}"
    # What ran in a worker had one thread there, and has it again.
    jobs = 1 if any(SHARED_TAG in run.tags for run in originals) else None
    _, results = run_plan(
        _plan(tracker, first, originals), aside, Reporter(), resume_command=again, jobs=jobs
    )
    return {unit.name: unit.run_id for unit in results}


def _plan(tracker: "Tracker", first: "PastRun", originals: "Sequence[PastRun]") -> "Plan":
    from hardy.plan.units import make_plan
    from hardy.registry.stores import default_stores
    from hardy.results.request import resolve_run

    specs = [resolve_run(tracker, run) for run in originals]
    units = tuple(unit for spec in specs for unit in spec.units)
    resolved = replace(specs[0], name=first.name, units=units)
    plan = make_plan(resolved, default_stores(), tracker, again=True)
    # An unfinished run of the same fingerprint is not to be gone on with either.
    return replace(plan, units=tuple(replace(unit, past=None) for unit in plan.units))


def _report(reproduction: "Reproduction", tolerance: float, *, full: bool) -> Iterator[str]:
    then, now, drift = reproduction.then, reproduction.now, reproduction.drift
    yield f"{then.name}: run {then.run_id}, repeated as {now.run_id}"
    yield from _metric_lines(drift.metrics, full=full)
    yield from _sample_lines(drift, tolerance)
    yield from _cause_lines(reproduction.differences, drifted=drift.drifted)


def _metric_lines(metrics: "Sequence[Change]", *, full: bool) -> Iterator[str]:
    shown = [change for change in metrics if full or change.drifted]
    width = max((len(change.name) for change in shown), default=0)
    for change in shown:
        mark = _distance(change) if change.drifted else "same"
        then, now = _number(change.then), _number(change.now)
        yield f"  {change.name:{width}}  {then:>12}  {now:>12}  {mark}"
    held = sum(not change.drifted for change in metrics)
    yield f"  metrics: {held} of {len(metrics)} came back"


def _sample_lines(drift: "Drift", tolerance: float) -> Iterator[str]:
    from hardy.measure.drift import largest

    exactly = f"within {tolerance:g}" if tolerance else "bit for bit"
    held = drift.sample_count - len(drift.samples)
    yield f"  samples: {max(held, 0)} of {drift.sample_count} came back {exactly}"
    for sample, change in largest(drift, _SHOWN_SAMPLES):
        yield (
            f"    {sample}: {change.name} {_number(change.then)} -> {_number(change.now)}"
            f"  {_distance(change)}".rstrip()
        )
    more = len(drift.samples) - _SHOWN_SAMPLES
    if more > 0:
        yield f"    and {more} more"


def _cause_lines(differences: "Sequence[Difference]", *, drifted: bool) -> Iterator[str]:
    if not drifted:
        also = ", ".join(dict.fromkeys(each.cause for each in differences))
        yield f"  no drift, although these differ: {also}" if also else "  no drift"
    elif not differences:
        yield "  drift, likely cause: none is recorded; the numbers themselves are not repeatable"
    else:
        yield f"  drift, likely cause: {differences[0].cause}"
    for each in differences:
        yield f"    {each.cause}, {each.fact}: {each.then or 'unknown'} -> {each.now or 'unknown'}"


def _distance(change: "Change") -> str:
    return f"differs by {change.distance:.3g}" if math.isfinite(change.distance) else "differs"


def _number(value: object) -> str:
    if value is None:
        return "absent"
    return f"{value:.9g}" if isinstance(value, float) else str(value)
