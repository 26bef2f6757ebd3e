"""Per-sample records: one flat row a sample, one column group an *answer*.

An answer is what one model says of a sample: `source` is the unadapted model's, `memo` that
method's own. Its columns are `NAME.FIELD`, the fields being the task's; every measure and picture
is computed from them, never again from the model.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hardy.core.errors import DataError

BASE = ("sample", "dataset", "shift")
"""What names a sample: the columns that every task's records begin with."""

TIMING = "ms."
"""Prefix of the columns that hold milliseconds: the only ones that two equal runs differ in."""

WALL = f"{TIMING}wall"
"""Column of the milliseconds between one sample's end and the next one's in the process that
answered, divided by the number of processes."""

COST = f"{TIMING}answer."
"""What stands before an answer's name in the column of the milliseconds that it alone would take;
a sample for which that is not known has none."""


SHARE = "share/"
"""Prefix of the metrics that say of what share of the samples a detail is true."""


def column(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column as an array (N,).

    Raises:
        DataError: If the table has no row or no such column.
    """
    if frame.empty:
        message = f"the record table is empty where {name!r} is wanted"
        raise DataError(message, hint="Run the experiment on at least one sample.")
    if name not in frame.columns:
        known = ", ".join(_answers(frame)) or "none"
        message = f"the record table has no column {name!r}; its answers are: {known}"
        raise DataError(message, hint="Name one of these answers, or run the experiment again.")
    return frame[name].to_numpy()


def _answers(frame: pd.DataFrame) -> list[str]:
    """Return what stands before the dot of columns, timings aside: the names of the answers."""
    heads = (str(c).rpartition(".")[0] for c in frame.columns if not str(c).startswith(TIMING))
    return list(dict.fromkeys(head for head in heads if head))


def as_frame(
    rows: Iterable[Mapping[str, Any]], truth_fields: Sequence[str], fields: Sequence[str]
) -> pd.DataFrame:
    """Make a table of records whose column order does not depend on the order of the keys.

    What names a sample comes first, then its truth, then the answers in order of appearance, then
    details by name, then milliseconds by name.

    Args:
        rows: One mapping a sample.
        truth_fields: Columns of the truth, in order.
        fields: Columns of an answer, without its name; the first tells which answers there are.
    """
    frame = pd.DataFrame([dict(row) for row in rows])
    present = [str(c) for c in frame.columns]
    suffix = f".{fields[0]}"
    names = [c.removesuffix(suffix) for c in present if c.endswith(suffix)]
    groups = [f"{name}.{field}" for name in names for field in fields]
    known = [c for c in (*BASE, *truth_fields, *groups) if c in present]
    rest = sorted(set(present) - set(known), key=lambda c: (c.startswith(TIMING), c))
    return frame[known + rest]


def shares(frame: pd.DataFrame, details: Iterable[str]) -> dict[str, float]:
    """Return of what share of the samples details are true, as metrics.

    A detail that no record has is left out: an earlier version of hardy may have made them.
    """
    known = (name for name in details if name in frame)
    return {f"{SHARE}{name}": float(frame[name].eq(True).mean()) for name in known}


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
