"""The two views of a batch, and how strong the noise of the first is."""

import math

import torch
from torch import Tensor

from hardy.data.augment import augment
from hardy.data.item import Batch
from hardy.data.preprocess import Preprocess
from hardy.methods.byol.spec import ByolSpec, ViewNoise

_WHITE = 255.0
_FIRST, _SECOND = "view-1", "view-2"
# Validation's augmentations: no epoch's, and the same after each.
_NO_EPOCH = -1


def sigma_of(noise: ViewNoise, epoch: int, epochs: int) -> float:
    """Return the noise of an epoch, counted from 1: σ_t = σ_0 + (σ_E - σ_0) r((t - 1)/(E - 1)).

    r is the identity, or (1 - cos πx)/2; a single epoch has σ_0.
    """
    if noise.to is None or epochs == 1:
        return noise.sigma
    share = (epoch - 1) / (epochs - 1)
    if noise.ramp == "cosine":
        share = (1 - math.cos(math.pi * share)) / 2
    return noise.sigma + (noise.to - noise.sigma) * share


def views_of_batch(
    batch: Batch, spec: ByolSpec, preprocess: Preprocess, sigma: float
) -> tuple[Tensor, Tensor]:
    """Return both views (B, 3, h, w) of a batch, normalised, on its device.

    Both are augmented, each by draws of its own; then the first has its noise. With `shift` the
    batch is shifted already, and its truth holds the images before.

    Args:
        batch: Images in [0, 255]; drawn for its epoch and step, and after every epoch alike where
            it is only measured.
        spec: What is done.
        preprocess: The network's input.
        sigma: Of the noise, where there is any.
    """
    size = preprocess.height, preprocess.width
    if batch.targets.image is not None:
        first, second = batch.inputs, batch.targets.image
    elif spec.augment:
        drawn = batch if batch.epoch else batch._replace(epoch=_NO_EPOCH)
        first, second = (
            augment(drawn, spec.augment, size, name=name).inputs for name in (_FIRST, _SECOND)
        )
    else:
        first = second = batch.inputs
    noise = None
    if spec.noise is not None and sigma:
        noise = sigma * batch.normal(_FIRST, (3, *size))
        if spec.noise.space == "pixels":
            first = (first + _WHITE * noise).clamp_(0, _WHITE)
    views = [preprocess.normalise(view) for view in (first, second)]
    if noise is not None and spec.noise is not None and spec.noise.space == "normalised":
        views[0] = views[0] + noise
    # The layout that convolutions are fastest in; their weights have it already.
    return views[0].contiguous(memory_format=torch.channels_last), views[1].contiguous(
        memory_format=torch.channels_last
    )
