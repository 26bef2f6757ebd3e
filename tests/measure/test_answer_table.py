import numpy as np
import pytest

from hardy.measure.answer_table import answer_row, gain_interval


def test_one_row_an_answer_over_all_runs():
    images = np.array(["a", "b", "a", "b"])
    source, memo = np.array([1.0, 0, 0, 0]), np.array([1.0, 1, 1, 0])
    row = answer_row("quickstart", "memo", images, (source, memo), {"accuracy": 0.75}, 0.25)
    assert (row["answers"], row["images"]) == (4, 2)
    assert row["accuracy"] == 0.75
    assert row["gain"] == 0.5
    assert (row["to_right"], row["to_wrong"]) == (2, 0)
    assert row["seconds"] == 0.25
    # Either image alone gains a half, and so does every draw of two of them.
    assert (row["gain_low"], row["gain_high"]) == (0.5, 0.5)
    own = answer_row("quickstart", "source", images, (source, source), {}, 0.25)
    assert [own[name] for name in ("gain", "gain_low", "gain_high")] == [0, 0, 0]


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
