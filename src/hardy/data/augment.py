"""Augmentation of a batch, on its device: every sample has parameters of its own.

They are drawn from the seed, the step's place and kind, the epoch and the number of the batch, for
the whole batch at once. torchvision's transforms draw once a batch, and would take a call a sample.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hardy.data.augment_spec import (
    AugmentStep,
    Blur,
    Crop,
    Erase,
    Flip,
    Grey,
    Jitter,
    Noise,
    Rotate,
)
from hardy.data.item import Batch

_MOVES = (Crop, Flip, Rotate)
_GREY = (0.2989, 0.587, 0.114)  # torchvision's, of ITU-R BT.601
_WHITE = 255.0


def augment(
    batch: Batch,
    steps: Sequence[AugmentStep],
    size: tuple[int, int] | None = None,
    *,
    name: str = "augment",
) -> Batch:
    """Return an augmented batch; one of epoch 0 comes back as it is.

    Steps that move pixels come first, put together into one map, so that pixels are interpolated
    once; they move the input, the mask (each pixel from its nearest) and the clean image alike.
    The other steps change the input alone.

    Args:
        batch: Images in [0, 255], any dtype.
        steps: What is done.
        size: Height and width of the result; that of the batch by default.
        name: What is drawn depends on it too: other names give other views of the same batch.

    Returns:
        Inputs as float32 in [0, 255].
    """
    if not batch.epoch:
        return batch
    named = [(f"{name}.{place}.{step.kind}", step) for place, step in enumerate(steps)]
    batch = _moved(batch, [each for each in named if isinstance(each[1], _MOVES)], size)
    levels = batch.inputs.float()
    for name, step in named:
        if not isinstance(step, _MOVES):
            levels = _CHANGES[type(step)](levels, step, batch, name)
    return batch._replace(inputs=levels)


def _moved(batch: Batch, steps: Sequence[tuple[str, Any]], size: tuple[int, int] | None) -> Batch:
    """Move inputs, masks and clean images alike."""
    before = batch.inputs.shape[-2], batch.inputs.shape[-1]
    size = size or before
    if not steps and size == before:
        return batch
    mirrors = size == before and all(isinstance(step, Flip) for _, step in steps)
    move = _mirror(batch, steps) if mirrors else _map(batch, steps, size)
    mask, clean = batch.targets.mask, batch.targets.image
    pixels = batch.inputs if clean is None else torch.cat([batch.inputs, clean], 1)
    moved = move(pixels, "bilinear")
    targets = batch.targets._replace(
        mask=None if mask is None else move(mask[:, None], "nearest")[:, 0].to(mask.dtype),
        image=None if clean is None else moved[:, 3:],
    )
    return batch._replace(inputs=moved[:, :3], targets=targets)


def _mirror(batch: Batch, steps: Sequence[tuple[str, Flip]]) -> Callable[[Tensor, str], Tensor]:
    """Return what mirrors planes (B, K, h, w): exactly, and faster than a map does."""
    drawn = []
    for name, step in steps:
        columns = _flips(batch, step, name).unbind(1)
        chances = step.horizontal, step.vertical
        drawn += [each for each in zip(chances, columns, (-1, -2), strict=True) if each[0]]

    def move(planes: Tensor, mode: str) -> Tensor:
        del mode  # nothing lies between pixels
        for _, flips, axis in drawn:
            planes = torch.where(flips.view(-1, 1, 1, 1), planes.flip(axis), planes)
        return planes

    return move


def _map(
    batch: Batch, steps: Sequence[tuple[str, Any]], size: tuple[int, int]
) -> Callable[[Tensor, str], Tensor]:
    """Return what takes planes (B, K, H, W) through all steps, to (B, K, h, w)."""
    count, device = len(batch.ids), batch.inputs.device
    whole = torch.eye(3, device=device).expand(count, 3, 3)
    for name, step in steps:
        # Each leads from a place in its result to the place that this came from.
        whole = whole @ _MATRICES[type(step)](batch, step, name, size[1] / size[0])
    grid = functional.affine_grid(whole[:, :2], [count, 1, *size], align_corners=False)

    def move(planes: Tensor, mode: str) -> Tensor:
        return functional.grid_sample(
            planes.float(), grid, mode, padding_mode="reflection", align_corners=False
        )

    return move


def _flips(batch: Batch, step: Flip, name: str) -> Tensor:
    """Draw who is mirrored (B, 2): horizontally, vertically."""
    drawn = batch.uniform(name, 2)
    return drawn < torch.tensor([step.horizontal, step.vertical], device=drawn.device)


def _flipping(batch: Batch, step: Flip, name: str, aspect: float) -> Tensor:
    del aspect
    signs = 1 - 2 * _flips(batch, step, name).float()
    return torch.diag_embed(functional.pad(signs, (0, 1), value=1.0))


def _cropping(batch: Batch, step: Crop, name: str, aspect: float) -> Tensor:
    low_x, low_y, wide, high = _boxes(batch.uniform(name, 4), step.area, step.ratio, aspect)
    return _affine((wide, 0.0, 2 * low_x + wide - 1), (0.0, high, 2 * low_y + high - 1))


def _rotating(batch: Batch, step: Rotate, name: str, aspect: float) -> Tensor:
    drawn = batch.uniform(name, 2)
    angle = torch.deg2rad((2 * drawn[:, 1] - 1) * step.degrees)
    angle = torch.where(drawn[:, 0] < step.probability, angle, 0.0)
    cos, sin = angle.cos(), angle.sin()
    return _affine((cos, -sin / aspect, 0.0), (sin * aspect, cos, 0.0))


_Row = tuple[Tensor | float, Tensor | float, Tensor | float]


def _affine(x: _Row, y: _Row) -> Tensor:
    """Return matrices (B, 3, 3) of their first two rows, each entry a number or one a sample."""
    like = next(entry for entry in (*x, *y) if isinstance(entry, Tensor))
    entries = (*x, *y, 0.0, 0.0, 1.0)
    columns = [e if isinstance(e, Tensor) else torch.full_like(like, e) for e in entries]
    return torch.stack(columns, 1).view(-1, 3, 3)


def _boxes(
    drawn: Tensor, area: tuple[float, float], ratio: tuple[float, float], aspect: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return boxes inside images: left, top, width, height (B,), as shares of the sides.

    Args:
        drawn: (B, 4) in [0, 1): for the area, the ratio, the place along x and along y.
        area: Bounds of the share of the image's area.
        ratio: Bounds of width / height.
        aspect: Width / height of the images.
    """
    share = _between(drawn[:, 0], area)
    shape = _between(drawn[:, 1], (math.log(ratio[0]), math.log(ratio[1]))).exp()
    # A box that is as wide as the image is as high as its share of the area, and the other way.
    wide = (share * shape / aspect).sqrt().clamp(max=1.0).maximum(share)
    high = share / wide
    return drawn[:, 2] * (1 - wide), drawn[:, 3] * (1 - high), wide, high


