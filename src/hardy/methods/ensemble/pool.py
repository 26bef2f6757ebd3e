"""Opinions of several models as one: temperature, certainty, pool.

A member's views give log-probabilities a (log of their marginal). At temperature T its opinion is
l = log softmax(a / T). Members are weighed by certainty, w_m = (1 / H(l_m)) / Σ_k (1 / H(l_k)), and
pooled as logarithms: Σ_m w_m l_m, made a distribution again (a logarithmic opinion pool, Genest &
Zidek 1986, doi:10.1214/ss/1177013825; the weights are MEMO-TPT-DL2024's).
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from hardy.methods.marginal import entropy, log_marginal
from hardy.methods.select_spec import Marginal

# A member that is wholly certain would have an infinite weight, which is 0 · ∞ for the others.
_LEAST_ENTROPY = 1e-12
# Beyond this a few held-out samples, all right or all wrong, would leave no bound at all.
_HOTTEST = 10.0


def opinion(logits: Tensor, temperature: float, marginal: Marginal) -> Tensor:
    """Return log-probabilities (C,) of views' logits (n, C) at a temperature, differentiable."""
    return torch.log_softmax(log_marginal(logits, marginal) / temperature, dim=-1)


def certainty_weights(opinions: Tensor) -> Tensor:
    """Return weights (M,) of log-probabilities (M, C), inverse to their entropies; they sum to 1.

    No gradient goes through them, as published.
    """
    inverse = 1 / entropy(opinions.detach()).clamp(min=_LEAST_ENTROPY)
    return inverse / inverse.sum()


def pool(opinions: Sequence[Tensor], *, renormalise: bool) -> Tensor:
    """Return the members' common log-probabilities (C,), differentiable.

    Args:
        opinions: Log-probabilities (C,), one a member.
        renormalise: Whether to make the sum a distribution; without it its exponentials sum to
            less than 1 where the members disagree.
    """
    stacked = torch.stack(list(opinions))
    pooled = certainty_weights(stacked) @ stacked
    return torch.log_softmax(pooled, dim=-1) if renormalise else pooled


def fit_temperature(log_p: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature of the least mean negative log-likelihood.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599.

    Args:
        log_p: Log-probabilities (N, C), N at least 1.
        labels: Classes (N,), int.

    Returns:
        A temperature in [0.1, 10]; near a bound where the labels leave it open, as where every
        answer is right.
    """
    log_p = log_p.astype(np.float64)
    rows = np.arange(len(labels))

    def loss(log_t: float) -> float:
        scaled = log_p / np.exp(log_t)
        scaled -= scaled.max(1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(1)) - scaled[rows, labels]).mean())

    edge = float(np.log(_HOTTEST))
    found = minimize_scalar(loss, bounds=(-edge, edge), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))
