"""Masks as lengths of runs: COCO's uncompressed counts.

Of a class's mask (h, w), read column by column from the upper left, the lengths of the runs of
pixels that are not of the class and that are, in turns; the first are not, so that the list begins
with 0 where the first pixel is of the class.
"""

from collections.abc import Sequence

import numpy as np


def runs(mask: np.ndarray) -> list[int]:
    """Return the lengths of a mask's runs (h, w), truth values; they add up to h w."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths: list[int] = np.diff([0, *edges.tolist(), flat.size]).tolist()
    return [0, *lengths] if flat[0] else lengths


def filled(lengths: Sequence[int], height: int, width: int) -> np.ndarray:
    """Return the mask (height, width) whose runs have such lengths, truth values."""
    turns = np.arange(len(lengths)) % 2 == 1
    return np.repeat(turns, lengths).reshape((height, width), order="F")
