"""Is one answer better than another, on the same samples?

Two scores from the same samples are not independent: what counts is where they disagree.
McNemar, "Note on the sampling error of the difference between correlated proportions", 1947;
Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile interval).
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from hardy.core.errors import DataError
from hardy.core.seeding import generator

# Above this many distinct differences the multinomial draw is no cheaper than plain resampling.
_FEW = 16
_CHUNK = 1 << 22


@dataclass(frozen=True)
class McNemar:
    """Exact probabilities of the flips seen, were both answers equally good.

    Attributes:
        two_sided: Of a disagreement at least as lopsided, either way.
        better: Of at least as many flips to right (one-sided).
    """

    two_sided: float
    better: float


@dataclass(frozen=True)
class PairedResult:
    """The mean difference of two paired scores, candidate minus champion.

    Attributes:
        difference: On the samples seen.
        low: Lower end of the percentile interval.
        high: Upper end of the percentile interval.
    """

    difference: float
    low: float
    high: float


def flips(before: np.ndarray, after: np.ndarray) -> tuple[int, int]:
    """Count the samples whose score rose, and those whose score fell.

    Of scores that are 0 or 1 these are the samples that turned right, and that turned wrong.

    Args:
        before: Scores (N,).
        after: Scores (N,) of the same samples in the same order.
    """
    was, now = _pair(before, after)
    return int(np.sum(now > was)), int(np.sum(now < was))


def mcnemar(to_right: int, to_wrong: int) -> McNemar:
    """Test with the exact binomial test whether flips lean one way; no flips give p = 1."""
    total = to_right + to_wrong
    if total == 0:
        return McNemar(two_sided=1.0, better=1.0)
    return McNemar(
        two_sided=float(binomtest(to_right, total).pvalue),
        better=float(binomtest(to_right, total, alternative="greater").pvalue),
    )


def paired_bootstrap(
    candidate: np.ndarray,
    champion: np.ndarray,
    seed: int,
    *,
    draws: int = 10_000,
    confidence: float = 0.95,
) -> PairedResult:
    """Bootstrap the mean difference over samples, in pairs.

    Args:
        candidate: Scores (N,), higher is better: 0/1 correctness, or minus a loss.
        champion: Scores (N,) of the same samples in the same order.
        seed: The same seed gives the same result.
        draws: Number of resamples.
        confidence: Level of the two-sided interval, in (0, 1).

    Raises:
        DataError: If there is no sample or the lengths differ.
    """
    ours, theirs = _pair(candidate, champion)
    differences = ours - theirs
    means = _resampled_means(differences, generator(seed, "paired_bootstrap"), draws)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return PairedResult(float(differences.mean()), float(low), float(high))


def _resampled_means(values: np.ndarray, rng: np.random.Generator, draws: int) -> np.ndarray:
    size = len(values)
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= _FEW:
        # Drawing N of N with replacement is a multinomial over the distinct values: for 0/1 scores
        # three counts a draw replace N indices.
        drawn = rng.multinomial(size, counts / size, size=draws)
        return np.asarray(drawn @ distinct / size)
    step = max(1, _CHUNK // size)
    parts = [
        values[rng.integers(size, size=(min(step, draws - start), size))].mean(axis=1)
        for start in range(0, draws, step)
    ]
    return np.concatenate(parts)


def _pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape or first.ndim != 1 or first.size == 0:
        message = (
            "a paired comparison needs one score a sample from both sides, got shapes "
            f"{first.shape} and {second.shape}"
        )
        raise DataError(message, hint="Compare runs over the same samples in the same order.")
    return first, second
