"""A run's report: what the adaptation changed, as tables and pictures under `report/`."""

from collections.abc import Iterator, Sequence

import pandas as pd
from PIL import Image

from hardy.explain.bars import class_deltas, class_panels, gain_bars, operation_bars
from hardy.measure.answer_table import answer_rows
from hardy.measure.gains import gain_rows
from hardy.measure.operations import OPERATIONS, operation_rows
from hardy.measure.records import answers
from hardy.results.stored import UnitResult, by_experiment
from hardy.spec import Resolved
from hardy.tasks.classify.changes import class_changes, flip_rows

SOURCE = "source"

Content = Image.Image | str


def unit_report(
    frame: pd.DataFrame, main: str, classes: Sequence[str]
) -> Iterator[tuple[str, Content]]:
    """Yield a unit's tables and pictures with their artifact paths; none without a baseline.

    Args:
        frame: Its records.
        main: The answer that it is about.
        classes: Class names by index.
    """
    if not _compares(frame, main):
        return
    yield from _by_class(class_changes(frame, SOURCE, main, classes), main)
    yield "report/flips.csv", _csv(flip_rows(frame, SOURCE, main, classes))
    if OPERATIONS in frame:
        yield from _by_operation(operation_rows(frame, SOURCE, main))


def _compares(frame: pd.DataFrame, main: str) -> bool:
    return main != SOURCE and {main, SOURCE} <= set(answers(frame))


def _by_class(table: pd.DataFrame, main: str) -> Iterator[tuple[str, Content]]:
    yield "report/classes.csv", _csv(table)
    if table["samples"].max() < 2:
        return  # with one sample a class, every accuracy is 0 or 1: the flips say it all
    for number, picture in enumerate(class_panels(table, SOURCE, main), start=1):
        yield f"report/classes-{number}.png", picture
    if table["delta"].any():
        yield "report/class-deltas.png", class_deltas(table)


def _by_operation(table: pd.DataFrame) -> Iterator[tuple[str, Content]]:
    if len(table) < 2:
        return  # a single operation is no choice
    yield "report/operations.csv", _csv(table)
    # The flips are the samples whose views the picture counts.
    if table[["improved_views", "worsened_views"]].to_numpy().any():
        yield "report/operations.png", operation_bars(table)


def parent_report(
    resolved: Resolved, results: Sequence[UnitResult]
) -> Iterator[tuple[str, Content]]:
    """Yield tables of several units' answers and gains; none where nothing is comparable.

    Args:
        resolved: The parent: a matrix or a suite.
        results: Its units, in order.
    """
    together = [
        (experiment.name, pd.concat([result.frame for result in own], ignore_index=True))
        for experiment, own in by_experiment(resolved, results)
    ]
    yield "report/answers.csv", _csv(answer_rows(together, SOURCE))
    runs = [
        (_label(resolved.name, result), result.frame, result.planned.unit.experiment.method.kind)
        for result in results
    ]
    runs = [(label, frame, main) for label, frame, main in runs if _compares(frame, main)]
    if len(runs) < 2:
        return
    table = gain_rows(runs, SOURCE)
    yield "report/gains.csv", _csv(table)
    yield "report/gains.png", gain_bars(table)


def _label(parent: str, result: UnitResult) -> str:
    return result.planned.unit.experiment.name.removeprefix(f"{parent}/")


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n"))
