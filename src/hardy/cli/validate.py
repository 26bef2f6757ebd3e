"""`hardy validate`: every fault of every spec, or the number of units that each means."""

import json
from pathlib import Path
from typing import Any

import click

from hardy.cli.main import report
from hardy.core.errors import SpecError
from hardy.core.paths import policies_dir
from hardy.spec import Diagnostics, Resolved, check_policies, load_policy, resolve
from hardy.spec.search.values import most_trials


@click.command(name="validate")
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
@click.option("--set", "overrides", metavar="A.B=C", multiple=True, help="Override a value.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Lines for people, or one JSON list for programs.",
)
def command(specs: tuple[str, ...], overrides: tuple[str, ...], form: str) -> None:
    """Check specs, and policies by their file; show every fault with its place.

    Exits with 2 if there is one.

    Example: hardy validate quickstart --set method.steps=2
    """
    outcomes = {spec: _outcome(spec, overrides) for spec in specs}
    if form == "json":
        click.echo(json.dumps([_as_json(*item) for item in outcomes.items()], indent=2))
    else:
        for outcome in outcomes.values():
            _print(outcome)
    if any(isinstance(outcome, SpecError) for outcome in outcomes.values()):
        click.get_current_context().exit(SpecError.exit_status)


def _outcome(spec: str, overrides: tuple[str, ...]) -> Resolved | str | SpecError:
    """Return what a spec means, the name of a policy without faults, or what is wrong."""
    try:
        if (policy := Path(spec).resolve()).parent == policies_dir().resolve():
            load_policy(policy.stem)
            return policy.stem
        resolved = resolve(spec, overrides)
        check_policies(resolved)
        return resolved
    except SpecError as error:
        return error


def _print(outcome: Resolved | str | SpecError) -> None:
    if isinstance(outcome, SpecError):
        report(outcome)
    elif isinstance(outcome, str):
        click.echo(f"ok  policy {outcome}")
    else:
        click.echo(f"ok  {outcome.name}  {_units(outcome)}")


def _units(resolved: Resolved) -> str:
    units = _count(len(resolved.units), "unit")
    if resolved.search is None:
        return units
    spec = resolved.search.spec
    return f"search over {_count(len(spec.space), 'value')}, {most_trials(spec)} trials of {units}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _as_json(spec: str, outcome: Resolved | str | SpecError) -> dict[str, Any]:
    if isinstance(outcome, str):
        return {"spec": spec, "ok": True, "name": outcome, "units": [], "faults": []}
    if isinstance(outcome, Resolved):
        names = [unit.experiment.name for unit in outcome.units]
        return {"spec": spec, "ok": True, "name": outcome.name, "units": names, "faults": []}
    faults = outcome.as_json() if isinstance(outcome, Diagnostics) else []
    general = [] if faults else [{"message": outcome.message, "hint": outcome.hint}]
    return {"spec": spec, "ok": False, "name": None, "units": [], "faults": faults or general}
