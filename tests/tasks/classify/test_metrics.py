import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import log_softmax
from sklearn.metrics import log_loss, top_k_accuracy_score
from torchmetrics.functional.classification import multiclass_calibration_error

from hardy.core.errors import DataError
from hardy.tasks.classify.calibration import ece, reliability
from hardy.tasks.classify.metrics import (
    answer_metrics,
    correct,
    interval,
    nll,
    per_class,
)
from tests.contracts.records import answer_columns, as_frame

N, C = 200, 8


def log_probabilities() -> np.ndarray:
    return log_softmax(np.random.default_rng(1).normal(0, 2, (N, C)), axis=1)


def labels() -> np.ndarray:
    # Half the labels follow the model, so accuracy is neither 0 nor chance.
    rng = np.random.default_rng(2)
    return np.where(rng.random(N) < 0.5, log_probabilities().argmax(1), rng.integers(C, size=N))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    pairs = zip(log_probabilities(), labels(), strict=True)
    return as_frame(
        {"sample": str(i), "label": int(y)} | answer_columns("a", p, int(y))
        for i, (p, y) in enumerate(pairs)
    )


def test_metrics_agree_with_sklearn_and_torchmetrics(frame) -> None:
    p, y = np.exp(log_probabilities()), labels()
    got = answer_metrics(frame, "a")
    assert got["accuracy"] == pytest.approx(np.mean(p.argmax(1) == y))
    assert got["error"] == pytest.approx(1 - got["accuracy"])
    assert got["top5"] == pytest.approx(top_k_accuracy_score(y, p, k=5))
    assert got["nll"] == pytest.approx(log_loss(y, p, labels=range(C)))
    assert got["entropy"] == pytest.approx(-np.mean(np.sum(p * np.log(p), axis=1)))
    assert got["confidence"] == pytest.approx(p.max(1).mean())
    oracle = multiclass_calibration_error(
        torch.from_numpy(p), torch.from_numpy(y), num_classes=C, n_bins=15, norm="l1"
    )
    # torchmetrics sums in float32.
    assert got["ece"] == pytest.approx(float(oracle), rel=1e-4)


def test_an_impossible_label_keeps_the_nll_finite() -> None:
    table = pd.DataFrame({"a.label_probability": [0.0, 1.0]})
    assert nll(table, "a") == pytest.approx(-math.log(np.finfo(float).tiny) / 2)


def test_ece_by_hand() -> None:
    # Bins (0.6, 0.667] and (0.933, 1]: gaps |1/2 - 0.65| and |1 - 0.95|.
    got = ece(np.array([0.65, 0.65, 0.95]), np.array([True, False, True]))
    assert got == pytest.approx((2 * 0.15 + 0.05) / 3)


def test_bins_are_closed_to_the_right() -> None:
    bins = reliability(np.array([0.0, 0.5, 0.50001, 1.0]), np.ones(4), bins=2)
    assert bins.counts.tolist() == [2, 2]


def test_empty_bins_are_nan_and_count_nothing() -> None:
    bins = reliability(np.array([0.9]), np.array([1]), bins=2)
    assert math.isnan(bins.accuracy[0])
    assert bins.ece == pytest.approx(0.1)


@pytest.mark.parametrize("confidence", [[], [1.1], [math.nan], [0.5, 0.5]])
def test_calibration_refuses_what_is_not_a_confidence(confidence: list[float]) -> None:
    right = np.ones(0 if confidence == [] else 1)
    with pytest.raises(DataError, match="one confidence in"):
        ece(np.array(confidence), right)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (3, 20), (700, 1000)])
def test_interval_is_wilsons(k: int, n: int) -> None:
    z, p = 1.959963984540054, k / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert interval(k, n) == pytest.approx((centre - half, centre + half), abs=1e-9)


def test_per_class_adds_up(frame) -> None:
    names = tuple(f"class {i}" for i in range(C + 1))
    table = per_class(frame, "a", names)
    assert table["samples"].sum() == N
    assert table["right"].sum() == correct(frame, "a").sum()
    assert table["class"].tolist() == list(names[:C])
    weighted = (table["accuracy"] * table["samples"]).sum() / N
    assert weighted == pytest.approx(correct(frame, "a").mean())
