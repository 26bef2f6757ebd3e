"""Parts of a unit's report that are alike for all tasks: what an adaptation changed."""

from collections.abc import Iterator

import pandas as pd

from hardy.explain.bars import operation_bars
from hardy.measure.operations import OPERATIONS, operation_rows
from hardy.tasks.base import Content, Task


def operations(
    task: Task, frame: pd.DataFrame, main: str, baseline: str
) -> Iterator[tuple[str, Content]]:
    """Yield which operations made the views of samples that got better, or worse.

    Nothing where the records name no operations, or a single one, which is no choice.
    """
    if OPERATIONS not in frame:
        return
    scores = [task.score(frame, name) for name in (baseline, main)]
    table = operation_rows(frame, *scores)
    if len(table) < 2:
        return
    yield "report/operations.csv", as_csv(table)
    # Without a sample that changed there is nothing to count views of.
    if table[["improved_views", "worsened_views"]].to_numpy().any():
        yield "report/operations.png", operation_bars(table)


def as_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV."""
    return str(table.to_csv(index=False, lineterminator="\n"))
