"""Made-up records of classification, and what tells two tables apart."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from hardy.measure import records
from hardy.measure.records import TIMING
from hardy.tasks.build import build_task
from hardy.tasks.classify.columns import answer_fields
from hardy.tasks.classify.spec import ClassifySpec

CLASSIFY = build_task(ClassifySpec())
_LISTS = (list, tuple, np.ndarray)


def answer_columns(name: str, log_probabilities: object, label: int) -> dict[str, int | float]:
    """Return the columns of one answer for one sample."""
    values = np.asarray(log_probabilities)
    return {f"{name}.{k}": v for k, v in answer_fields(name, values, label).items()}


def as_frame(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Return a table of records of classification."""
    return records.as_frame(rows, CLASSIFY.truth_fields, CLASSIFY.fields)


def same(a: pd.DataFrame, b: pd.DataFrame) -> list[str]:
    """Return the columns in which two tables differ, timings aside; none if they agree bit for bit.

    A column that only one table has differs; so does every column if the row counts do.
    """
    columns = dict.fromkeys([*map(str, a.columns), *map(str, b.columns)])
    return [c for c in columns if not c.startswith(TIMING) and not _equal(a, b, c)]


def _equal(a: pd.DataFrame, b: pd.DataFrame, name: str) -> bool:
    if name not in a.columns or name not in b.columns or len(a) != len(b):
        return False
    return all(_same_cell(x, y) for x, y in zip(a[name], b[name], strict=True))


def _same_cell(x: object, y: object) -> bool:
    if isinstance(x, _LISTS) and isinstance(y, _LISTS):
        return len(x) == len(y) and all(map(_same_cell, x, y))
    if isinstance(x, _LISTS) or isinstance(y, _LISTS):
        return False
    # None, NaN and NA all say "no value", and the last two differ from themselves.
    if _missing(x) or _missing(y):
        return _missing(x) and _missing(y)
    return bool(x == y)


def _missing(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)
