"""Whether features say anything still: how far they spread, and in how many directions."""

import torch
from torch import Tensor
from torch.nn import functional

MOST = 1024
"""Samples that suffice to tell."""


def spread(features: Tensor) -> float:
    """Return √D times the mean standard deviation of unit-length features (N, D).

    It is 1 where they lie evenly about the origin, and 0 where all are the same.
    """
    unit = functional.normalize(features.double(), dim=1)
    return float(unit.std(0, correction=0).mean() * unit.shape[1] ** 0.5)


def effective_rank(features: Tensor) -> float:
    """Return exp of the entropy of the shares that singular values have of their sum.

    Of unit-length features (N, D): 1 where all are the same, at most min(N, D) (Roy and Vetterli
    2007, EUSIPCO).
    """
    unit = functional.normalize(features.double(), dim=1)
    # The smaller of both products has the squares of the singular values.
    square = unit.T @ unit if unit.shape[0] > unit.shape[1] else unit @ unit.T
    values = torch.linalg.eigvalsh(square).clamp(min=0).sqrt()
    shares = values / values.sum()
    return float(torch.special.entr(shares).sum().exp())
