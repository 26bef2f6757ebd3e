import numpy as np
import pytest

from hardy.tasks.classify.corruption_error import ALEXNET_ERROR, aggregate

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
