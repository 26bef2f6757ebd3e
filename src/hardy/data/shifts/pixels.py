"""Between PIL images and arrays of pixels, and the resampling that several shifts share."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.floating[Any]]
"""(H, W, 3) or (H, W), values in [0, 1] unless a function says otherwise."""

# Far below one level, far above the rounding of float arithmetic: an exact level must not fall to
# the level below when it is truncated.
_TOLERANCE = 1e-4


def to_pixels(image: Image.Image) -> Pixels:
    """Return a new (H, W, 3) float64 array in [0, 1]."""
    return np.asarray(image, dtype=np.float64) / 255


def truncated(pixels: Pixels) -> Image.Image:
    """Clip to [0, 1] and truncate to 256 levels, as the published ImageNet-C was written."""
    levels = np.clip(pixels, 0, 1) * 255
    return Image.fromarray(np.floor(levels + _TOLERANCE).astype(np.uint8))


def rounded(pixels: Pixels) -> Image.Image:
    """Clip to [0, 1] and round to the nearest of 256 levels."""
    return Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8))


def luma(pixels: Pixels) -> Pixels:
    """Return the (H, W) brightness of (H, W, 3) pixels by the weights of ITU-R BT.601."""
    grey: Pixels = pixels @ np.array([0.299, 0.587, 0.114])
    return grey


def zoom_centre(pixels: Pixels, factor: float) -> Pixels:
    """Enlarge the centre bilinearly by a factor of at least 1; the shape stays as it was."""
    return _zoom_axis(_zoom_axis(pixels, factor, 0), factor, 1)


def _zoom_axis(pixels: Pixels, factor: float, axis: int) -> Pixels:
    length = pixels.shape[axis]
    crop = math.ceil(length / factor)
    enlarged = round(crop * factor)
    start = (enlarged - length) // 2
    # The corners of the crop map to the corners of the enlargement, as in scipy's `zoom`.
    place = np.linspace(0, crop - 1, enlarged)[start : start + length]
    low = np.minimum(place.astype(int), crop - 2)
    share = (place - low).reshape([-1 if a == axis else 1 for a in range(pixels.ndim)])
    low += (length - crop) // 2
    enlargement: Pixels = pixels.take(low, axis) * (1 - share) + pixels.take(low + 1, axis) * share
    return enlargement


def smear(pixels: Pixels, radius: float, sigma: float, angle: float) -> Pixels:
    """Blur along a line, to one side, by half a Gaussian: ImageMagick's motion blur.

    Each pixel becomes a weighted mean of the 2·ceil(radius) + 1 pixels that lie ahead of it in the
    direction of `angle` (degrees, clockwise from rightwards), each taken from the nearest place of
    the grid. The border is replicated.

    Args:
        pixels: (H, W) or (H, W, 3).
        radius: Half the number of steps, in pixels.
        sigma: Standard deviation of the Gaussian, in pixels.
        angle: Direction, in degrees.
    """
    steps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    across = np.ceil(steps * math.cos(math.radians(angle)) - 0.5).astype(int)
    down = np.ceil(steps * math.sin(math.radians(angle)) - 0.5).astype(int)
    margin, (height, width) = len(steps), pixels.shape[:2]
    borders = [(margin, margin)] * 2 + [(0, 0)] * (pixels.ndim - 2)
    wide = np.pad(pixels, borders, mode="edge")
    blurred = np.zeros_like(pixels)
    for weight, x, y in zip(weights, across + margin, down + margin, strict=True):
        blurred += weight * wide[y : y + height, x : x + width]
    return blurred
