"""Digital: brightness, contrast, saturation, JPEG, pixelation.

Each function takes an RGB image, a generator and its published constants.
"""

from io import BytesIO

import numpy as np
from PIL import Image

from hardy.data.shifts.pixels import to_pixels, truncated


def brightness(image: Image.Image, rng: np.random.Generator, amount: float) -> Image.Image:
    """Add `amount` to the value of HSV; hue and saturation stay."""
    pixels = to_pixels(image)
    value = pixels.max(axis=2, keepdims=True)
    brighter = np.minimum(value + amount, 1)
    # At one hue and saturation, R, G and B are proportional to the value; black has neither.
    ratio = brighter / np.where(value > 0, value, 1)
    return truncated(np.where(value > 0, pixels * ratio, brighter))


def contrast(image: Image.Image, rng: np.random.Generator, factor: float) -> Image.Image:
    """Shrink each channel's distance from its mean by `factor`."""
    pixels = to_pixels(image)
    means = pixels.mean(axis=(0, 1))
    return truncated((pixels - means) * factor + means)


def saturate(
    image: Image.Image, rng: np.random.Generator, factor: float, offset: float
) -> Image.Image:
    """Map the saturation of HSV to `factor` · s + `offset`; hue and value stay.

    Greys have hue 0, so that an offset turns them reddish, as in the published images.
    """
    pixels = to_pixels(image)
    value = pixels.max(axis=2, keepdims=True)
    depth = value - pixels
    deepest = depth.max(axis=2, keepdims=True)
    relative = np.where(deepest > 0, depth / np.where(deepest > 0, deepest, 1), [0.0, 1.0, 1.0])
    saturation = deepest / np.where(value > 0, value, 1)
    return truncated(value - value * np.clip(factor * saturation + offset, 0, 1) * relative)


def jpeg_compression(image: Image.Image, rng: np.random.Generator, quality: int) -> Image.Image:
    """Write as JPEG of that quality, 1 to 95, and read it again."""
    with BytesIO() as stream:
        image.save(stream, "JPEG", quality=quality)
        return Image.open(stream).convert("RGB")


def pixelate(image: Image.Image, rng: np.random.Generator, factor: float) -> Image.Image:
    """Reduce each side to the share `factor` and enlarge it again, both by box averages."""
    reduced = (int(image.width * factor), int(image.height * factor))
    small = image.resize(reduced, Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.BOX)
