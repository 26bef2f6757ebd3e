"""Noise: gaussian, shot, impulse and speckle.

Each function takes an RGB image, a generator and its published constants.
"""

import numpy as np
from PIL import Image

from hardy.data.shifts.pixels import Pixels, to_pixels, truncated


def gaussian_noise(image: Image.Image, rng: np.random.Generator, sigma: float) -> Image.Image:
    """Add normal noise of standard deviation `sigma`, in [0, 1] units."""
    return truncated(add_gaussian(to_pixels(image), rng, sigma))


def shot_noise(image: Image.Image, rng: np.random.Generator, peak: float) -> Image.Image:
    """Draw each value from a Poisson law with mean `peak` counts at white."""
    return truncated(count_photons(to_pixels(image), rng, peak))


def impulse_noise(image: Image.Image, rng: np.random.Generator, amount: float) -> Image.Image:
    """Set the share `amount` of all channel values to black or white, evenly."""
    return truncated(sprinkle(to_pixels(image), rng, amount))


def speckle_noise(image: Image.Image, rng: np.random.Generator, sigma: float) -> Image.Image:
    """Multiply each value by 1 plus normal noise of standard deviation `sigma`."""
    return truncated(multiply_gaussian(to_pixels(image), rng, sigma))


def add_gaussian(pixels: Pixels, rng: np.random.Generator, sigma: float) -> Pixels:
    """Return x + n, n ~ N(0, σ²), not clipped."""
    return pixels + rng.normal(scale=sigma, size=pixels.shape)


def multiply_gaussian(pixels: Pixels, rng: np.random.Generator, sigma: float) -> Pixels:
    """Return x · (1 + n), n ~ N(0, σ²), not clipped."""
    return pixels * (1 + rng.normal(scale=sigma, size=pixels.shape))


def count_photons(pixels: Pixels, rng: np.random.Generator, peak: float) -> Pixels:
    """Return k / peak, k ~ Poisson(x · peak), not clipped."""
    return rng.poisson(pixels * peak) / peak


def sprinkle(pixels: Pixels, rng: np.random.Generator, amount: float) -> Pixels:
    """Set each channel value to 0 or 1 with probability `amount` / 2 each."""
    draw = rng.random(pixels.shape)
    return np.where(draw < amount / 2, 0.0, np.where(draw < amount, 1.0, pixels))
