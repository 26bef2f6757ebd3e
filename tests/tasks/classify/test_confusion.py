import json

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from hardy.tasks.classify.confusion import confusion_rows, most_confused

CLASSES = tuple("abcdef")


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"label": rng.integers(6, size=40), "memo.prediction": rng.integers(6, size=40)}
    )


def test_rows_hold_the_matrix_without_its_zeros() -> None:
    frame = table()
    dense = np.zeros((6, 6), int)
    rows = confusion_rows(frame, "memo", CLASSES)
    for row in rows:
        dense[row["label"], row["prediction"]] = row["count"]
    assert (dense == confusion_matrix(frame["label"], frame["memo.prediction"])).all()
    assert all(row["count"] > 0 for row in rows)


def test_rows_are_json_with_names() -> None:
    frame = pd.DataFrame({"label": [1, 1], "memo.prediction": [2, 2]})
    rows = json.loads(json.dumps(confusion_rows(frame, "memo", CLASSES)))
    expected = {"label": 1, "label_name": "b", "prediction": 2, "prediction_name": "c", "count": 2}
    assert rows == [expected]


def test_most_confused_leaves_out_the_diagonal_and_breaks_ties_by_index() -> None:
    frame = pd.DataFrame({"label": [0, 0, 0, 3, 3, 1, 2], "memo.prediction": [0, 0, 0, 1, 1, 0, 5]})
    pairs = [
        (r["label"], r["prediction"]) for r in most_confused(confusion_rows(frame, "memo", CLASSES))
    ]
    assert pairs == [(3, 1), (1, 0), (2, 5)]
    assert len(most_confused(confusion_rows(frame, "memo", CLASSES), 2)) == 2
