"""`hardy list`: what there is to name in a spec, and what became of each experiment."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path

import click

from hardy.core.spec import Spec
from hardy.data.cards import DATASETS
from hardy.data.spec import CORRUPTIONS
from hardy.methods import METHODS
from hardy.spec import named_experiments, named_suites
from hardy.spec.find import is_search
from hardy.spec.merge import Loader
from hardy.tasks import TASKS
from hardy.tasks.names import METRICS
from hardy.tracking.recent import LastRun, last_runs, local_store, remote_last_runs

Row = tuple[str, ...]


def _experiments(remote: bool) -> list[Row | None]:
    return _by_family(named_experiments(), remote=remote)


def _suites(remote: bool) -> list[Row | None]:
    return _by_family(named_suites(), remote=remote)


def _by_family(found: Sequence[tuple[str, str, Path]], *, remote: bool) -> list[Row | None]:
    """Return the rows, a gap between families; a family is a folder."""
    last = _last_runs(remote=remote) if found else {}
    told = any(name in last for name, _, _ in found)
    rows: list[Row | None] = []
    for _, family in groupby(sorted(found, key=_key), key=lambda entry: _key(entry)[0]):
        rows += [None] if rows else []
        for name, description, path in family:
            about = ("search: " if is_search(path) else "") + (description or _inherited(path))
            rows.append((name, *(_run_cells(last.get(name)) if told else ()), about))
    return rows


def _key(entry: tuple[str, str, Path]) -> tuple[str, str]:
    return entry[0].rpartition("/")[0], entry[0]


def _inherited(path: Path) -> str:
    """Return the description that a file takes from what it extends; empty if there is none."""
    tree = Loader().load(path)
    node = tree.child("description") if tree else None
    return node.value if node and isinstance(node.value, str) else ""


def _last_runs(*, remote: bool) -> Mapping[str, LastRun]:
    database = local_store()
    if database is not None:
        return last_runs(database)
    return remote_last_runs() if remote else {}


def _run_cells(last: LastRun | None) -> Row:
    if last is None:
        return ("", "", "")
    day = datetime.fromtimestamp(last.started / 1000).astimezone().strftime("%Y-%m-%d %H:%M")
    return (day, last.status.lower(), _headline(last.metrics))


def _headline(metrics: Mapping[str, float]) -> str:
    """Write the first metric of the catalogue that a run has, or its mean over a run's units."""
    for name in METRICS:
        for key in (name, f"mean/{name}"):
            if key in metrics:
                return f"{key} {metrics[key]:.4g}"
    return ""


def _datasets(remote: bool) -> list[Row]:
    return [(name, card.title) for name, card in DATASETS.items()]


def _methods(remote: bool) -> list[Row]:
    return [(_kind(method), _first_line(method)) for method in METHODS]


def _corruptions(remote: bool) -> list[Row]:
    return [(name, "severity 1 to 5") for name in CORRUPTIONS]


def _metrics(remote: bool) -> list[Row]:
    """Return each metric with its direction, the tasks that have it, and what it is."""
    words = {True: "higher", False: "lower", None: "neither"}
    return [
        (
            name,
            words[metric.higher_is_better],
            ", ".join(_kind(task) for task in TASKS if name in task.metrics) or "all",
            metric.meaning,
        )
        for name, metric in METRICS.items()
    ]


def _tasks(remote: bool) -> list[Row]:
    return [(_kind(task), _first_line(task)) for task in TASKS]


def _kind(schema: type[Spec]) -> str:
    return str(schema.model_fields["kind"].default)


def _first_line(schema: type[Spec]) -> str:
    return (schema.__doc__ or "").partition("\n")[0]


TABLES: dict[str, Callable[[bool], Sequence[Row | None]]] = {
    "experiments": _experiments,
    "suites": _suites,
    "datasets": _datasets,
    "methods": _methods,
    "tasks": _tasks,
    "corruptions": _corruptions,
    "metrics": _metrics,
}


@click.command(name="list")
@click.argument("what", type=click.Choice(list(TABLES)), default="experiments")
@click.option("--runs", is_flag=True, help="Ask a tracking server, too, for the last runs (slow).")
def command(what: str, runs: bool) -> None:
    """List what a spec can name; experiments by default, by family, each with its last run.

    The last run's start, status and first metric come from the local store, if there is one; of a
    tracking server, --runs asks for them.

    Example: hardy list corruptions
    """
    rows = TABLES[what](runs)
    if not rows:
        click.echo(f"there are no {what} here; run hardy in the project's folder", err=True)
    columns = list(zip(*(row for row in rows if row), strict=True))
    widths = [max(map(len, column)) for column in columns[:-1]]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row or (), widths, strict=False)]
        click.echo("  ".join([*cells, *(row or ())[-1:]]).rstrip())
