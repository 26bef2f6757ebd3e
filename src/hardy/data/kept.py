"""Decoded images and masks that stay in memory, within a budget."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardy.data.item import Batch
from hardy.data.pipeline import SamplePipeline
from hardy.data.preprocess import Preprocess

Levels = NDArray[np.uint8]


class Kept:
    """Levels and masks of the first samples, as many as there is room for.

    Attributes:
        masks: (K, h, w); None where no masks are wanted.
        there: Which samples are here, of all (N,).
        room: Bytes that it takes once it is full.
    """

    def __init__(self, pipeline: SamplePipeline, geometry: Preprocess, budget: int) -> None:
        plane = geometry.height, geometry.width
        masks = pipeline.target == "mask" and pipeline.dataset.read_mask is not None
        each = (3 + masks) * plane[0] * plane[1]
        self._count = min(len(pipeline), budget // each)
        self.room = self._count * each
        # The system gives memory when it is written to, not before.
        self._levels = np.empty((self._count, 3, *plane), np.uint8)
        self.masks = np.empty((self._count, *plane), np.uint8) if masks else None
        self.there = np.zeros(len(pipeline), bool)

    def __getitem__(self, place: int) -> tuple[Levels, Levels | None]:
        return self._levels[place], None if self.masks is None else self.masks[place]

    def put(self, place: int, levels: Levels, mask: Levels | None) -> None:
        """Keep a sample, if there is room; several threads may put."""
        if place >= self._count:
            return
        write(levels, torch.from_numpy(self._levels[place]))
        if self.masks is not None and mask is not None:
            self.masks[place] = mask
        self.there[place] = True  # last: from now on others read it

    def copy(self, places: NDArray[np.int64], batch: Batch) -> None:
        """Fill a batch with samples that are here."""
        # A mode without errors is what lets numpy write to its place at once.
        np.take(self._levels, places, 0, batch.inputs.numpy(), mode="clip")
        if self.masks is not None and batch.targets.mask is not None:
            np.take(self.masks, places, 0, batch.targets.mask.numpy(), mode="clip")


def write(source: NDArray[np.generic], out: Tensor) -> None:
    """Copy a picture (3, h, w), or a mask (h, w)."""
    # Channel by channel: numpy's copy of a transposed picture takes three times as long.
    target = out.numpy()
    for part in range(len(target)):
        target[part] = source[part]
