"""Per-sample records: one flat row a sample, one column group an *answer*.

An answer is what one model says of a sample: `source` is the unadapted model's, `memo` that
method's own. Its columns are `NAME.prediction`, `NAME.confidence` and so on; every measure and
picture is computed from them, never again from the model.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hardy.core.errors import DataError, MethodError

BASE = ("sample", "dataset", "shift", "label")
FIELDS = ("prediction", "confidence", "entropy", "label_probability", "label_rank")
TIMING = "ms."
"""Prefix of the columns that hold milliseconds: the only ones that two equal runs differ in."""

WALL = f"{TIMING}wall"
"""Column of the milliseconds between one sample's end and the next one's."""

# log-softmax in float32 over 1,000 classes sums to one within 1e-5; raw logits never do.
_SUM_TOLERANCE = 1e-3
_LISTS = (list, tuple, np.ndarray)


def answer_columns(name: str, log_probabilities: np.ndarray, label: int) -> dict[str, int | float]:
    """Return the columns of one answer for one sample.

    Args:
        name: Name of the answer.
        log_probabilities: (C,), natural logarithms; minus infinity stands for zero.
        label: True class, in [0, C).

    Returns:
        Prediction, confidence in [0, 1], entropy in nats, probability of the label in [0, 1], and
        rank of the label (0 is the top). Equal probabilities rank by the lower index.

    Raises:
        MethodError: If the values are not the logarithms of a distribution.
        DataError: If there is no such class.
    """
    values = _normalised(name, log_probabilities)
    if not 0 <= label < len(values):
        message = f"label {label} lies outside the {len(values)} classes of answer {name!r}"
        raise DataError(message, hint="Check the dataset's class map against the model's outputs.")
    probabilities = np.exp(values)
    before = np.arange(len(values)) < label
    rank = np.sum(values > values[label]) + np.sum((values == values[label]) & before)
    prediction = int(np.argmax(values))
    return {
        f"{name}.prediction": prediction,
        f"{name}.confidence": float(probabilities[prediction]),
        f"{name}.entropy": _entropy(values, probabilities),
        f"{name}.label_probability": float(probabilities[label]),
        f"{name}.label_rank": int(rank),
    }


def _normalised(name: str, log_probabilities: np.ndarray) -> np.ndarray:
    values = np.asarray(log_probabilities, dtype=np.float64)
    total = float(np.exp(values).sum()) if values.ndim == 1 else float("nan")
    if not abs(total - 1) <= _SUM_TOLERANCE:
        message = (
            f"answer {name!r} of shape {values.shape} is not a vector of log-probabilities: "
            f"the probabilities sum to {total:g}"
        )
        hint = "Apply a log-softmax; a NaN here means that the adaptation diverged."
        raise MethodError(message, hint=hint)
    return np.asarray(values - np.log(total))


def _entropy(values: np.ndarray, probabilities: np.ndarray) -> float:
    # 0 · log 0 is 0 in the limit, and NaN in floating point.
    held = probabilities > 0
    return max(0.0, float(-np.sum(probabilities[held] * values[held])))


def answers(frame: pd.DataFrame) -> list[str]:
    """Return the names of the answers in a table, in the order of its columns."""
    suffix = f".{FIELDS[0]}"
    return [str(c).removesuffix(suffix) for c in frame.columns if str(c).endswith(suffix)]


def column(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column as an array (N,).

    Raises:
        DataError: If the table has no row or no such column.
    """
    if frame.empty:
        message = f"the record table is empty where {name!r} is wanted"
        raise DataError(message, hint="Run the experiment on at least one sample.")
    if name not in frame.columns:
        known = ", ".join(answers(frame)) or "none"
        message = f"the record table has no column {name!r}; its answers are: {known}"
        raise DataError(message, hint="Name one of these answers, or run the experiment again.")
    return frame[name].to_numpy()


def as_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Make a table of records whose column order does not depend on the order of the keys.

    Sample columns come first, then the answers in order of appearance, then details by name, then
    milliseconds by name.
    """
    frame = pd.DataFrame([dict(row) for row in rows])
    present = [str(c) for c in frame.columns]
    groups = [f"{name}.{field}" for name in answers(frame) for field in FIELDS]
    known = [c for c in (*BASE, *groups) if c in present]
    rest = sorted(set(present) - set(known), key=lambda c: (c.startswith(TIMING), c))
    return frame[known + rest]


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


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table whole or not at all: a temporary file beside it, fsync, rename."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Named by the process, so that two writers of the same table never share the file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            pq.write_table(table, stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a table that `write_parquet` wrote; lists come back as lists.

    Raises:
        DataError: If the file is absent or is not parquet.
    """
    try:
        table = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowInvalid) as error:
        message = f"{path} cannot be read as a table of records: {error}"
        raise DataError(message, hint="Run the experiment again with --again.") from error
    frame: pd.DataFrame = table.to_pandas()
    for field in table.schema:
        if pa.types.is_list(field.type) or pa.types.is_large_list(field.type):
            # pandas hands out arrays, which compare element by element and break `==`.
            frame[field.name] = pd.Series(table[field.name].to_pylist(), dtype=object)
    return frame
