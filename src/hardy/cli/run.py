"""`hardy run`: carry an experiment out, let its result compete, say what came of it."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.table import Table

from hardy.cli.columns import blocks
from hardy.cli.complete import complete_override, complete_spec
from hardy.cli.main import abandon
from hardy.core.errors import SpecError
from hardy.registry.spec import Policy
from hardy.spec import Resolved, check_policies, load_policy, resolve

if TYPE_CHECKING:
    from hardy.plan.tracker import Tracker
    from hardy.plan.units import Plan
    from hardy.results.stored import StoredUnit
    from hardy.results.table import Table as Results

SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a value.",
    shell_complete=complete_override,
)
JOBS = click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Run N units at a time, with one thread each.",
)
_GAP = 2  # columns that a cell's padding and the line beside it take
_WIDEST = 10_000
SMOKE_EXPERIMENT = "hardy-smoke"


class _Results(Console):
    """Prints what came of a run; where nobody reads on, what is left to do is done all the same."""

    def on_broken_pipe(self) -> None:
        """Say no more."""
        self.quiet = True
        abandon(sys.stdout)


@click.command()
@click.argument("spec", shell_complete=complete_spec)
@SET
@click.option("--again", is_flag=True, help="Run anew what a finished run already holds.")
@click.option("--smoke", is_flag=True, help="One sample a unit, apart from all other runs.")
@JOBS
def command(
    spec: str, overrides: tuple[str, ...], again: bool, smoke: bool, jobs: int | None
) -> None:
    """Run the experiment SPEC: a file, or a name below experiments/.

    Finished runs of the same fingerprint are reused, unfinished ones go on where they were.
    With --smoke, one sample of each unit goes the whole way: always anew, in the MLflow
    experiment hardy-smoke, never reused and never registered. With --jobs, units of a matrix or
    a suite run side by side; 1 gives the same numbers as any other N.

    Example: hardy run quickstart --set compute.workers=2
    """
    resolved = resolve(spec, overrides)  # a bad spec fails here, before torch is imported
    check_policies(resolved)
    from hardy.engine.smoke import smoke as cut_down
    from hardy.plan.units import make_plan
    from hardy.registry.apart import check_apart
    from hardy.registry.stores import default_stores
    from hardy.tracking.mlflow_tracker import MlflowTracker
    from hardy.tracking.scratch import AsideTracker

    words = [_hardy(), "run", spec, *_set_flags(overrides), *(["--smoke"] if smoke else [])]
    words += jobs_flag(jobs)
    if smoke:
        plan = make_plan(cut_down(resolved), default_stores(), None)
        aside = AsideTracker(MlflowTracker(SMOKE_EXPERIMENT), "smoke")
        carry_out(plan, aside, resume_command=shlex.join(words), jobs=jobs)
        return
    if again and resolved.search is not None:
        message = f"{resolved.name} is a search, which goes on where it stands"
        raise SpecError(message, hint="Another seed is another search: --set seed=1")
    tracker = MlflowTracker()
    plan = make_plan(resolved, default_stores(), tracker, again=again)
    check_apart(plan)
    carry_out(plan, tracker, resume_command=shlex.join(words), jobs=jobs)


def carry_out(
    plan: "Plan",
    tracker: "Tracker",
    *,
    resume_command: str,
    jobs: int | None = None,
    compete: bool = True,
) -> None:
    """Run a plan, print its results, let them compete, and say what to do next.

    Args:
        plan: What to run.
        tracker: Where runs are written.
        resume_command: What goes on after a stop or a failure.
        jobs: How many units run at a time; None for one, in this process.
        compete: Whether results may be registered, where their experiment says so.
    """
    from hardy.tracking.leftovers import tidy

    for line in tidy():
        click.echo(line, err=True)
    if plan.resolved.search is not None:
        _search(plan, tracker, resume_command=resume_command, jobs=jobs, compete=compete)
        return
    from hardy.engine.progress import Reporter
    from hardy.engine.runner import run_plan
    from hardy.results.table import tables

    run_id, results = run_plan(plan, tracker, Reporter(), resume_command=resume_command, jobs=jobs)
    console = _Results()
    for table in tables(plan.resolved, results):
        _print_table(console, table)
    versions = _compete(console, plan.resolved, results, run_id) if compete else []
    _print_next(console, tracker.link(run_id), results, versions)


def _search(
    plan: "Plan", tracker: "Tracker", *, resume_command: str, jobs: int | None, compete: bool
) -> None:
    """Carry a search out, print its best trials, and let the best one compete."""
    from hardy.engine.progress import Reporter
    from hardy.engine.search.run import run_search
    from hardy.plan.units import Planner
    from hardy.registry.stores import default_stores
    from hardy.tracking import default_finder

    planner = Planner(default_stores(), default_finder())
    found = run_search(plan, tracker, Reporter(), planner, resume_command=resume_command, jobs=jobs)
    console = _Results()
    _print_table(console, found.table)
    tested = found.tested
    console.print(tested.verdict, highlight=False, soft_wrap=True)
    policy = _policy(plan.resolved) if compete and tested.best else None
    versions = []
    if policy and tested.worse:
        refused = "nothing is registered: on the test samples the best trial is the worse one"
        console.print(refused, highlight=False, soft_wrap=True)
    elif policy:
        versions.append(_competed(console, policy, tested.best, found.run_id))
    _print_next(console, tracker.link(found.run_id), tested.best, versions)


def _compete(
    console: Console, resolved: Resolved, results: "Sequence[StoredUnit]", run_id: str
) -> list[str]:
    """Let each experiment's results compete by its own policy; return the versions' addresses."""
    found = []
    for experiment in resolved.experiments:
        policy = _policy(experiment)
        if policy is None:
            continue
        names = {unit.experiment.name for unit in experiment.units}
        own = [unit for unit in results if unit.name in names]
        found.append(_competed(console, policy, own, run_id))
    return found


def _competed(console: Console, policy: Policy, units: "Sequence[StoredUnit]", run_id: str) -> str:
    """Let units compete, and say what came of it; return the version's address."""
    from hardy.registry.register import compete

    lines, uri = compete(policy, units, run_id)
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    return uri


