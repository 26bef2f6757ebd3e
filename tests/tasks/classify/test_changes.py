import numpy as np
import pandas as pd
import pytest

from hardy.core.errors import DataError
from hardy.tasks.classify.changes import class_changes, flip_masks, flip_rows

CLASSES = ["cat", "dog", "owl", "never seen"]


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample": list("abcdef"),
            "label": [0, 0, 1, 1, 1, 2],
            "source.prediction": [0, 1, 1, 0, 0, 0],
            "source.confidence": [0.9, 0.5, 0.8, 0.4, 0.3, 0.7],
            "memo.prediction": [1, 0, 1, 1, 0, 0],
            "memo.confidence": [0.6, 0.7, 0.9, 0.5, 0.4, 0.8],
        }
    )


def test_classes_before_and_after(frame) -> None:
    table = class_changes(frame, "source", "memo", CLASSES)
    assert list(table["class"]) == ["cat", "dog", "owl"]
    assert list(table["samples"]) == [2, 3, 1]
    assert list(table["before"]) == pytest.approx([1 / 2, 1 / 3, 0])
    assert list(table["after"]) == pytest.approx([1 / 2, 2 / 3, 0])
    assert list(table["delta"]) == pytest.approx([0, 1 / 3, 0])
    assert list(table["to_right"]) == [1, 1, 0]
    assert list(table["to_wrong"]) == [1, 0, 0]


def test_deltas_weighted_by_samples_are_the_change_of_accuracy() -> None:
    rng = np.random.default_rng(0)
    draws = rng.integers(4, size=(3, 200))
    frame = pd.DataFrame(dict(zip(["label", "a.prediction", "b.prediction"], draws, strict=True)))
    table = class_changes(frame, "a", "b", CLASSES)
    change = np.mean(draws[2] == draws[0]) - np.mean(draws[1] == draws[0])
    assert (table["delta"] * table["samples"]).sum() / 200 == pytest.approx(change)


def test_flips_are_listed_by_direction(frame) -> None:
    rows = flip_rows(frame, "source", "memo", CLASSES)
    assert list(rows["sample"]) == ["b", "d", "a"]
    assert list(rows["flip"]) == ["to_right", "to_right", "to_wrong"]
    first = rows.iloc[0]
    assert (first["label"], first["source.prediction"], first["memo.prediction"]) == (
        "cat",
        "dog",
        "cat",
    )
    assert (first["source.confidence"], first["memo.confidence"]) == (0.5, 0.7)


def test_without_flips_the_table_keeps_its_columns(frame) -> None:
    rows = flip_rows(frame, "source", "source", CLASSES)
    assert len(rows) == 0
    assert list(rows.columns)[:3] == ["sample", "flip", "label"]
    assert not np.any(flip_masks(frame, "memo", "memo"))


def test_an_absent_answer_is_named(frame) -> None:
    with pytest.raises(DataError, match=r"'tpt\.prediction'"):
        class_changes(frame, "source", "tpt", CLASSES)
