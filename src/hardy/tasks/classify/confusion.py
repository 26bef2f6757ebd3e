"""Confusion counts as sparse rows: with 1,000 classes nearly every cell of the matrix is zero."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hardy.measure.records import column

Row = dict[str, int | str]
"""`label`, `label_name`, `prediction`, `prediction_name`, `count`: ready for JSON."""


def confusion_rows(frame: pd.DataFrame, name: str, classes: Sequence[str]) -> list[Row]:
    """Count an answer's predictions by label, zero counts left out, sorted by label.

    Raises:
        DataError: If the table is empty or lacks the answer.
    """
    pairs = np.stack([column(frame, "label"), column(frame, f"{name}.prediction")], axis=1)
    distinct, counts = np.unique(pairs, axis=0, return_counts=True)
    return [
        {
            "label": int(label),
            "label_name": classes[label],
            "prediction": int(prediction),
            "prediction_name": classes[prediction],
            "count": int(count),
        }
        for (label, prediction), count in zip(distinct, counts, strict=True)
    ]


def most_confused(rows: Sequence[Row], count: int = 10) -> list[Row]:
    """Return the wrong pairs with the highest counts, the highest first, ties by class index."""
    wrong = [row for row in rows if row["label"] != row["prediction"]]
    # `rows` is sorted by label and prediction, and Python's sort is stable.
    return sorted(wrong, key=lambda row: -int(row["count"]))[:count]
