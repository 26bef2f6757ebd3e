"""Several units of a matrix or a suite side by side, class by class."""

from collections.abc import Iterator, Sequence

import pandas as pd

from hardy.core.errors import ArtifactAbsent
from hardy.results.stored import StoredUnit
from hardy.spec import Resolved
from hardy.tasks.base import CLASSES, Content

_MOST = 4
"""Units that one picture tells apart."""


def beside(resolved: Resolved, units: Sequence[StoredUnit]) -> Iterator[tuple[str, Content]]:
    """Yield tables and pictures of units on the same classes; nothing of fewer than 2, or above 4.

    Args:
        resolved: The parent: a matrix or a suite.
        units: Its units, in order.
    """
    alike: dict[tuple[str, ...], dict[str, tuple[StoredUnit, pd.DataFrame]]] = {}
    for unit in units:
        table = _table(unit)
        if table is not None:
            key = (unit.task.kind, *table["class"].drop_duplicates())
            alike.setdefault(key, {})[unit.name.removeprefix(f"{resolved.name}/")] = unit, table
    drawn = [own for own in alike.values() if 2 <= len(own) <= _MOST]
    for number, own in enumerate(drawn, start=1):
        task = next(iter(own.values()))[0].task
        for path, content in task.beside({name: table for name, (_, table) in own.items()}):
            stem, _, end = path.rpartition(".")
            yield (path if len(drawn) == 1 else f"{stem}-of-{number}.{end}"), content


def _table(unit: StoredUnit) -> pd.DataFrame | None:
    """Return the table of classes of a unit's own answer; None where its task has none."""
    try:
        path = unit.store.artifact(unit.run_id, CLASSES)
    except ArtifactAbsent:
        return None
    # Nothing but an empty cell is no value: a class may be called `nan`.
    table = pd.read_csv(path, dtype={"class": str}, keep_default_na=False, na_values=[""])
    return table[table["answer"] == unit.main] if "answer" in table else table
