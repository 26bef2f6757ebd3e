"""`hardy show`: a spec as it resolves, where each value comes from, what tells two apart."""

import json
import sys
from functools import partial
from typing import Any

import click

from hardy.cli.complete import complete_override, complete_spec
from hardy.cli.diff import Side, compare, lines, side
from hardy.cli.main import coloured
from hardy.spec import Setting, Unit
from hardy.spec.dump import dump_lines, scalar
from hardy.spec.node import KeyPath


@click.command(name="show")
@click.argument("spec", shell_complete=complete_spec)
@click.option(
    "--set",
    "overrides",
    metavar="A.B=C",
    multiple=True,
    help="Override a value.",
    shell_complete=complete_override,
)
@click.option("--origin", is_flag=True, help="Say of each value where it was set.")
@click.option(
    "--diff",
    "other",
    metavar="OTHER",
    help="Show what differs from another spec or run; exit with 1 if anything does.",
    shell_complete=complete_spec,
)
@click.pass_context
def command(
    context: click.Context, spec: str, overrides: tuple[str, ...], origin: bool, other: str | None
) -> None:
    """Print SPEC as it resolves; the units of a matrix follow one another after `---`.

    SPEC and OTHER are specs, or runs by their ids or the first 6 characters or more; --set
    changes SPEC alone.

    Example: hardy show quickstart --origin
    """
    if other is not None and origin:
        message = "--origin and --diff do not go together"
        raise click.UsageError(message)
    left = side(spec, overrides)
    if other is None:
        _print(left, origin=origin)
        return
    found = compare(left, side(other))
    click.echo("\n".join(lines(found, spec, other, color=coloured(sys.stdout))), color=True)
    context.exit(int(bool(found)))


def _print(found: Side, *, origin: bool) -> None:
    for unit, values in zip(found.units, found.values, strict=True):
        comment = partial(_comment, unit) if origin else _no_comment
        rule = "---\n" if len(found.units) > 1 else ""
        click.echo(rule + dump_lines(values, comment), nl=False)


def _no_comment(path: KeyPath) -> str:
    return ""


def _comment(unit: Unit, path: KeyPath) -> str:
    """Return who set a leaf, and what it overrode."""
    chain = unit.origins.get(path)
    if not chain:
        return "default"
    first, *older = chain
    return ", over ".join([str(first.origin), *map(_overrode, older)])


def _overrode(setting: Setting) -> str:
    return f"{_brief(setting.value)} ({setting.origin})"


def _brief(value: Any) -> str:  # noqa: ANN401 - any YAML value
    text = json.dumps(value) if isinstance(value, (dict, list)) else scalar(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
