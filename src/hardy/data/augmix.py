"""AugMix at severity 1, as MEMO's published code makes it (arXiv:1912.02781, 2110.09506).

    x_view = m x + (1 - m) Σ_k w_k a_k(x),   w ~ Dirichlet(1, 1, 1),   m ~ Beta(1, 1)

Each a_k is a chain of one to three of nine operations. The published code mixes after the
normalisation; that is affine and the weights sum to one, so mixing pixels in [0, 255] and
normalising afterwards gives the same view and takes one normalisation instead of four.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Array = NDArray[Any]
Operation = Callable[[Image.Image, np.random.Generator], Image.Image]

WIDTH = 3
DEPTHS = (1, 2, 3)
# The published code says fillcolor=128, which Pillow reads on an RGB image as red 128 alone.
FILL = (128, 0, 0)


def augmix(image: Image.Image, rng: np.random.Generator) -> tuple[NDArray[np.float32], list[str]]:
    """Mix an image with three chains of operations on it.

    Args:
        image: RGB, square.
        rng: Source of every draw.

    Returns:
        The mixture (H, W, 3), float32 in [0, 255], and the operations in the order of the draws.
    """
    weights = rng.dirichlet(np.ones(WIDTH)).astype(np.float32)
    share = np.float32(rng.beta(1.0, 1.0))
    mixture = share * np.asarray(image, np.float32)
    names: list[str] = []
    for weight in weights:
        chained, drawn = _chain(image, rng)
        mixture += ((1 - share) * weight) * np.asarray(chained, np.float32)
        names += drawn
    return mixture, names


def _chain(image: Image.Image, rng: np.random.Generator) -> tuple[Image.Image, list[str]]:
    drawn = [_NAMES[rng.integers(len(_NAMES))] for _ in range(rng.choice(DEPTHS))]
    for name in drawn:
        image = OPERATIONS[name](image, rng)
    return image, drawn


def _whole(rng: np.random.Generator, maximum: float) -> int:
    return int(_fraction(rng, maximum))


def _fraction(rng: np.random.Generator, maximum: float) -> float:
    # Severity 1: the level is uniform in [0.1, 1] tenths of an operation's maximum.
    return rng.uniform(0.1, 1.0) * maximum / 10


def _sign(rng: np.random.Generator) -> int:
    return -1 if rng.random() > 0.5 else 1


def _autocontrast(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.autocontrast(image)


def _equalize(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.equalize(image)


def _posterize(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.posterize(image, 4 - _whole(rng, 4))


def _solarize(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.solarize(image, 256 - _whole(rng, 256))


def _rotate(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    degrees = _whole(rng, 30) * _sign(rng)
    return image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=FILL)


def _shear_x(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    level = _fraction(rng, 0.3) * _sign(rng)
    return _affine(image, (1, level, 0, 0, 1, 0), Image.Resampling.BILINEAR)


def _shear_y(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    level = _fraction(rng, 0.3) * _sign(rng)
    return _affine(image, (1, 0, 0, level, 1, 0), Image.Resampling.BILINEAR)


def _translate_x(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    pixels = _whole(rng, image.width / 3) * _sign(rng)
    # By whole pixels, so nearest gives bilinear's result in a tenth of its time.
    return _affine(image, (1, 0, pixels, 0, 1, 0), Image.Resampling.NEAREST)


def _translate_y(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    pixels = _whole(rng, image.height / 3) * _sign(rng)
    return _affine(image, (1, 0, 0, 0, 1, pixels), Image.Resampling.NEAREST)


def _affine(
    image: Image.Image, matrix: tuple[float, ...], resample: Image.Resampling
) -> Image.Image:
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, resample=resample, fillcolor=FILL
    )


OPERATIONS: dict[str, Operation] = {
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "rotate": _rotate,
    "solarize": _solarize,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
    "posterize": _posterize,
}
_NAMES = tuple(OPERATIONS)
