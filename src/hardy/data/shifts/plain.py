"""Shifts with a free strength, outside ImageNet-C; levels are rounded, not truncated.

All take an RGB image and return a new one of the same size.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from hardy.core.errors import SpecError
from hardy.data.shifts.noise import add_gaussian, count_photons, multiply_gaussian, sprinkle
from hardy.data.shifts.pixels import rounded, to_pixels


def gaussian_sigma(image: Image.Image, sigma: float, rng: np.random.Generator) -> Image.Image:
    """Add normal noise of standard deviation `sigma`, in [0, 1] units before normalisation.

    Raises:
        SpecError: If `sigma` is negative.
    """
    _check("sigma", sigma, 0)
    return rounded(add_gaussian(to_pixels(image), rng, sigma))


def speckle(image: Image.Image, sigma: float, rng: np.random.Generator) -> Image.Image:
    """Multiply each value by 1 plus normal noise of standard deviation `sigma`.

    Raises:
        SpecError: If `sigma` is negative.
    """
    _check("sigma", sigma, 0)
    return rounded(multiply_gaussian(to_pixels(image), rng, sigma))


def salt_and_pepper(image: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Set the share `amount`, 0 to 1, of all channel values to black or white, evenly.

    Raises:
        SpecError: If `amount` is outside [0, 1].
    """
    _check("amount", amount, 0, 1)
    return rounded(sprinkle(to_pixels(image), rng, amount))


def poisson(image: Image.Image, rng: np.random.Generator, peak: float = 255) -> Image.Image:
    """Draw each value from a Poisson law with mean `peak` counts at white.

    Raises:
        SpecError: If `peak` is below 1.
    """
    _check("peak", peak, 1)
    return rounded(count_photons(to_pixels(image), rng, peak))


def blur_percent(image: Image.Image, percent: float) -> Image.Image:
    """Blur by PIL's Gaussian filter of radius int(percent / 10) pixels; below 10 nothing changes.

    Raises:
        SpecError: If `percent` is outside [0, 100].
    """
    _check("percent", percent, 0, 100)
    return image.filter(ImageFilter.GaussianBlur(int(percent * 0.1)))


def sigma_in_levels(sigma: float, std: tuple[float, ...]) -> NDArray[np.float32]:
    """Return the noise in [0, 255] levels that normalisation turns into `sigma`, a channel each.

    Normalisation is affine, z = (x / 255 - mean) / std, so that z + σ n is what becomes of
    x + 255 std σ n, if that is neither rounded nor clipped.
    """
    return (255 * sigma * np.asarray(std)).astype(np.float32)


def _check(name: str, value: float, low: float, high: float = np.inf) -> None:
    # Written so that NaN fails too.
    if not low <= value <= high or np.isinf(value):
        message = f"{name} is {value!r}, outside the range {low} to {high}"
        raise SpecError(message, hint=f"Give a {name} inside the range.")
