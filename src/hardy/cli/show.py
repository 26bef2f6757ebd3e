"""`hardy show`: a spec as it resolves, and where each value comes from."""

import json
from functools import partial
from typing import Any

import click

from hardy.spec import Setting, Unit, resolve
from hardy.spec.dump import dump_lines, scalar
from hardy.spec.node import KeyPath


@click.command(name="show")
@click.argument("spec")
@click.option("--set", "overrides", metavar="A.B=C", multiple=True, help="Override a value.")
@click.option("--origin", is_flag=True, help="Say of each value where it was set.")
def command(spec: str, overrides: tuple[str, ...], origin: bool) -> None:
    """Print a spec as it resolves; the units of a matrix follow one another after `---`.

    Example: hardy show quickstart --origin
    """
    units = resolve(spec, overrides).units
    for unit in units:
        comment = partial(_comment, unit) if origin else _no_comment
        values = unit.experiment.model_dump(mode="json", by_alias=True)
        click.echo(("---\n" if len(units) > 1 else "") + dump_lines(values, comment), nl=False)


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
