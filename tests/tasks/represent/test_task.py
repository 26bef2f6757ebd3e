"""Features as answers: metrics by formulas in numpy, and what a set of them is."""

import csv
import math

import numpy as np
import pandas as pd
import pytest
import torch

from hardy.core.errors import MethodError
from hardy.data.item import Targets
from hardy.tasks.build import build_task
from hardy.tasks.represent.spec import RepresentSpec
from tests.contracts.task import TaskContract

TASK = build_task(RepresentSpec())


class TestRepresent(TaskContract):
    def task(self):
        return TASK

    def targets(self, count):
        return Targets(image=torch.zeros(count, 3, 2, 2))

    def outputs(self, targets, skill):
        """Along six axes, both ways; without skill all along a seventh."""
        count = len(targets.image)
        apart = torch.cat([torch.eye(7)[:6], -torch.eye(7)[:6]])[:count]
        return skill * apart + (1 - skill) * torch.eye(7)[6]


def frame_of(features: np.ndarray, name: str = "own") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample": map(str, range(len(features))),
            "dataset": "d",
            "shift": "none",
            f"{name}.features": features.tolist(),
        }
    )


def drawn(count: int, dim: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.normal(size=(count, dim)) @ rng.normal(size=(dim, dim)) + rng.normal(size=dim)


def test_metrics_are_the_formulas_of_the_readme():
    features = drawn(50, 8)
    found = TASK.metrics(frame_of(features), "own")
    units = np.array([row / math.sqrt(sum(row**2)) for row in features])
    deviations = [math.sqrt(np.mean((c - c.mean()) ** 2)) for c in units.T]
    assert found["spread"] == pytest.approx(math.sqrt(8) * sum(deviations) / 8, rel=1e-12)
    values = np.sqrt(np.linalg.eigvalsh(units.T @ units))
    p = values / values.sum()
    assert found["effective_rank"] == pytest.approx(np.exp(-np.sum(p * np.log(p))), rel=1e-9)
    mean = units.mean(0)
    cosine = units @ mean / np.linalg.norm(mean)
    np.testing.assert_allclose(TASK.score(frame_of(features), "own"), 1 - cosine, atol=1e-12)


def test_the_ends_of_the_metrics():
    everywhere = np.random.default_rng(0).normal(size=(4000, 16))
    found = TASK.metrics(frame_of(everywhere), "own")
    assert 0.99 < found["spread"] <= 1
    assert 15.9 < found["effective_rank"] <= 16
    for collapsed in (np.ones((30, 16)), np.zeros((30, 16))):
        found = TASK.metrics(frame_of(collapsed), "own")
        assert found == {"spread": pytest.approx(0, abs=1e-9), "effective_rank": pytest.approx(1)}
    line = np.outer(np.linspace(-1, 1, 30), np.arange(16))
    assert TASK.metrics(frame_of(line), "own")["effective_rank"] == pytest.approx(1)


def test_the_interval_of_the_spread_is_not_pulled_down_by_repeated_samples():
    """Of many sets of the same kind, the interval of about 95 % holds the spread of very many."""
    rng, held = np.random.default_rng(1), 0
    mixing = rng.normal(size=(24, 24))
    whole = TASK.metrics(frame_of(rng.normal(size=(20_000, 24)) @ mixing), "own")["spread"]
    for _ in range(30):
        frame = frame_of(rng.normal(size=(40, 24)) @ mixing)
        low, high = TASK.interval(frame, "own")
        assert low < TASK.metrics(frame, "own")["spread"] < high
        held += low < whole * math.sqrt(39 / 40) < high
    assert held >= 25
    features = drawn(40, 5)
    at = TASK.metric_at(frame_of(features), "own", "spread")
    assert at(np.arange(40)) == pytest.approx(TASK.metrics(frame_of(features), "own")["spread"])


def test_a_draw_with_repeats_has_its_share_of_the_variance_back():
    """Divided by N - 1 in place of N, as of a sample of its own."""
    features = drawn(12, 5)
    at = TASK.metric_at(frame_of(features), "own", "spread")
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    for places in ([0, 0, 1], [5, 5, 3, 2, 9, 9], [1, 1, 1, 4], np.arange(12).repeat(2)):
        expected = math.sqrt(5) * units[places].std(0, ddof=1).mean()
        assert at(np.asarray(places)) == pytest.approx(expected, rel=1e-12)
    whole = math.sqrt(5) * units[[3, 1, 8]].std(0).mean()
    assert at(np.array([3, 1, 8])) == pytest.approx(whole, rel=1e-12)
    assert at(np.array([4])) == pytest.approx(0, abs=1e-12)
    rank = TASK.metric_at(frame_of(features), "own", "effective_rank")
    again = TASK.metrics(frame_of(features[[0, 0, 1]]), "own")["effective_rank"]
    assert rank(np.array([0, 0, 1])) == pytest.approx(again)


def test_a_terminal_is_told_the_first_four():
    assert TASK.told({"features": [1.0, 2, 3, 4, 5]}) == ["5 features: 1, 2, 3, 4, ..."]
    assert TASK.outputs == 0


def test_what_is_no_number_is_refused():
    with pytest.raises(MethodError, match="not finite"):
        TASK.columns("own", torch.full((2, 3), torch.nan), Targets())


def test_the_table_has_a_row_an_answer():
    frame = frame_of(drawn(9, 4)).assign(**frame_of(drawn(9, 4), "source")[["source.features"]])
    (content,) = dict(TASK.report(frame, "own", "source")).values()
    rows = list(csv.DictReader(content.splitlines()))
    assert [(row["answer"], row["images"], row["dimensions"]) for row in rows] == [
        ("own", "9", "4"),
        ("source", "9", "4"),
    ]