def _between(drawn: Tensor, bounds: tuple[float, float]) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * drawn


def _sometimes(drawn: Tensor, probability: float, changed: Tensor, levels: Tensor) -> Tensor:
    """Change the samples (B,) whose number is below a probability."""
    if probability == 1:
        return changed
    return torch.where((drawn < probability).view(-1, 1, 1, 1), changed, levels)


def _greyed(levels: Tensor) -> Tensor:
    """Return luminance (B, 1, h, w)."""
    red, green, blue = (levels[:, channel, None] for channel in range(3))
    return (_GREY[0] * red).add_(green, alpha=_GREY[1]).add_(blue, alpha=_GREY[2])


def _grey(levels: Tensor, step: Grey, batch: Batch, name: str) -> Tensor:
    drawn = batch.uniform(name, 1)[:, 0]
    return _sometimes(drawn, step.probability, _greyed(levels).expand_as(levels), levels)


def _jitter(levels: Tensor, step: Jitter, batch: Batch, name: str) -> Tensor:
    drawn = batch.uniform(name, 5)
    changed = levels

    def mixed(other: Tensor, amount: float, column: int) -> Tensor:
        """Go from `other` towards the image and beyond, as torchvision does."""
        factor = _between(drawn[:, column], (max(0.0, 1 - amount), 1 + amount)).view(-1, 1, 1, 1)
        return torch.lerp(other.expand_as(changed), changed, factor).clamp_(0, _WHITE)

    if step.brightness:
        changed = mixed(torch.zeros_like(levels[:, :1]), step.brightness, 1)
    if step.contrast:
        changed = mixed(_greyed(changed).mean((-1, -2), keepdim=True), step.contrast, 2)
    if step.saturation:
        changed = mixed(_greyed(changed), step.saturation, 3)
    if step.hue:
        changed = _turned(changed, _between(drawn[:, 4], (-step.hue, step.hue)))
    return _sometimes(drawn[:, 0], step.probability, changed, levels)


