"""The 6 pixel operations of P2b, albumentations' defaults, written anew.

Each takes an RGB image and a generator. `normalize` returns float32 levels (H, W, 3), the others
an image. The defaults are those of albumentations 1.x, quoted from memory.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import convolve
from torchvision.transforms import functional as tvf

from hardy.data.shifts.drops import equalise
from hardy.data.views.memo_plus import blur, rounded

_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)
_SHARP = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], float)
_CENTRE = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], float)


def equalize(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Equalise each channel's histogram by OpenCV's formula."""
    levels = np.asarray(image, np.float64)
    channels = [equalise(levels[..., channel]) for channel in range(3)]
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def normalize(image: Image.Image, rng: np.random.Generator) -> NDArray[np.float32]:
    """Standardise by ImageNet's statistics, before the network's own normalisation."""
    standard = (np.asarray(image, np.float32) / 255 - _MEAN) / _STD
    return (standard * 255).astype(np.float32)


def color_jitter(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Scale brightness, contrast, saturation by 0.8 to 1.2, turn hue by up to 0.2, in any order."""
    jitters = (tvf.adjust_brightness, tvf.adjust_contrast, tvf.adjust_saturation, tvf.adjust_hue)
    amounts = [*rng.uniform(0.8, 1.2, size=3).tolist(), float(rng.uniform(-0.2, 0.2))]
    for place in rng.permutation(len(jitters)):
        image = jitters[place](image, amounts[place])
    return image


def slight_blur(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Blur by a Gaussian kernel of 3, 5 or 7 pixels."""
    return blur(image, int(rng.choice([3, 5, 7])))


def channel_dropout(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Set one channel to zero."""
    levels = np.array(image)
    levels[..., rng.integers(3)] = 0
    return Image.fromarray(levels)


def sharpen(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Blend with its edges: (1 - α) x + α (x's Laplacian + λ x), α 0.2 to 0.5, λ 0.5 to 1."""
    share, lightness = rng.uniform(0.2, 0.5), rng.uniform(0.5, 1.0)
    kernel = (1 - share) * _CENTRE + share * (_SHARP + lightness * _CENTRE)
    levels = np.asarray(image, np.float32)
    return rounded(convolve(levels, kernel[..., None], mode="mirror"))
