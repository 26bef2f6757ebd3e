"""`hardy run`: carry an experiment out, let its result compete, say what came of it."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from hardy.registry.spec import Policy
from hardy.spec import Resolved, load_policy, resolve

if TYPE_CHECKING:
    from hardy.engine.results import UnitResult

SET = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Override a value."
)


@click.command()
@click.argument("spec")
@SET
@click.option("--again", is_flag=True, help="Run anew what a finished run already holds.")
def command(spec: str, overrides: tuple[str, ...], again: bool) -> None:
    """Run the experiment SPEC: a file, or a name below experiments/.

    Finished runs of the same fingerprint are reused, unfinished ones go on where they were.

    Example: hardy run quickstart --set compute.workers=2
    """
    resolved = resolve(spec, overrides)  # a bad spec fails here, before torch is imported
    policy = _policy(resolved)

    from hardy.cli.inputs import INPUTS
    from hardy.engine.progress import Reporter
    from hardy.engine.runner import run_plan
    from hardy.plan.units import make_plan
    from hardy.tracking.mlflow_tracker import MlflowTracker

    tracker = MlflowTracker()
    plan = make_plan(resolved, INPUTS, tracker, again=again)
    again_command = shlex.join([_hardy(), "run", spec, *_set_flags(overrides)])
    run_id, results = run_plan(plan, tracker, Reporter(), resume_command=again_command)

    console = Console()
    _print_results(console, resolved, results)
    if policy is not None:
        from hardy.registry.compete import compete

        for line in compete(policy, results, run_id):
            console.print(line, highlight=False, soft_wrap=True)
    _print_next(console, tracker.link(run_id), results, policy)


def _policy(resolved: Resolved) -> Policy | None:
    name = resolved.units[0].experiment.register_as
    return load_policy(name) if name else None


def _set_flags(overrides: Sequence[str]) -> list[str]:
    return [flag for override in overrides if override for flag in ("--set", override)]


def _hardy() -> str:
    """Return how this hardy is started from here: by its path where it lies below, else by name."""
    script = Path(sys.prefix) / "bin" / "hardy"
    here = Path.cwd()
    return str(script.relative_to(here)) if script.is_relative_to(here) else "hardy"


def _print_results(console: Console, resolved: Resolved, results: "Sequence[UnitResult]") -> None:
    from hardy.engine.runner import leaderboard_rows
    from hardy.measure.leaderboard import HEADERS, cells

    first = resolved.units[0].experiment
    table = Table(
        title=f"{resolved.name}: {first.method.kind} on {first.model.name}, {first.data.dataset}",
        caption="accuracy in % with its 95 % interval (Wilson); flips to right and to wrong",
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
    )
    rows = [
        {**row, "name": row["name"].removeprefix(f"{resolved.name}/")}
        for row in leaderboard_rows(results)
    ]
    # A matrix over shifts is named by them: a narrow terminal has no room to say it twice.
    start = int(all(row["shift"].startswith(row["name"]) for row in rows))
    for header in HEADERS[start:]:
        left = header in ("run", "shift")
        table.add_column(header, justify="left" if left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*cells(row)[start:])
    console.print(table)
    reused = sum(result.reused for result in results)
    if reused:
        console.print(f"{reused} of {len(results)} runs reused; --again runs them anew")


def _print_next(
    console: Console, link: str, results: "Sequence[UnitResult]", policy: Policy | None
) -> None:
    hardy = _hardy()
    best = max(results, key=lambda result: result.metrics["accuracy"])
    lines = [
        ("see it in the browser", f"{hardy} ui"),
        ("this run", link),
        ("the best unit", f"{best.planned.unit.experiment.name}, run {best.run_id}"),
    ]
    if policy is not None:
        uri = f"models:/{policy.model}@{policy.alias}"
        lines.append(("classify a picture", f"{hardy} predict --model {uri} IMAGE"))
    for what, how in lines:
        console.print(f"{what}: {how}", highlight=False, soft_wrap=True)
