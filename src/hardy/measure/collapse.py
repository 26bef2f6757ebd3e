"""Whether features say anything still: how far they spread, and in how many directions.

Hua et al. 2021, "On Feature Decorrelation in Self-Supervised Learning"; Roy and Vetterli 2007, "The
effective rank: a measure of effective dimensionality".
"""

import numpy as np

_NOTHING = 1e-12
"""Length below which a vector has no direction."""


def directions(features: np.ndarray) -> np.ndarray:
    """Return features (N, D) at unit length; what has no direction stays 0."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, _NOTHING))


def spread(units: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the mean over dimensions of the standard deviation of features, times √D.

    It is 1 where they lie evenly about the origin, and 0 where all are the same.

    Args:
        units: Features (N, D), of unit length.
        weights: How often each counts (N,); none: once.
    """
    shares = np.full(len(units), 1 / len(units)) if weights is None else weights / weights.sum()
    apart = units - units.mean(0)  # so that the squares below cancel little
    variances = shares @ apart**2 - (shares @ apart) ** 2
    return float(np.sqrt(variances.clip(0)).mean() * np.sqrt(units.shape[1]))


def effective_rank(units: np.ndarray) -> float:
    """Return exp(H(p)), p the singular values of unit-length features (N, D) over their sum.

    It is 1 where all are the same, and at most min(N, D). Features are not centred: what is left of
    those that have collapsed is noise, in all directions.
    """
    values = np.linalg.svd(units, compute_uv=False)
    if values.sum() < _NOTHING:
        return 1.0
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))