def _policy(experiment: Resolved) -> Policy | None:
    name = experiment.units[0].experiment.register_as
    return load_policy(name) if name else None


def _set_flags(overrides: Sequence[str]) -> list[str]:
    return [flag for override in overrides if override for flag in ("--set", override)]


def jobs_flag(jobs: int | None) -> list[str]:
    """Return how `--jobs` is written in a command."""
    return [] if jobs is None else ["--jobs", str(jobs)]


def _hardy() -> str:
    """Return how this hardy is started from here: by its path where it lies below, else by name."""
    script = Path(sys.prefix) / "bin" / "hardy"
    here = Path.cwd()
    return str(script.relative_to(here)) if script.is_relative_to(here) else "hardy"


def _print_table(console: Console, found: "Results") -> None:
    """Print a table; one that is wider than the terminal in parts, one below another."""
    console.print(found.title, style="italic", highlight=False, soft_wrap=True)
    for places in blocks([found.headers, *found.rows], console.width - 1, _GAP):
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for place in places:
            left = found.headers[place] in ("run", "shift")
            justify: JustifyMethod = "left" if left else "right"
            table.add_column(found.headers[place], justify=justify, no_wrap=True)
        for row in found.rows:
            table.add_row(*(row[place] for place in places))
        wide = console.options.update(max_width=_WIDEST)
        table.width = console.measure(table, options=wide).maximum
        console.print(table, crop=False)
    if found.caption:
        console.print(found.caption, style="italic dim", highlight=False)
    for line in found.lines:
        console.print(line, highlight=False, soft_wrap=True)


def _print_next(
    console: Console, link: str, results: "Sequence[StoredUnit]", versions: Sequence[str]
) -> None:
    from hardy.results.table import best

    hardy = _hardy()
    lines = [
        ("see it in the browser", f"{hardy} ui"),
        ("this run", link),
        *((what, f"{unit.name}, run {unit.run_id}") for what, unit in best(results)),
    ]
    for uri in dict.fromkeys(versions):
        lines.append(("ask it about a picture", f"{hardy} predict --model {uri} IMAGE"))
    for what, how in lines:
        console.print(f"{what}: {how}", highlight=False, soft_wrap=True)
