"""A parent's report: the answers and the gains of all its units, as tables and a picture."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from hardy.explain.bars import gain_bars
from hardy.measure.answer_table import answer_row
from hardy.measure.gains import gain_rows
from hardy.measure.records import COST
from hardy.results.pooled import joined
from hardy.results.seeds import over_seeds
from hardy.results.stored import StoredUnit, by_experiment
from hardy.results.table import board_of
from hardy.spec import Resolved
from hardy.tasks.base import Content
from hardy.tasks.report import as_csv
from hardy.tasks.summary import measured


def parent_report(resolved: Resolved, units: Sequence[StoredUnit]) -> Iterator[tuple[str, Content]]:
    """Yield tables of several units' answers and gains, those of each task apart.

    Args:
        resolved: The parent: a matrix or a suite.
        units: Its units, in order.
    """
    parts = [part for _, own in by_experiment(resolved, units) for part in _by_task(own)]
    kinds = list(dict.fromkeys(part[0].task.kind for part in parts))
    for kind in kinds:
        mark = "" if len(kinds) == 1 else f"-{kind}"
        alike = [part for part in parts if part[0].task.kind == kind]
        rows = [row for part in alike for row in _answer_rows(_common_name(resolved, part), part)]
        yield f"report/answers{mark}.csv", as_csv(pd.DataFrame(rows))
        yield from _gains(resolved, [unit for part in alike for unit in part], mark)
    if seeds := [asdict(found) for found in over_seeds(resolved, units)]:
        yield "report/seeds.csv", as_csv(pd.DataFrame(seeds))


def _by_task(units: Sequence[StoredUnit]) -> list[list[StoredUnit]]:
    kinds = dict.fromkeys(unit.task.kind for unit in units)
    return [[unit for unit in units if unit.task.kind == kind] for kind in kinds]


def _common_name(resolved: Resolved, units: Sequence[StoredUnit]) -> str:
    """Return the name of the experiment that units are of."""
    names = {unit.name for unit in units}
    return next(
        each.name
        for each in resolved.experiments
        if names <= {unit.experiment.name for unit in each.units}
    )


def _answer_rows(name: str, units: Sequence[StoredUnit]) -> Iterator[dict[str, object]]:
    """Yield a row for each answer of one experiment, over all samples of the runs that have it."""
    task = units[0].task
    votes = frozenset().union(*(unit.experiment.method.votes() for unit in units))
    reference = units[0].baseline or units[0].main
    for answer in dict.fromkeys(name for unit in units for name in unit.answers):
        frame = joined([unit for unit in units if answer in unit.answers])
        before = task.score(frame, reference)
        metrics = measured(task, frame, answer, votes)
        yield answer_row(
            name,
            answer,
            frame["sample"].to_numpy(),
            (before, task.score(frame, answer)),
            {key: metrics.get(key) for key in task.tabled},
            _seconds(frame, answer),
        )


def _seconds(frame: pd.DataFrame, answer: str) -> float | None:
    """Return what an answer alone takes for a sample; None unless that is known of every sample."""
    took = frame.get(f"{COST}{answer}")
    return None if took is None or took.isna().any() else float(took.mean()) / 1000


def _gains(
    resolved: Resolved, units: Sequence[StoredUnit], mark: str
) -> Iterator[tuple[str, Content]]:
    runs: list[tuple[str, np.ndarray, np.ndarray]] = [
        (unit.name.removeprefix(f"{resolved.name}/"), unit.score(unit.baseline), unit.score())
        for unit in units
        if unit.compared
    ]
    if len(runs) < 2:
        return
    board = board_of(units[0].task)
    table = gain_rows(runs, binary=board.binary)
    yield f"report/gains{mark}.csv", as_csv(table)
    what = board.headline if board.binary else "score"
    yield f"report/gains{mark}.png", gain_bars(table, what, percent=board.binary)
