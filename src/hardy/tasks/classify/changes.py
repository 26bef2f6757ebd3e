"""What an adaptation changed: by class, and sample by sample."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hardy.measure.records import column
from hardy.tasks.classify.metrics import correct, per_class


def class_changes(
    frame: pd.DataFrame, before: str, after: str, classes: Sequence[str]
) -> pd.DataFrame:
    """Compare two answers class by class.

    Args:
        frame: Records, one row a sample.
        before: Name of the answer to compare with, such as `source`.
        after: Name of the answer that is judged.
        classes: Class names by index.

    Returns:
        One row a class that occurs as a label, in the order of the labels: `label`, `class`,
        `samples`, `before`, `after` and `delta` (accuracies in [0, 1], and their difference),
        `to_right` and `to_wrong` (samples that flipped).

    Raises:
        DataError: If the table is empty or lacks one of the answers.
    """
    was, now = (per_class(frame, name, tuple(classes)) for name in (before, after))
    table = was[["label", "class", "samples"]].copy()
    table["before"], table["after"] = was["accuracy"], now["accuracy"]
    table["delta"] = table["after"] - table["before"]
    labels = column(frame, "label")
    to_right, to_wrong = flip_masks(frame, before, after)
    for name, mask in (("to_right", to_right), ("to_wrong", to_wrong)):
        table[name] = [int(np.sum(mask[labels == label])) for label in table["label"]]
    return table


def flip_masks(frame: pd.DataFrame, before: str, after: str) -> tuple[np.ndarray, np.ndarray]:
    """Say which samples turned from wrong to right, and which from right to wrong, (N,) each."""
    was, now = correct(frame, before), correct(frame, after)
    return ~was & now, was & ~now


def flip_rows(frame: pd.DataFrame, before: str, after: str, classes: Sequence[str]) -> pd.DataFrame:
    """List the samples whose correctness changed, those that turned right first.

    Returns:
        `sample`, `flip` (`to_right` or `to_wrong`), `label`, and for both answers the predicted
        class and its confidence in [0, 1]; in the records' order within each direction.

    Raises:
        DataError: If the table is empty or lacks one of the answers.
    """
    masks = dict(zip(("to_right", "to_wrong"), flip_masks(frame, before, after), strict=True))
    rows = [
        _flip_row(frame, int(place), name, (before, after), classes)
        for name, mask in masks.items()
        for place in np.flatnonzero(mask)
    ]
    sides = [f"{answer}.{field}" for answer in (before, after) for field in _SHOWN]
    return pd.DataFrame(rows, columns=["sample", "flip", "label", *sides])


_SHOWN = ("prediction", "confidence")


def _flip_row(
    frame: pd.DataFrame, place: int, flip: str, answers: tuple[str, str], classes: Sequence[str]
) -> dict[str, object]:
    row = frame.iloc[place]
    shown: dict[str, object] = {
        "sample": row["sample"],
        "flip": flip,
        "label": classes[int(row["label"])],
    }
    for answer in answers:
        shown[f"{answer}.prediction"] = classes[int(row[f"{answer}.prediction"])]
        shown[f"{answer}.confidence"] = float(row[f"{answer}.confidence"])
    return shown
