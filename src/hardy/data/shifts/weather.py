"""Weather: snow, frost and fog.

Each function takes an RGB image, a generator and its published constants.
"""

import numpy as np
from PIL import Image

from hardy.data.shifts.pixels import luma, rounded, smear, to_pixels, truncated, zoom_centre
from hardy.data.shifts.textures import ice, plasma


def snow(
    image: Image.Image,
    rng: np.random.Generator,
    mean: float,
    spread: float,
    zoom: float,
    threshold: float,
    radius: float,
    sigma: float,
    keep: float,
) -> Image.Image:
    """Whiten the scene, then add falling flakes and the same flakes upside down.

    Flakes are normal noise (mean, spread), enlarged by `zoom`, cut below `threshold`, smeared
    (radius, sigma, in pixels) in a direction from -135 to -45 degrees; `keep` is the share of the
    scene's own colours.
    """
    pixels = to_pixels(image)
    flakes = zoom_centre(rng.normal(mean, spread, pixels.shape[:2]), zoom)
    flakes = to_pixels(truncated(np.where(flakes < threshold, 0, flakes)))
    # The published flakes pass through an 8-bit image before and after the smear.
    flakes = to_pixels(rounded(smear(flakes, radius, sigma, rng.uniform(-135, -45))))[..., None]
    whitened = np.maximum(pixels, luma(pixels)[..., None] * 1.5 + 0.5)
    return truncated(keep * pixels + (1 - keep) * whitened + flakes + flakes[::-1, ::-1])


def frost(
    image: Image.Image, rng: np.random.Generator, keep: float, cover: float, shrink: int
) -> Image.Image:
    """Add `cover` times an ice texture to `keep` times the image.

    The texture is procedural (`textures.ice`), where the published one is a photograph; `shrink`
    is the factor by which the texture is reduced first, 5 on CIFAR.
    """
    texture = ice(image.height * shrink, image.width * shrink, rng)
    reduced = to_pixels(rounded(texture).resize(image.size, Image.Resampling.BOX))
    return truncated(keep * to_pixels(image) + cover * reduced)


def fog(image: Image.Image, rng: np.random.Generator, strength: float, decay: float) -> Image.Image:
    """Add a plasma cloud of that strength and scale back to the image's brightest value."""
    pixels = to_pixels(image)
    brightest = pixels.max()
    cloud = plasma(image.height, image.width, decay, rng)[..., None]
    return truncated((pixels + strength * cloud) * brightest / (brightest + strength))
