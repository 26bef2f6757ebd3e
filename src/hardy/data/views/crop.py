"""Where views are cut from: random resized crops, shifted crops, flips."""

import math

import numpy as np
from PIL import Image

_SCALE = (0.08, 1.0)
_RATIO = (3 / 4, 4 / 3)
_PADDING = 4

Box = tuple[int, int, int, int]
Size = tuple[int, int]


def crop_box(width: int, height: int, rng: np.random.Generator) -> Box:
    """Draw the box (left, top, right, bottom) of a random resized crop.

    torchvision's algorithm: an area share uniform in [0.08, 1] and an aspect ratio log-uniform in
    [3/4, 4/3], drawn up to ten times until the box fits; else the largest central box.
    """
    for _ in range(10):
        area = width * height * rng.uniform(*_SCALE)
        ratio = math.exp(rng.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top = int(rng.integers(height - h + 1))
            left = int(rng.integers(width - w + 1))
            return left, top, left + w, top + h
    return _central_box(width, height)


def _central_box(width: int, height: int) -> Box:
    w, h = width, height
    if width / height < _RATIO[0]:
        h = round(width / _RATIO[0])
    elif width / height > _RATIO[1]:
        w = round(height * _RATIO[1])
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def shifted_box(size: Size, rng: np.random.Generator) -> Box:
    """Draw the box of a crop of (width, height), its corner up to 4 pixels from the image's."""
    top, left = (int(start) - _PADDING for start in rng.integers(2 * _PADDING + 1, size=2))
    return left, top, left + size[0], top + size[1]


def cut(image: Image.Image, box: Box, size: Size, *, flip: bool) -> Image.Image:
    """Crop, resize bilinearly to (width, height), mirror if asked; beyond the image is black."""
    # Not resize(box=...): that lets the filter see pixels beyond the crop.
    cropped = image.crop(box).resize(size, Image.Resampling.BILINEAR)
    return cropped.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else cropped


def draw_flip(rng: np.random.Generator) -> bool:
    """Draw whether to mirror, by a fair coin."""
    return bool(rng.random() < 0.5)
