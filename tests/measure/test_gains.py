import numpy as np
import pytest

from hardy.measure.gains import gain_rows


def test_runs_are_ordered_by_what_they_gained() -> None:
    worse = (np.array([1.0, 1, 0, 0]), np.array([1.0, 0, 0, 0]))
    better = (np.array([1.0, 0, 0, 0]), np.array([1.0, 1, 1, 0]))
    table = gain_rows([("flip", *worse), ("crop", *better)], binary=True)
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


def test_scores_that_are_not_0_or_1_have_no_mcnemar() -> None:
    was, now = np.array([0.5, 0.25, 1.0]), np.array([0.75, 0.25, 0.5])
    table = gain_rows([("a", was, now)], binary=False)
    assert list(table["gain"]) == [pytest.approx(-0.25 / 3)]
    assert (table["to_right"][0], table["to_wrong"][0]) == (1, 1)
    assert np.isnan(table["p"][0])
