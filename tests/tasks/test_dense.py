"""A task whose answers are maps: what the rooms say of scores that are not 0 or 1."""

import numpy as np
import pytest
import torch

from hardy.data.item import Targets
from hardy.measure.bootstrap import resampled
from hardy.registry.gates import judge
from hardy.registry.package import signature
from hardy.registry.spec import Policy
from hardy.registry.verdict import Evidence
from hardy.tasks.summary import bounds, summarise
from tests.contracts.dense import Dense, DenseSpec
from tests.contracts.task import TaskContract

NAMES = ("grass", "sky", "tree")


class TestDense(TaskContract):
    def task(self):
        return Dense(DenseSpec(), NAMES, void=255)

    def targets(self, count):
        generator = torch.Generator().manual_seed(3)
        masks = torch.randint(0, 3, (count, 8, 6), generator=generator)
        masks[:, 0, 0] = 255
        return Targets(mask=masks)

    def outputs(self, targets, skill):
        noise = torch.randn(len(targets.mask), 3, 8, 6, generator=torch.Generator().manual_seed(4))
        truth = torch.nn.functional.one_hot(targets.mask.clamp(max=2), 3).permute(0, 3, 1, 2)
        return 4 * skill * truth + (1 - skill) * noise


TASK = Dense(DenseSpec(), NAMES, void=255)
FRAME = TestDense().frame(source=0.2, own=0.4)


def test_a_gain_is_of_the_score_and_has_no_flips() -> None:
    found = summarise(TASK, FRAME, "own", "source")
    gain = (TASK.score(FRAME, "own") - TASK.score(FRAME, "source")).mean()
    assert found["delta/score"] == pytest.approx(gain)
    assert not [name for name in found if "flips" in name or "mcnemar" in name]
    low, high = bounds(TASK, FRAME, "delta/score", "own", "source")
    assert low < gain < high
    assert found["miou"] != pytest.approx(TASK.score(FRAME, "own").mean(), abs=1e-6)


def test_the_interval_of_a_set_is_that_of_sets_drawn_anew() -> None:
    rng, found = np.random.default_rng(5), []
    for _ in range(400):
        drawn = FRAME.iloc[rng.integers(len(FRAME), size=len(FRAME))]
        found.append(TASK.metrics(drawn, "own")["miou"])
    low, high = np.quantile(found, [0.025, 0.975])
    spread = high - low
    assert TASK.interval(FRAME, "own") == pytest.approx((low, high), abs=0.2 * spread)


def test_rows_of_one_cluster_are_drawn_together() -> None:
    values = np.arange(60) % 20
    alone = resampled(lambda places: values[places].mean(), 60)
    together = resampled(lambda places: values[places].mean(), 60, np.arange(60) % 20)
    error = values.std() / np.sqrt(20)
    assert together[1] - together[0] == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert alone[1] - alone[0] == pytest.approx(2 * 1.96 * error / np.sqrt(3), rel=0.15)


def evidence(version: str, **skills: float) -> Evidence:
    return Evidence(version, "own", TestDense().frame(**skills).assign(data_digest="x"), TASK)


def verdict(new: Evidence, old: Evidence, *gates: dict, metric: str | None = None):
    candidates = {"experiments": ["*"], "dataset": "d"}
    parts = {"model": "m", "candidates": candidates, "gates": gates, "min_samples": 1}
    named = {"metric": {"name": metric}} if metric else {}
    return judge(Policy.model_validate(parts | named), new, {"champion": old})


@pytest.mark.parametrize("metric", [None, "pixel_error"])
def test_the_tasks_metric_decides(metric) -> None:
    better, worse = evidence("2", own=0.6), evidence("1", own=0.2)
    found = verdict(better, worse, metric=metric)
    assert found.passed
    assert f"by {metric or 'miou'}" in found.gates[0].gate
    assert not verdict(worse, better, metric=metric).passed
    assert not verdict(better, better.__class__("1", "own", better.frame, TASK)).passed


def test_gates_compare_scores_or_say_that_they_cannot() -> None:
    better, worse = evidence("2", own=0.7), evidence("1", own=0.1)
    (gate,) = verdict(better, worse, {"better_than": "champion"}).gates
    assert gate.passed
    assert gate.reason.startswith("score +0.")
    (gate,) = verdict(better, worse, {"better_than": "champion", "test": "mcnemar"}).gates
    assert not gate.passed
    assert "paired_bootstrap" in gate.reason


def test_other_truth_is_not_the_same_samples() -> None:
    new, old = evidence("2", own=0.7), evidence("1", own=0.1)
    old.frame["pixels"] = [[*counts[:2], counts[2] + 1] for counts in old.frame["pixels"]]
    assert "12 samples have another truth" in verdict(new, old).gates[0].reason


def test_the_signature_is_the_tasks() -> None:
    found = signature(TASK).to_dict()
    assert '"name": "labels"' in found["outputs"]
    assert '"name": "threshold", "default": 0.5' in found["params"]
