"""Whether features say anything still: how far they spread, and in how many directions."""

import torch
from torch import Tensor
from torch.nn import functional

MOST = 1024
"""Samples that suffice to tell."""

# Of the highest so far, a value below this share has fallen; and below this value, or half of the
# highest where that is less, whatever the share. Ranks of networks that learn well fall too: those
# of a small transformer on drawn shapes from 20 to 6, where a collapsed one's fall to 3, its
# projections' from 20 to 1.6.
_FALLS = {"spread": (0.25, 0.1), "effective_rank": (0.1, 1.5)}


def monitors_of(name: str, features: Tensor) -> dict[str, float]:
    """Return both monitors of features (N, D), at their names below one for the features."""
    rows = features.detach().float().cpu()
    return {f"{name}/spread": spread(rows), f"{name}/effective_rank": effective_rank(rows)}


def floor_of(name: str, highest: float) -> float:
    """Return below which value a monitor has fallen, given its highest so far."""
    share, least = _FALLS[name.rpartition("/")[2]]
    return max(share * highest, min(least, highest / 2))


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
