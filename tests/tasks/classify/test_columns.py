import math

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import entropy, rankdata

from hardy.core.errors import DataError, MethodError
from tests.contracts.records import answer_columns


def test_columns_agree_with_scipy() -> None:
    logits = np.random.default_rng(0).normal(0, 3, 20)
    p = np.exp(logits) / np.exp(logits).sum()
    got = answer_columns("memo", log_softmax(logits).astype(np.float32), 7)
    assert got["memo.prediction"] == p.argmax()
    assert got["memo.confidence"] == pytest.approx(p.max(), rel=1e-5)
    assert got["memo.entropy"] == pytest.approx(entropy(p), rel=1e-5)
    assert got["memo.label_probability"] == pytest.approx(p[7], rel=1e-5)
    assert got["memo.label_rank"] == rankdata(-p, method="ordinal")[7] - 1


def test_ties_go_to_the_lower_index() -> None:
    uniform = np.full(4, math.log(0.25))
    ranks = [answer_columns("a", uniform, label)["a.label_rank"] for label in range(4)]
    assert ranks == [0, 1, 2, 3]
    assert answer_columns("a", uniform, 2)["a.prediction"] == 0


def test_a_certain_answer_has_no_entropy() -> None:
    with np.errstate(divide="ignore"):
        sure = np.log(np.array([0.0, 1.0, 0.0]))
    got = answer_columns("a", sure, 0)
    assert (got["a.entropy"], got["a.confidence"], got["a.label_probability"]) == (0.0, 1.0, 0.0)
    assert got["a.label_rank"] == 1


def test_rounding_in_float32_never_makes_a_confidence_above_one() -> None:
    got = answer_columns("a", np.array([1e-6, -20.0], dtype=np.float32), 0)
    assert got["a.confidence"] <= 1


@pytest.mark.parametrize("values", [[1.0, 2.0], [math.nan, 0.0], [[0.0]]])
def test_logits_nan_and_batches_are_refused(values: list[float]) -> None:
    with pytest.raises(MethodError, match="log-probabilities"):
        answer_columns("memo", np.array(values), 0)


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_outside_the_classes_is_refused(label: int) -> None:
    with pytest.raises(DataError, match="outside the 2 classes"):
        answer_columns("memo", np.log([0.5, 0.5]), label)
