"""Whether features say anything still: how far they spread, and in how many directions."""

from torch import Tensor

from hardy.measure.collapse import directions, effective_rank, spread

MOST = 1024
"""Samples that suffice to tell."""

# Of the highest so far, a value below this share has fallen; and below this value, or half of the
# highest where that is less, whatever the share. Ranks of networks that learn well fall too: those
# of a small transformer on drawn shapes from 20 to 6, where a collapsed one's fall to 3, its
# projections' from 20 to 1.6.
_FALLS = {"spread": (0.25, 0.1), "effective_rank": (0.1, 1.5)}


def monitors_of(name: str, features: Tensor) -> dict[str, float]:
    """Return both monitors of features (N, D), at their names below one for the features."""
    units = directions(features.detach().double().cpu().numpy())
    return {f"{name}/spread": spread(units), f"{name}/effective_rank": effective_rank(units)}


def floor_of(name: str, highest: float) -> float:
    """Return below which value a monitor has fallen, given its highest so far."""
    share, least = _FALLS[name.rpartition("/")[2]]
    return max(share * highest, min(least, highest / 2))
