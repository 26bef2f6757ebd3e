"""`hardy list`: what there is to name in a spec."""

from collections.abc import Callable, Iterable
from itertools import groupby

import click

from hardy.data.cards import DATASETS
from hardy.data.spec import CORRUPTIONS
from hardy.measure.names import MEANINGS
from hardy.methods import METHODS
from hardy.spec import named_experiments

Row = tuple[str, str]


def _experiments() -> Iterable[Row | None]:
    """Yield the experiments, a gap between families; a family is a folder."""
    rows = [(name, description) for name, description, _ in named_experiments()]
    rows.sort(key=lambda row: (_family(row[0]), row[0]))
    for index, (_, family) in enumerate(groupby(rows, key=lambda row: _family(row[0]))):
        if index:
            yield None
        yield from family


def _family(name: str) -> str:
    return name.rpartition("/")[0]


def _datasets() -> Iterable[Row]:
    return [(name, card.title) for name, card in DATASETS.items()]


def _methods() -> Iterable[Row]:
    return [
        (str(method.model_fields["kind"].default), (method.__doc__ or "").partition("\n")[0])
        for method in METHODS
    ]


def _corruptions() -> Iterable[Row]:
    return [(name, "severity 1 to 5") for name in CORRUPTIONS]


def _metrics() -> Iterable[Row]:
    return MEANINGS.items()


TABLES: dict[str, Callable[[], Iterable[Row | None]]] = {
    "experiments": _experiments,
    "datasets": _datasets,
    "methods": _methods,
    "corruptions": _corruptions,
    "metrics": _metrics,
}


@click.command(name="list")
@click.argument("what", type=click.Choice(list(TABLES)), default="experiments")
def command(what: str) -> None:
    """List what a spec can name; experiments by default, by family.

    Example: hardy list corruptions
    """
    rows = list(TABLES[what]())
    if not rows:
        click.echo(f"there are no {what} here; run hardy in the project's folder", err=True)
    width = max((len(row[0]) for row in rows if row), default=0)
    for row in rows:
        click.echo(f"{row[0]:{width}}  {row[1]}".rstrip() if row else "")
