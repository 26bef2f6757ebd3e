"""`hardy plan`: what a run would do, before it does it."""

import click
from rich.console import Console
from rich.table import Table

from hardy.cli.inputs import INPUTS
from hardy.plan.units import Plan, PlannedUnit, make_plan
from hardy.spec import resolve


@click.command()
@click.argument("spec")
@click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Override a value.")
@click.option("--again", is_flag=True, help="Plan as if no finished run could be reused.")
def command(spec: str, overrides: tuple[str, ...], again: bool) -> None:
    """Show the runs that SPEC leads to, and which of them are already done.

    Example: hardy plan quickstart --set data.shift.severity=5
    """
    from hardy.tracking.mlflow_tracker import MlflowTracker

    resolved = resolve(spec, overrides)
    plan = make_plan(resolved, INPUTS, MlflowTracker(), again=again)
    _print(plan, Console())


def _print(plan: Plan, console: Console) -> None:
    table = Table(title=f"{plan.resolved.name}: {len(plan.units)} unit(s)", title_justify="left")
    for header in ("unit", "fingerprint", "data", "weights", "state"):
        table.add_column(header, overflow="fold")
    for planned in plan.units:
        table.add_row(
            planned.unit.experiment.name,
            planned.fingerprint[:12],
            planned.data_digest[:12] or "absent",
            planned.weights[:19],
            _state(planned),
        )
    console.print(table)


def _state(planned: PlannedUnit) -> str:
    past = planned.past
    if past is None:
        return "to run"
    if past.finished:
        return f"reuses run {past.run_id}"
    return f"running as {past.run_id}" if past.busy else f"goes on in run {past.run_id}"
