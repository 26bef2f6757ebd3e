"""Spread with weights, and where rounding would eat it; ranks of features in a plane."""

import warnings

import numpy as np
import pytest

from hardy.measure.collapse import directions, effective_rank, spread


def test_a_weight_is_how_often_a_row_counts():
    units = directions(np.random.default_rng(0).normal(size=(9, 4)) + 0.7)
    times = np.array([3, 0, 1, 2, 0, 0, 5, 1, 1])
    assert spread(units, times) == pytest.approx(spread(np.repeat(units, times, axis=0)), rel=1e-12)
    assert spread(units, 7 * np.ones(9)) == pytest.approx(2 * units.std(0).mean(), rel=1e-12)


def test_a_spread_far_below_the_features_is_no_rounding_error():
    apart = 1e-9 * np.random.default_rng(0).normal(size=(500, 4))
    assert spread(0.5 + apart) == pytest.approx(2 * apart.std(0).mean(), rel=1e-4)


def test_directions_that_no_feature_has_count_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert effective_rank(np.array([[1.0, 0], [1, 0], [1, 0]])) == pytest.approx(1)
        assert effective_rank(np.eye(4)[[0, 1, 0, 1]]) == pytest.approx(2)
