import math

import numpy as np
import pytest
from scipy.stats import norm

from hardy.core.errors import DataError
from hardy.measure.paired import flips, mcnemar, paired_bootstrap


def test_flips_are_counted_each_way() -> None:
    before = np.array([True, True, False, False, False])
    after = np.array([True, False, True, True, False])
    assert flips(before, after) == (2, 1)


def test_scores_that_rose_and_fell_are_counted_too() -> None:
    assert flips(np.array([0.5, 0.5, 0.5, 0.1]), np.array([0.6, 0.4, 0.5, 0.2])) == (2, 1)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (9, 2), (2, 9), (5, 5), (30, 18)])
def test_mcnemar_is_the_exact_binomial(b: int, c: int) -> None:
    n = b + c
    tail = sum(math.comb(n, k) for k in range(b, n + 1)) / 2**n
    extreme = sum(math.comb(n, k) for k in range(max(b, c), n + 1)) / 2**n
    got = mcnemar(b, c)
    assert got.better == pytest.approx(tail)
    assert got.two_sided == pytest.approx(min(1.0, 2 * extreme))


def test_bootstrap_of_correctness_agrees_with_index_resampling() -> None:
    rng = np.random.default_rng(0)
    champion = rng.random(120) < 0.5
    candidate = np.where(rng.random(120) < 0.2, True, champion)
    got = paired_bootstrap(candidate, champion, seed=1)

    differences = candidate.astype(float) - champion
    brute = differences[rng.integers(120, size=(10_000, 120))].mean(axis=1)
    assert got.difference == pytest.approx(differences.mean())
    assert got.low == pytest.approx(np.quantile(brute, 0.025), abs=0.01)
    assert got.high == pytest.approx(np.quantile(brute, 0.975), abs=0.01)


def test_bootstrap_of_real_scores_agrees_with_the_normal_limit() -> None:
    rng = np.random.default_rng(3)
    champion, candidate = rng.normal(size=400), rng.normal(0.05, 1, 400)
    got = paired_bootstrap(candidate, champion, seed=0, confidence=0.9)
    d = candidate - champion
    error = d.std() / math.sqrt(400)
    assert got.low == pytest.approx(d.mean() + norm.ppf(0.05) * error, abs=0.1 * error)
    assert got.high == pytest.approx(d.mean() + norm.ppf(0.95) * error, abs=0.1 * error)


def test_pairing_matters() -> None:
    champion = np.random.default_rng(0).random(500)
    got = paired_bootstrap(champion + 0.01, champion, seed=0)
    assert got.low == pytest.approx(0.01)


@pytest.mark.parametrize("scores", [np.ones(50), np.random.default_rng(0).normal(size=50)])
def test_equals_do_not_differ(scores: np.ndarray) -> None:
    got = paired_bootstrap(scores, scores, seed=0)
    assert (got.difference, got.low, got.high) == (0, 0, 0)


@pytest.mark.parametrize("distinct", [3, 100])
def test_the_seed_decides(distinct: int) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(distinct, size=(2, 99)).astype(float)
    assert paired_bootstrap(a, b, seed=5) == paired_bootstrap(a, b, seed=5)
    # Of few distinct values, two seeds' percentiles may agree.
    assert len({paired_bootstrap(a, b, seed=seed) for seed in range(9)}) > 1


@pytest.mark.parametrize(("a", "b"), [([1.0], [1.0, 0.0]), ([], []), ([[1.0]], [[1.0]])])
def test_unpaired_scores_are_refused(a: list[float], b: list[float]) -> None:
    with pytest.raises(DataError, match="one score a sample"):
        paired_bootstrap(np.array(a), np.array(b), seed=0)
