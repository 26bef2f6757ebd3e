"""What changes an image's colours: corruptions that pretraining undoes.

All take an RGB image and return a new one of the same size.
"""

import numpy as np
from PIL import Image, ImageEnhance

from hardy.data.shift_spec import ColourJitter, Greyscale


def colour_jitter(image: Image.Image, spec: ColourJitter, rng: np.random.Generator) -> Image.Image:
    """Change brightness, contrast, saturation and hue by what is drawn, in an order drawn too."""
    bounds = spec.brightness, spec.contrast, spec.saturation
    factors = [rng.uniform(max(0.0, 1 - bound), 1 + bound) for bound in bounds]
    hue = rng.uniform(-spec.hue, spec.hue)
    for place in rng.permutation(len(factors) + 1):
        if place < len(factors):
            image = _ENHANCERS[place](image).enhance(factors[place])
        else:
            image = _hue_turned(image, hue)
    return image


def greyscale(image: Image.Image, spec: Greyscale, rng: np.random.Generator) -> Image.Image:
    """Take the colour out of the image, or leave it as it is."""
    return image.convert("L").convert("RGB") if rng.random() < spec.probability else image


def _hue_turned(image: Image.Image, turn: float) -> Image.Image:
    hue, saturation, value = image.convert("HSV").split()
    levels = (np.asarray(hue).astype(int) + int(turn * 255)) % 256
    turned = Image.fromarray(levels.astype(np.uint8))
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")


_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
