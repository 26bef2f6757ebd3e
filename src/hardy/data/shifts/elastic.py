"""Elastic transform: a random affine map, then a smooth random displacement of each pixel."""

import numpy as np
from PIL import Image
from scipy.fft import dctn, idctn
from scipy.ndimage import map_coordinates

from hardy.data.shifts.pixels import Pixels, to_pixels, truncated


def elastic_transform(
    image: Image.Image, rng: np.random.Generator, strength: float, sigma: float, jitter: float
) -> Image.Image:
    """Move three anchor points at random, then every pixel by smoothed uniform noise.

    All three constants are shares of the shorter side: the displacement's scale, the standard
    deviation that smooths it, and how far each coordinate of an anchor moves.
    """
    side = min(image.size)
    rows, columns = np.mgrid[: image.height, : image.width].astype(np.float64)
    linear, shift = random_affine(image.height, image.width, jitter * side, rng)
    mapped = np.tensordot(linear, np.stack([rows, columns]), 1) + shift[:, None, None]
    # Two samplings, not one of the composed map: the published images are blurred by both.
    moved = _sample(to_pixels(image), mapped, mode="mirror")
    noise = rng.uniform(-1, 1, (2, image.height, image.width))
    offsets = strength * side * np.stack([smooth(field, sigma * side) for field in noise])
    return truncated(_sample(moved, np.stack([rows, columns]) + offsets, mode="reflect"))


def random_affine(
    height: int, width: int, jitter: float, rng: np.random.Generator
) -> tuple[Pixels, Pixels]:
    """Return (2, 2) and (2,): where in the input each output (row, column) is taken from.

    Three corners of the central square of a third of the shorter side's half-width move by a
    uniform draw from [-jitter, jitter] pixels along each axis.
    """
    centre, half = np.array([height // 2, width // 2]), min(height, width) // 3
    anchors = centre + half * np.array([[1, 1], [-1, 1], [-1, -1]])
    moved = anchors + rng.uniform(-jitter, jitter, anchors.shape)
    solution = np.linalg.solve(np.column_stack([moved, np.ones(3)]), anchors)
    return solution[:2].T, solution[2]


def smooth(field: Pixels, sigma: float) -> Pixels:
    """Filter (H, W) with a Gaussian cut at 3 sigma, mirrored half a pixel beyond the border.

    With that border the cosine transform turns the filter into a product, so that the cost does
    not depend on sigma, which is larger than the image at some severities.
    """
    gain = np.outer(*(_transfer(length, sigma) for length in field.shape))
    filtered: Pixels = idctn(dctn(field) * gain)
    return filtered


def _transfer(length: int, sigma: float) -> Pixels:
    """Return the filter's gain for each of the cosine transform's frequencies."""
    taps = np.arange(1, int(3 * sigma + 0.5) + 1)
    weights = np.exp(-(taps**2) / (2 * sigma**2)) if len(taps) else np.zeros(0)
    angles = np.pi * np.outer(np.arange(length), taps) / length
    gain: Pixels = (1 + 2 * np.cos(angles) @ weights) / (1 + 2 * weights.sum())
    return gain


def _sample(pixels: Pixels, places: Pixels, mode: str) -> Pixels:
    channels = np.moveaxis(pixels, 2, 0)
    taken = [map_coordinates(channel, places, order=1, mode=mode) for channel in channels]
    return np.stack(taken, axis=2)
