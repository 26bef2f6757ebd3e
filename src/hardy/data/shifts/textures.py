"""Random textures: the plasma of fog, the ice of frost."""

import numpy as np

from hardy.data.shifts.pixels import Pixels, smear


def plasma(height: int, width: int, decay: float, rng: np.random.Generator) -> Pixels:
    """Return a cloud (height, width) by diamond-square on a torus.

    The torus has the smallest power of two as its side that holds the cloud; its values are
    stretched to [0, 1] before the cloud is cut out. The noise of each halving is smaller by
    decay² than that of the one before, as in ImageNet-C.
    """
    side = 1 << (max(height, width) - 1).bit_length()
    grid: Pixels = np.zeros((1, 1))
    noise = 1.0
    while len(grid) < side:
        grid = _halve(grid, noise, rng)
        noise /= decay**2
    grid -= grid.min()
    cloud: Pixels = (grid / grid.max())[:height, :width]
    return cloud


def _halve(corners: Pixels, noise: float, rng: np.random.Generator) -> Pixels:
    """Double the resolution of a torus (N, N): centres first, then the middles of the edges."""
    size = len(corners)
    centre_noise, top_noise, left_noise = rng.uniform(-noise, noise, (3, size, size))
    right, below = np.roll(corners, -1, axis=1), np.roll(corners, -1, axis=0)
    centres = (corners + right + below + np.roll(below, -1, axis=1)) / 4 + centre_noise
    finer = np.empty((2 * size, 2 * size))
    finer[::2, ::2], finer[1::2, 1::2] = corners, centres
    finer[::2, 1::2] = (corners + right + centres + np.roll(centres, 1, axis=0)) / 4 + top_noise
    finer[1::2, ::2] = (corners + below + centres + np.roll(centres, 1, axis=1)) / 4 + left_noise
    return finer


def ice(height: int, width: int, rng: np.random.Generator) -> Pixels:
    """Return frost on a window pane (height, width, 3), blue-white on dark, in [0, 1].

    Procedural, where ImageNet-C crops five photographs: a patchy cover of ridged plasma, with
    needles of sparse seeds smeared in a few directions. Each texture is scaled to a mean
    brightness of 0.45; its grain, not its statistics, resembles the photographs.
    """
    cover = plasma(height, width, 1.5, rng)
    ridges = 1 - np.abs(2 * plasma(height, width, 1.3, rng) - 1)
    needles = np.zeros((height, width))
    for angle in rng.uniform(0, 360, size=6):
        seeds = (rng.random((height, width)) < 0.01) * rng.uniform(2, 8, (height, width))
        needles = np.maximum(needles, smear(seeds, 12, 8, angle))
    crystals = cover * (0.5 + ridges**2) + 0.5 * needles
    tinted = crystals[..., None] * np.array([0.88, 0.97, 1.0])
    bright: Pixels = np.clip(tinted * (0.45 / tinted.mean()), 0, 1)
    return bright
