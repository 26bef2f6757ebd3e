import numpy as np
import pandas as pd
import pytest

from hardy.measure.aggregate import ALEXNET_ERROR, aggregate
from hardy.measure.gains import gain_rows


def records(before: list[bool], after: list[bool]) -> pd.DataFrame:
    right = {"source": before, "memo": after}
    answers = {f"{name}.prediction": np.where(hits, 0, 1) for name, hits in right.items()}
    return pd.DataFrame({"label": 0, **answers})


def test_runs_are_ordered_by_what_they_gained() -> None:
    worse = records([True, True, False, False], [True, False, False, False])
    better = records([True, False, False, False], [True, True, True, False])
    table = gain_rows([("flip", worse, "memo"), ("crop", better, "memo")], "source")
    assert list(table["run"]) == ["crop", "flip"]
    assert list(table["gain"]) == [0.5, -0.25]
    assert list(table["before"]) == [0.25, 0.5]
    assert list(table["after"]) == [0.75, 0.25]
    assert list(table["to_right"]) == [2, 0]
    assert list(table["to_wrong"]) == [0, 1]
    assert (table["gain_low"] <= table["gain"]).all()
    assert (table["gain_high"] >= table["gain"]).all()
    # Two flips of two the same way, two-sided: 2 · (1/2)².
    assert table["p"][0] == pytest.approx(0.5)


ALL = [(kind, severity) for kind in ALEXNET_ERROR for severity in range(1, 6)]


def test_alexnet_itself_has_an_mce_of_one() -> None:
    runs = [{"error": ALEXNET_ERROR[kind]} for kind, _ in ALL]
    assert aggregate(runs, ALL)["mce"] == pytest.approx(1)


def test_mce_weighs_each_corruption_by_alexnets_error() -> None:
    rng = np.random.default_rng(0)
    errors = rng.random((15, 5))
    runs = [{"error": e, "source/error": 2 * e} for e in errors.ravel()]
    got = aggregate(runs, ALL)
    expected = np.mean(errors.sum(axis=1) / (5 * np.array(list(ALEXNET_ERROR.values()))))
    assert got["mce"] == pytest.approx(expected)
    assert got["source/mce"] == pytest.approx(2 * expected)
    assert got["mean/error"] == pytest.approx(errors.mean())


@pytest.mark.parametrize("shifts", [ALL[:-1], [*ALL[:-1], None], [*ALL[:-1], ALL[0]]])
def test_a_part_of_the_corruptions_has_a_mean_but_no_mce(shifts) -> None:
    got = aggregate([{"error": 0.5}] * len(shifts), shifts)
    assert got == {"mean/error": 0.5}


def test_a_metric_that_one_run_lacks_has_no_mean() -> None:
    assert aggregate([{"accuracy": 0.5}, {"error": 0.5}], [None, None]) == {}
    assert aggregate([], []) == {}
