"""Calibration: does a confidence of 0.8 mean right in 80 % of the cases?

Guo et al., "On Calibration of Modern Neural Networks", 2017, https://arxiv.org/abs/1706.04599

    ECE = Σ_m |B_m| / n · |acc(B_m) - conf(B_m)|,  B_m: confidences in ((m-1)/M, m/M]
"""

from dataclasses import dataclass

import numpy as np

from hardy.core.errors import DataError

BINS = 15
"""Equal-width bins, as in the paper's tables."""


@dataclass(frozen=True)
class Reliability:
    """Samples binned by confidence.

    Attributes:
        edges: Edges of the bins (M + 1,), from 0 to 1.
        counts: Samples in each bin (M,).
        confidence: Mean confidence in each bin (M,); NaN where it is empty.
        accuracy: Share of right predictions in each bin (M,); NaN where it is empty.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error, in [0, 1]."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float(np.nansum(gaps * self.counts) / self.counts.sum())


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Reliability:
    """Bin samples by their top confidence.

    Args:
        confidence: Largest probabilities (N,), in [0, 1].
        correct: Whether each prediction is right (N,).
        bins: Number of equal-width bins.

    Raises:
        DataError: If there is no sample, the lengths differ, or a confidence is outside [0, 1].
    """
    scores, right = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    if scores.shape != right.shape or scores.size == 0 or not np.all((scores >= 0) & (scores <= 1)):
        message = (
            "calibration needs one confidence in [0, 1] and one verdict a sample, got "
            f"shapes {scores.shape} and {right.shape}"
        )
        raise DataError(message, hint="Check the columns `confidence` and `prediction`.")
    edges = np.linspace(0, 1, bins + 1)
    # Counting the inner edges strictly below a score makes the bins open to the left.
    index = np.searchsorted(edges[1:-1], scores, side="left")
    counts = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(index, scores, bins) / counts
        share = np.bincount(index, right, bins) / counts
    return Reliability(edges, counts, mean, share)


def ece(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """Return the expected calibration error of top confidences (N,), in [0, 1]."""
    return reliability(confidence, correct, bins).ece
