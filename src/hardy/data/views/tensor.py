"""AugMix of all views at once by tensor operations: for a GPU, approximate.

The draws are those of the exact path, so that view i shows the same operations with the same
parameters. The pixels differ where Pillow rounds to whole levels between operations or weighs
neighbours otherwise; `tests/data/test_views_tensor.py` states by how much.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from hardy.data.views.augmix import GEOMETRY, WIDTH, Fill, Recipe, draw
from hardy.data.views.crop import Box, crop_box, draw_flip, shifted_box


def tensor_augmix(
    image: Image.Image,
    size: int,
    rngs: Sequence[np.random.Generator],
    fill: Fill,
    *,
    shifted: bool,
    device: str | torch.device = "cpu",
) -> tuple[Tensor, list[list[str]]]:
    """Make AugMix views of an image, one a generator.

    Args:
        image: What views are cut from, RGB.
        size: Side of a view, in pixels.
        rngs: A generator a view.
        fill: Colour of the gaps that geometry leaves.
        shifted: Crop as for CIFAR, after padding by 4 pixels.
        device: Where to compute.

    Returns:
        Views (V, 3, S, S), float32 in [0, 255], on the device, and their operations' names.
    """
    boxes, flips, recipes = [], [], []
    for rng in rngs:
        boxes.append(shifted_box((size, size), rng) if shifted else crop_box(*image.size, rng))
        flips.append(draw_flip(rng))
        recipes.append(draw(size, rng))
    names = [
        ["crop", *(["flip"] if flip else []), *recipe.names]
        for flip, recipe in zip(flips, recipes, strict=True)
    ]
    if not recipes:
        return torch.empty(0, 3, size, size, device=device), names
    base = _cut(_as_tensor(image, device), boxes, size)
    mirrored = torch.tensor(flips, device=device).view(-1, 1, 1, 1)
    return mix(torch.where(mirrored, base.flip(-1), base), recipes, fill), names


def _as_tensor(image: Image.Image, device: str | torch.device) -> Tensor:
    return torch.from_numpy(np.array(image)).to(device).permute(2, 0, 1)[None].float()


def _cut(image: Tensor, boxes: Sequence[Box], size: int) -> Tensor:
    margin = 4  # shifted boxes reach beyond the border, where it is black
    padded = torch.nn.functional.pad(image, (margin,) * 4)
    crops = [
        interpolate(
            padded[..., top + margin : bottom + margin, left + margin : right + margin],
            (size, size),
            mode="bilinear",
            antialias=True,
        )
        for left, top, right, bottom in boxes
    ]
    return torch.cat(crops).round_()


def mix(base: Tensor, recipes: Sequence[Recipe], fill: Fill) -> Tensor:
    """Carry one recipe out a view on images (V, 3, S, S) in [0, 255]."""
    chained = base.repeat_interleave(WIDTH, dim=0)
    chains = [chain for recipe in recipes for chain in recipe.chains]
    for step in range(max(map(len, chains))):
        present = {chain[step][0] for chain in chains if len(chain) > step}
        for name in sorted(present):
            rows = [r for r, c in enumerate(chains) if len(c) > step and c[step][0] == name]
            values = torch.tensor([float(chains[r][step][1]) for r in rows], device=base.device)
            chained[rows] = operate(chained[rows], name, values, fill)
    share = base.new_tensor([float(r.share) for r in recipes]).view(-1, 1, 1, 1)
    weights = base.new_tensor(np.stack([r.weights for r in recipes])).view(-1, WIDTH, 1, 1, 1)
    mixture = (chained.view(-1, WIDTH, *base.shape[1:]) * weights).sum(1)
    return share * base + (1 - share) * mixture


def operate(images: Tensor, name: str, values: Tensor, fill: Fill) -> Tensor:
    """Apply an operation to images (N, 3, S, S) of whole levels, with a parameter (N,) each."""
    if name in GEOMETRY:
        return _warp(images, _matrices(name, values, images.shape[-1]), fill)
    if name == "autocontrast":
        return _autocontrast(images)
    if name == "equalize":
        return _equalize(images)
    value = values.view(-1, 1, 1, 1)
    if name == "solarize":
        return torch.where(images < value, images, 255 - images)
    step = 2 ** (8 - value)  # posterize
    return torch.floor(images / step) * step


def _autocontrast(images: Tensor) -> Tensor:
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    scale = torch.where(high > low, 255 / (high - low).clamp(min=1), 1.0)
    offset = torch.where(high > low, low, 0.0)
    return torch.floor((images - offset) * scale + 1e-3).clamp_(0, 255)


def _equalize(images: Tensor) -> Tensor:
    flat = images.flatten(2).long()
    counts = flat.new_zeros(*flat.shape[:2], 256).scatter_add_(2, flat, torch.ones_like(flat))
    step = (counts.sum(2) - counts.gather(2, flat.amax(2, keepdim=True))[..., 0]) // 255
    before = counts.cumsum(2) - counts
    width = step.clamp(min=1)[..., None]
    table = ((width // 2 + before) // width).clamp(max=255)
    table = torch.where(step[..., None] > 0, table, torch.arange(256, device=images.device))
    return table.gather(2, flat).view_as(images).float()


def _matrices(name: str, values: Tensor, side: int) -> Tensor:
    """Return (N, 2, 3): where each place is taken from, in grid_sample's units of half a side."""
    matrices = torch.eye(2, 3, device=values.device).repeat(len(values), 1, 1)
    if name == "rotate":
        angles = torch.deg2rad(values)
        matrices[:, 0, 0] = matrices[:, 1, 1] = torch.cos(angles)
        matrices[:, 0, 1], matrices[:, 1, 0] = -torch.sin(angles), torch.sin(angles)
    elif name.startswith("shear"):
        row, column = (0, 1) if name == "shear_x" else (1, 0)
        matrices[:, row, column] = values
        matrices[:, row, 2] = values  # about the corner, where the shear leaves all in place
    else:
        matrices[:, 0 if name == "translate_x" else 1, 2] = values * 2 / side
    return matrices


def _warp(images: Tensor, matrices: Tensor, fill: Fill) -> Tensor:
    grid = affine_grid(matrices, list(images.shape), align_corners=False)
    warped = grid_sample(images, grid, padding_mode="border", align_corners=False)
    outside = (grid.abs() > 1).any(-1)[:, None]
    colour = images.new_tensor(fill).view(1, 3, 1, 1)
    return torch.where(outside, colour, torch.floor(warped + 1e-3))
