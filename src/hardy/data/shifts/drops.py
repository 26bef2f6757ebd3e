"""Spatter: drops of water, or of mud, on the lens."""

import numpy as np
from PIL import Image
from scipy.ndimage import (
    binary_erosion,
    convolve,
    distance_transform_edt,
    gaussian_filter,
    uniform_filter,
)

from hardy.data.shifts.pixels import Pixels, to_pixels, truncated

_WATER = np.array([175, 238, 238]) / 255
_MUD = np.array([63, 42, 20]) / 255
_EMBOSS = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])


def spatter(
    image: Image.Image,
    rng: np.random.Generator,
    mean: float,
    spread: float,
    sigma: float,
    threshold: float,
    strength: float,
    mud: bool,
) -> Image.Image:
    """Put water (translucent) or mud (opaque) where smoothed normal noise passes a threshold.

    `mean`, `spread` and `sigma` (pixels) describe the noise; `strength` is the opacity of water, or
    the standard deviation in pixels that softens the edge of mud.
    """
    pixels = to_pixels(image)
    noise = rng.normal(mean, spread, pixels.shape[:2])
    liquid = gaussian_filter(noise, sigma, mode="nearest")
    liquid[liquid < threshold] = 0
    if mud:
        cover = gaussian_filter((liquid > threshold).astype(float), strength, mode="nearest")
        cover = np.where(cover < 0.8, 0, cover)[..., None]
        return truncated(pixels * (1 - cover) + cover * _MUD)
    return truncated(pixels + strength * _relief(liquid)[..., None] * _WATER)


def _relief(liquid: Pixels) -> Pixels:
    """Return the light on drops (H, W) in [0, 1]: their height by the distance to their rim.

    The published code finds the rim with Canny's detector and an approximate distance; here the
    rim is the drop's outermost pixels and the distance is exact.
    """
    drops = liquid > 0
    if not drops.any():
        return np.zeros_like(liquid)
    rim = drops & ~binary_erosion(drops, border_value=1)
    distance = distance_transform_edt(~rim) if rim.any() else np.full(liquid.shape, 20.0)
    # The filter's running sums round; a flat 20 must not fall to 19.
    heights = np.floor(_box(np.minimum(distance, 20)) + 1e-6)
    lit = np.clip(convolve(equalise(heights), _EMBOSS[::-1, ::-1], mode="mirror"), 0, 255)
    light = np.floor(liquid * 255) * np.rint(_box(lit))
    relief: Pixels = light / max(light.max(), 1)
    return relief


def equalise(levels: Pixels) -> Pixels:
    """Spread whole levels 0..255 so that each covers as much of the range as of the image."""
    values, inverse, counts = np.unique(levels, return_inverse=True, return_counts=True)
    if len(values) == 1:
        return levels
    share = (np.cumsum(counts) - counts[0]) / (levels.size - counts[0])
    spread: Pixels = np.rint(255 * share)[inverse].reshape(levels.shape)
    return spread


def _box(values: Pixels) -> Pixels:
    mean: Pixels = uniform_filter(values, 3, mode="mirror")
    return mean