def _turned(levels: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of HSV by shares (B,) of the colour circle; value and chroma stay."""
    red, green, blue = levels.unbind(1)
    value = levels.amax(1)
    chroma = value - levels.amin(1)
    size = chroma.clamp(min=torch.finfo(levels.dtype).tiny)
    green_or_blue = torch.where(
        value == green, (blue - red).div_(size).add_(2), (red - green).div_(size).add_(4)
    )
    sixths = torch.where(value == red, (green - blue).div_(size), green_or_blue)
    sixths += 6 * turn.view(-1, 1, 1)
    turned = torch.empty_like(levels)
    for channel, place in enumerate((5, 3, 1)):
        along = (sixths + place).remainder_(6)
        along = along.minimum(4 - along).clamp_(0, 1)
        turned[:, channel] = value.addcmul(chroma, along, value=-1)
    return turned


def _blur(levels: Tensor, step: Blur, batch: Batch, name: str) -> Tensor:
    drawn = batch.uniform(name, 2)
    count, channels, height, width = levels.shape
    sigma = _between(drawn[:, 1:], step.sigma)
    radius = min(math.ceil(3 * step.sigma[1]), height - 1, width - 1)
    taps = torch.arange(-radius, radius + 1, device=levels.device)
    kernels = torch.exp(-0.5 * (taps / sigma) ** 2)
    kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    planes = functional.pad(levels, [radius] * 4, mode="reflect").flatten(0, 1)[None]
    groups = count * channels
    for shape in ((groups, 1, -1, 1), (groups, 1, 1, -1)):
        planes = functional.conv2d(planes, kernels.view(shape), groups=groups)
    return _sometimes(drawn[:, 0], step.probability, planes.reshape(levels.shape), levels)


def _erase(levels: Tensor, step: Erase, batch: Batch, name: str) -> Tensor:
    drawn = batch.uniform(name, 5)
    height, width = levels.shape[-2:]
    left, top, wide, high = _boxes(drawn[:, 1:], step.area, step.ratio, width / height)
    columns = _inside(left, wide, width)[:, None, None, :]
    rows = _inside(top, high, height)[:, None, :, None]
    changed = torch.where(rows & columns, step.fill, levels)
    return _sometimes(drawn[:, 0], step.probability, changed, levels)


def _inside(start: Tensor, length: Tensor, side: int) -> Tensor:
    """Tell which pixels' centres (B, side) lie in stretches, given as shares of the side."""
    centres = (torch.arange(side, device=start.device) + 0.5) / side
    return (centres >= start[:, None]) & (centres < (start + length)[:, None])


def _noise(levels: Tensor, step: Noise, batch: Batch, name: str) -> Tensor:
    drawn = batch.uniform(name, 2)
    sigma = _WHITE * _between(drawn[:, 1], step.sigma).view(-1, 1, 1, 1)
    changed = (levels + sigma * batch.normal(name, tuple(levels.shape[1:]))).clamp(0, _WHITE)
    return _sometimes(drawn[:, 0], step.probability, changed, levels)


_MATRICES: dict[type, Callable[[Batch, Any, str, float], Tensor]] = {
    Crop: _cropping,
    Flip: _flipping,
    Rotate: _rotating,
}
"""From a batch, a step, its name and the images' width / height to matrices (B, 3, 3)."""

_CHANGES: dict[type, Callable[[Tensor, Any, Batch, str], Tensor]] = {
    Jitter: _jitter,
    Grey: _grey,
    Blur: _blur,
    Erase: _erase,
    Noise: _noise,
}
"""From levels (B, 3, h, w), a step, the batch and the step's name to levels."""
