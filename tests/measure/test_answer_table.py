import numpy as np
import pandas as pd
import pytest

from hardy.measure.answer_table import answer_rows, gain_interval
from hardy.measure.records import WALL


def records(images: list[str], before: list[bool], after: list[bool]) -> pd.DataFrame:
    columns: dict[str, object] = {"sample": images, "label": 0, WALL: 250.0}
    for name, hits in {"source": before, "memo": after}.items():
        columns[f"{name}.prediction"] = np.where(hits, 0, 1)
        columns[f"{name}.label_rank"] = np.where(hits, 0, 1)
        columns[f"{name}.confidence"] = 0.5
        columns[f"{name}.entropy"] = 0.7
        columns[f"{name}.label_probability"] = 0.5
    return pd.DataFrame(columns)


def test_one_row_an_answer_over_all_runs():
    frame = records(["a", "b", "a", "b"], [True, False, False, False], [True, True, True, False])
    table = answer_rows([("quickstart", frame)], "source")
    assert list(table["answer"]) == ["source", "memo"]
    memo = table.iloc[1]
    assert (memo["answers"], memo["images"]) == (4, 2)
    assert memo["accuracy"] == 0.75
    assert memo["gain"] == 0.5
    assert (memo["to_right"], memo["to_wrong"]) == (2, 0)
    assert memo["seconds"] == 0.25
    # Either image alone gains a half, and so does every draw of two of them.
    assert (memo["gain_low"], memo["gain_high"]) == (0.5, 0.5)
    assert list(table.iloc[0][["gain", "gain_low", "gain_high"]]) == [0, 0, 0]


def test_repeating_each_image_makes_no_answer_surer():
    rng = np.random.default_rng(0)
    images = np.array([f"image-{n}" for n in range(40)])
    before, after = rng.random((2, 40)) < [[0.4], [0.7]]
    once = gain_interval(images, before, after)
    thrice = gain_interval(np.tile(images, 3), np.tile(before, 3), np.tile(after, 3))
    assert thrice == pytest.approx(once)
    alone = gain_interval(np.arange(120), np.tile(before, 3), np.tile(after, 3))
    assert alone[1] - alone[0] < 0.7 * (once[1] - once[0])


def test_the_interval_is_that_of_the_normal_law_where_there_are_many():
    rng = np.random.default_rng(1)
    before, after = rng.random((2, 4000)) < [[0.5], [0.55]]
    difference = after.astype(float) - before
    half = 1.96 * difference.std() / np.sqrt(len(difference))
    low, high = gain_interval(np.arange(4000), before, after)
    assert low == pytest.approx(difference.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(difference.mean() + half, abs=0.1 * half)
