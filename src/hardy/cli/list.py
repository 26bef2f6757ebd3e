"""`hardy list`: what there is to name in a spec, and what became of each experiment."""

import ast
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import get_args

import click

from hardy.cli.columns import Row, table, terminal_width
from hardy.core.spec import Spec
from hardy.data import view_spec
from hardy.data.cards import DATASETS
from hardy.data.shift_spec import CORRUPTIONS, PLAIN, Corruption, OneOf
from hardy.methods import METHODS
from hardy.spec import named_experiments, named_suites
from hardy.spec.find import is_search
from hardy.spec.merge import Loader
from hardy.tasks import TASKS
from hardy.tasks.names import METRICS
from hardy.tracking.recent import (
    LastRun,
    elsewhere,
    last_runs,
    local_store,
    remote_elsewhere,
    remote_last_runs,
)

_ID = 8


def _experiments(remote: bool) -> list[Row | None]:
    """Return the experiments, then the last runs of what is no file below experiments/."""
    last, others = _last_runs(remote=remote), _elsewhere(remote=remote)
    found, suites = named_experiments(), named_suites()
    gone = {name: last[name] for name in sorted(last.keys() - {e[0] for e in [*found, *suites]})}
    rows = _by_family(found, last, told=bool(others or gone))
    for runs, where in ((others, "of a file elsewhere"), (gone, "of a file that is gone")):
        rows += [None] if rows and runs else []
        rows += [
            (name, *_run_cells(run), f"run {run.run_id[:_ID]}, {where}")
            for name, run in runs.items()
        ]
    return rows


def _suites(remote: bool) -> list[Row | None]:
    return _by_family(named_suites(), _last_runs(remote=remote))


def _by_family(
    found: Sequence[tuple[str, str, Path]], last: Mapping[str, LastRun], *, told: bool = False
) -> list[Row | None]:
    """Return the rows, a gap between families; a family is a folder.

    Args:
        found: Name, description and file of each.
        last: Its last run by its name.
        told: Whether there are columns for runs, though none of these has one.
    """
    told = told or any(name in last for name, _, _ in found)
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


def _elsewhere(*, remote: bool) -> Mapping[str, LastRun]:
    database = local_store()
    if database is not None:
        return elsewhere(database)
    return remote_elsewhere() if remote else {}


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


def _shifts(remote: bool) -> list[Row]:
    """Return every kind of shift with its fields: the corruptions, then those of free strength."""
    schemas: tuple[type[Spec], ...] = (*PLAIN, OneOf)
    free = [_shift(_kind(each), each) for each in schemas if each is not Corruption]
    return [*(_shift(name, Corruption) for name in CORRUPTIONS), *free]


def _shift(name: str, schema: type[Spec]) -> Row:
    fields = ", ".join(field for field in schema.model_fields if field != "kind")
    return (name, f"{fields}: {_first_line(schema)}")


def _views(remote: bool) -> list[Row]:
    """Return every way to make views with its default number."""
    found = get_args(get_args(view_spec.ViewSpec)[0])
    return [
        (_kind(each), f"count {each.model_fields['count'].default}", _first_line(each))
        for each in found
    ]


def _operations(remote: bool) -> list[Row]:
    """Return the operations of views with the name of their group, and what each does.

    Their texts are read and not imported, for the functions need scipy and torch.
    """
    folder = Path(view_spec.__file__).parent / "views"
    rows: list[Row] = []
    for group, names in view_spec.GROUPS.items():
        text = (folder / f"{group}.py").read_text(encoding="utf-8")
        parts = [part for part in ast.parse(text).body if isinstance(part, ast.FunctionDef)]
        said = {part.name: (ast.get_docstring(part) or "").partition("\n")[0] for part in parts}
        rows += [(name, group, said[name]) for name in names]
    return rows


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
    "shifts": _shifts,
    "corruptions": _corruptions,
    "views": _views,
    "operations": _operations,
    "metrics": _metrics,
}


@click.command(name="list")
@click.argument("what", type=click.Choice(list(TABLES)), default="experiments")
@click.option("--runs", is_flag=True, help="Ask a tracking server, too, for the last runs (slow).")
def command(what: str, runs: bool) -> None:
    """List what a spec can name; experiments by default, by family, each with its last run.

    The last run's start, status and first metric come from the local store, if there is one; of a
    tracking server, --runs asks for them. Runs of files elsewhere come last, by the names in them.

    Example: hardy list corruptions
    """
    rows = TABLES[what](runs)
    if not rows:
        click.echo(f"there are no {what} here; run hardy in the project's folder", err=True)
    for line in table(rows, terminal_width()):
        click.echo(line)
