"""Views of one image: the unchanged image first, then augmentations, each from its own numbers.

View i is made by a generator derived from (seed, sample id, i) alone. So the first 8 of 64 views
are the same as 8 views, and no view depends on the order of samples, the number of workers, or
where a run resumed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from hardy.core.seeding import generator
from hardy.data.augmix import Array, augmix
from hardy.data.view_spec import ViewSpec

SMALL = 64
"""Up to this side, AugMix crops as for CIFAR: padded by 4 pixels, at the same scale."""

_SCALE = (0.08, 1.0)
_RATIO = (3 / 4, 4 / 3)

View = tuple[Array, list[str]]


@dataclass(frozen=True)
class Views:
    """The views of one image.

    Attributes:
        pixels: (V, 3, S, S) in [0, 255]; uint8, or float32 where views are mixtures.
        names: For each view, the operations it went through, in the order they were drawn;
            none for view 0.
    """

    pixels: torch.Tensor
    names: list[list[str]]


def make_views(
    image: Image.Image, spec: ViewSpec, size: int, seed: int, sample_id: str, plain: Image.Image
) -> Views:
    """Make the views of one image.

    Args:
        image: The canvas that views are cut from, RGB, any size.
        spec: Which augmentation, and how many views.
        size: Side of a view, in pixels.
        seed: The experiment's seed.
        sample_id: Stable name of the image, from which its random numbers are derived.
        plain: View 0: the image as the network would see it without views, RGB (size, size).
    """
    make = _MAKERS[spec.kind]
    pixels = np.empty((spec.count, 3, size, size), _DTYPES[spec.kind])
    pixels[0] = _channels_first(np.asarray(plain))
    names: list[list[str]] = [[]]
    for index in range(1, spec.count):
        view, drawn = make(image, plain, size, generator(seed, sample_id, "view", index))
        pixels[index] = _channels_first(view)
        names.append(drawn)
    return Views(torch.from_numpy(pixels), names)


def crop_box(width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
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


def _central_box(width: int, height: int) -> tuple[int, int, int, int]:
    w, h = width, height
    if width / height < _RATIO[0]:
        h = round(width / _RATIO[0])
    elif width / height > _RATIO[1]:
        w = round(height * _RATIO[1])
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def _crop_and_flip(
    image: Image.Image, size: int, rng: np.random.Generator
) -> tuple[Image.Image, list[str]]:
    box = crop_box(*image.size, rng)
    # Not resize(box=...): that lets the filter see pixels beyond the crop.
    cropped = image.crop(box).resize((size, size), Image.Resampling.BILINEAR)
    return _maybe_flip(cropped, ["crop"], rng)


def _shift_and_flip(
    plain: Image.Image, size: int, rng: np.random.Generator
) -> tuple[Image.Image, list[str]]:
    top, left = (int(start) - 4 for start in rng.integers(9, size=2))
    return _maybe_flip(plain.crop((left, top, left + size, top + size)), ["crop"], rng)


def _maybe_flip(
    image: Image.Image, names: list[str], rng: np.random.Generator
) -> tuple[Image.Image, list[str]]:
    if rng.random() < 0.5:
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), [*names, "flip"]
    return image, names


def _identity(image: Image.Image, plain: Image.Image, size: int, rng: np.random.Generator) -> View:
    return np.asarray(plain), []


def _cut(image: Image.Image, plain: Image.Image, size: int, rng: np.random.Generator) -> View:
    view, names = _crop_and_flip(image, size, rng)
    return np.asarray(view), names


def _augmix(image: Image.Image, plain: Image.Image, size: int, rng: np.random.Generator) -> View:
    small = size <= SMALL
    base, names = _shift_and_flip(plain, size, rng) if small else _crop_and_flip(image, size, rng)
    mixture, operations = augmix(base, rng)
    return mixture, names + operations


def _channels_first(pixels: Array) -> Array:
    return pixels.transpose(2, 0, 1)


_Maker = Callable[[Image.Image, Image.Image, int, np.random.Generator], View]
_MAKERS: dict[str, _Maker] = {"identity": _identity, "cut": _cut, "augmix": _augmix}
_DTYPES = {"identity": np.uint8, "cut": np.uint8, "augmix": np.float32}
