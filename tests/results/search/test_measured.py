"""What a trial comes to: means over its seeds, intervals by photograph, constraints."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hardy.core.errors import MethodError
from hardy.results.search.measured import interval, mean, missed
from hardy.spec.search.spec import Constraint


class Task:
    """Accuracy over a column of right and wrong answers."""

    spec = SimpleNamespace(metrics={"accuracy": None})

    def metric_at(self, frame, name, metric):
        right = frame["right"].to_numpy()
        return lambda places: float(right[places].mean())


def units(*answers, **metrics):
    """Return a unit a seed, each with the same photographs."""
    return [
        SimpleNamespace(
            name="trial/1",
            main="memo",
            task=Task(),
            metrics={"accuracy": float(np.mean(right)), **metrics},
            frame=pd.DataFrame({"sample": [f"{n}" for n in range(len(right))], "right": right}),
        )
        for right in answers
    ]


def test_a_value_is_the_mean_over_seeds():
    assert mean(units([1, 0, 0, 1], [1, 1, 1, 1]), "accuracy") == 0.75
    with pytest.raises(MethodError, match="nonsense of trial/1 is absent"):
        mean(units([1, 0]), "nonsense")
    with pytest.raises(MethodError, match="loss of trial/1 is no number"):
        mean(units([1, 0], loss=float("inf")), "loss")


def test_an_interval_draws_photographs_with_the_answers_of_all_seeds():
    """Four seeds that agree tell no more than one: drawn one by one, they would halve it."""
    right = np.random.default_rng(0).integers(0, 2, 40)
    low, high = interval(units(*[right] * 4), "accuracy")
    deviation = right.std() / np.sqrt(len(right))
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.15)


def test_one_seed_keeps_the_interval_of_its_run():
    one = units([1, 0], **{"accuracy.low": 0.1, "accuracy.high": 0.9})
    assert interval(one, "accuracy") == (0.1, 0.9)
    assert all(map(np.isnan, interval(one, "seconds_per_sample")))


def test_a_constraint_is_missed_by_how_far_it_is_off():
    found = units([1, 0, 0, 1])
    assert missed(found, Constraint(metric="accuracy", at_least=0.75)) == 0.25
    assert missed(found, Constraint(metric="accuracy", at_most=0.75)) == -0.25
    assert missed(found, Constraint(metric="accuracy", at_least=0.0)) == -0.5
