"""What makes masks: Segment Anything, or superpixels; both through a cache on disk."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import device as Device
from torch import nn

from hardy.core.hashing import digest
from hardy.methods.memo_plus.cache import MaskCache
from hardy.methods.memo_plus.masks import Masks, Pixels
from hardy.methods.memo_plus.spec import Sam, SegmenterSpec, Superpixels
from hardy.models.sam import all_masks, checkpoint_file, load_sam

Segmenter = Callable[[Pixels], Masks]
"""From an image (h, w, 3) to all its masks (N, h, w)."""


def build_segmenter(spec: SegmenterSpec, device: Device) -> MaskCache:
    """Build a segmenter whose masks are kept on disk.

    Raises:
        WeightsError: If SAM's checkpoint is absent.
    """
    made = SamMasks(spec, device) if isinstance(spec, Sam) else SuperpixelMasks(spec)
    return MaskCache(made, digest(spec.identity()))


class SuperpixelMasks:
    """SLIC's superpixels as masks: they cover the image and do not overlap."""

    def __init__(self, spec: Superpixels) -> None:
        self.spec = spec

    def __call__(self, image: Pixels) -> Masks:
        """Return the superpixels of an image (h, w, 3) as (N, h, w)."""
        from skimage.segmentation import slic  # scipy's parts double the time of a start

        labels = slic(
            image,
            n_segments=self.spec.segments,
            compactness=self.spec.compactness,
            sigma=self.spec.sigma,
        )
        masks: Masks = labels == np.unique(labels)[:, None, None]
        return masks


class SamMasks:
    """Segment Anything's automatic masks; the model is read when the first image asks for it.

    Raises:
        WeightsError: If the checkpoint is absent.
    """

    def __init__(self, spec: Sam, device: Device) -> None:
        self.spec = spec
        self.device = device
        self.file: Path = checkpoint_file(spec.checkpoint, spec.arch)

    @cached_property
    def model(self) -> nn.Module:
        """The model, on the device.

        Raises:
            WeightsError: If the checkpoint does not fit.
        """
        return load_sam(self.spec.arch, self.file).to(self.device)

    def __call__(self, image: Pixels) -> Masks:
        """Return the masks of an image (h, w, 3) as (N, h, w); they may overlap."""
        settings = self.spec.model_dump(exclude={"kind", "arch", "checkpoint"})
        return all_masks(self.model, image, **settings)
