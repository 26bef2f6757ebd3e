"""Blur: gaussian, defocus, glass, motion and zoom.

Each function takes an RGB image, a generator and its published constants, in pixels.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import correlate1d, gaussian_filter
from scipy.signal import fftconvolve

from hardy.data.shifts.pixels import Pixels, rounded, smear, to_pixels, truncated, zoom_centre


def gaussian_blur(image: Image.Image, rng: np.random.Generator, sigma: float) -> Image.Image:
    """Blur with a Gaussian of standard deviation `sigma`; the border is replicated."""
    return truncated(_gaussian(to_pixels(image), sigma))


def defocus_blur(
    image: Image.Image, rng: np.random.Generator, radius: float, softness: float
) -> Image.Image:
    """Average over a disk of that radius, its edge softened by a small Gaussian."""
    kernel = disk(radius, softness)
    margin = len(kernel) // 2
    wide = np.pad(to_pixels(image), ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
    return truncated(fftconvolve(wide, kernel[..., None], mode="valid", axes=(0, 1)))


def disk(radius: float, softness: float) -> Pixels:
    """Return the (2R + 1, 2R + 1) defocus kernel, R = max(8, radius).

    The softening mirrors at the kernel's edge, as the published code does; at radius 8 and 10 the
    disk touches that edge, so that the kernel sums to 1.013 and 1.011 and brightens a little.
    """
    line = np.arange(-max(8, int(radius)), max(8, int(radius)) + 1)
    inside = (line[:, None] ** 2 + line**2 <= radius**2).astype(np.float64)
    taps = np.arange(-1, 2) if radius <= 8 else np.arange(-2, 3)
    soft = np.exp(-(taps**2) / (2 * softness**2))
    kernel: Pixels = inside / inside.sum()
    for axis in (0, 1):
        kernel = correlate1d(kernel, soft / soft.sum(), axis=axis, mode="mirror")
    return kernel


def glass_blur(
    image: Image.Image, rng: np.random.Generator, sigma: float, reach: int, rounds: int
) -> Image.Image:
    """Blur, scatter pixels locally, blur again.

    The published loop means to swap neighbours, but swaps views of one array, and so *copies* the
    neighbour; the published images are made that way, and so are these.
    """
    pixels = to_pixels(truncated(_gaussian(to_pixels(image), sigma)))
    flat = pixels.reshape(-1, 3)
    for _ in range(rounds):
        flat = flat[scatter(pixels.shape[0], pixels.shape[1], reach, rng)]
    return truncated(_gaussian(flat.reshape(pixels.shape), sigma))


def scatter(height: int, width: int, reach: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return, for each pixel (flat index), the pixel whose colour one round gives it.

    The published loop runs backwards over the rows and columns reach + 1 to size - reach, and gives
    each pixel the present colour of a neighbour at an offset drawn from [-reach, reach). A
    neighbour that was visited before has a new colour itself, so that colours travel along chains;
    following every chain by pointer doubling gives what the loop gives, without the loop.
    """
    rows, columns = np.mgrid[reach + 1 : height - reach + 1, reach + 1 : width - reach + 1]
    down, across = rng.integers(-reach, reach, size=(2, *rows.shape))
    source = np.arange(height * width)
    visited = np.zeros(height * width, dtype=bool)
    here = (rows * width + columns).ravel()
    source[here] = ((rows + down) * width + columns + across).ravel()
    visited[here] = True
    earlier = visited[source] & (source > np.arange(len(source)))
    last = np.where(earlier, source, np.arange(len(source)))
    while not np.array_equal(last, last[last]):
        last = last[last]
    return source[last]


def motion_blur(
    image: Image.Image, rng: np.random.Generator, radius: float, sigma: float
) -> Image.Image:
    """Smear along a direction drawn from -45 to 45 degrees."""
    return rounded(smear(to_pixels(image), radius, sigma, rng.uniform(-45, 45)))


def zoom_blur(
    image: Image.Image, rng: np.random.Generator, stop: float, step: float
) -> Image.Image:
    """Average the image and its enlargements by 1, 1 + step, ... below `stop`."""
    pixels = to_pixels(image).astype(np.float32)
    # `arange` reaches `stop` itself where rounding lets it; so do the published images.
    factors = np.arange(1, stop, step)
    total = pixels + sum(zoom_centre(pixels, float(factor)) for factor in factors)
    return truncated(total / (len(factors) + 1))


def _gaussian(pixels: Pixels, sigma: float) -> Pixels:
    blurred: Pixels = gaussian_filter(pixels, (sigma, sigma, 0), mode="nearest")
    return blurred
