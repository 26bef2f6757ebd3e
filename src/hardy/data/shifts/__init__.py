"""Shifts: what is done to images so that they differ from the training data.

`apply` puts one of the 19 corruptions of ImageNet-C (15 and 4 extra) on an image (Hendrycks and
Dietterich 2019, arXiv:1903.12261), with the constants published for ImageNet, or, where the
shorter side has at most 64 pixels, for CIFAR-10. Written anew; where it differs from what the
authors published:

- frost: the ice is procedural, as no photographs come with hardy;
- motion blur and snow: ImageMagick's smear by its formula, without ImageMagick;
- spatter (water): the rim of a drop by erosion instead of Canny's detector, exact distances;
- elastic transform: positions are not rounded to 1/32 pixel;
- glass blur, zoom blur, fog: faster, with the same distribution;
- ImageNet-C was stored as JPEG of quality 85; nothing is stored here.

`plain` holds shifts with a free strength, `hide` and `colour` those that pretraining undoes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from hardy.core.catalog import Catalog
from hardy.core.errors import DataError, SpecError
from hardy.data.shift_spec import (
    BlurPercent,
    ColourJitter,
    Corruption,
    GaussianSigma,
    Greyscale,
    Mask,
    OneOf,
    Poisson,
    SaltAndPepper,
    ShiftSpec,
    Speckle,
    Turn,
)
from hardy.data.shifts import blur, digital, noise, weather
from hardy.data.shifts.colour import colour_jitter, greyscale
from hardy.data.shifts.drops import spatter
from hardy.data.shifts.elastic import elastic_transform
from hardy.data.shifts.hide import mask, turn
from hardy.data.shifts.plain import (
    blur_percent,
    gaussian_sigma,
    poisson,
    salt_and_pepper,
    speckle,
)
from hardy.data.shifts.tables import CIFAR_C, IMAGENET_C

__all__ = [
    "KINDS",
    "apply",
    "blur_percent",
    "gaussian_sigma",
    "poisson",
    "salt_and_pepper",
    "shifted",
    "speckle",
]

_SMALLEST, _CIFAR_LARGEST = 16, 64  # shorter side in pixels

KINDS: Catalog[Callable[..., Image.Image]] = Catalog(
    "corruption",
    [
        ("gaussian_noise", noise.gaussian_noise),
        ("shot_noise", noise.shot_noise),
        ("impulse_noise", noise.impulse_noise),
        ("defocus_blur", blur.defocus_blur),
        ("glass_blur", blur.glass_blur),
        ("motion_blur", blur.motion_blur),
        ("zoom_blur", blur.zoom_blur),
        ("snow", weather.snow),
        ("frost", weather.frost),
        ("fog", weather.fog),
        ("brightness", digital.brightness),
        ("contrast", digital.contrast),
        ("elastic_transform", elastic_transform),
        ("pixelate", digital.pixelate),
        ("jpeg_compression", digital.jpeg_compression),
        ("speckle_noise", noise.speckle_noise),
        ("gaussian_blur", blur.gaussian_blur),
        ("spatter", spatter),
        ("saturate", digital.saturate),
    ],
)
"""Function by name: (image, generator, *published constants) -> image."""


def shifted(image: Image.Image, spec: ShiftSpec, rng: np.random.Generator) -> Image.Image:
    """Return an RGB image as the shift that a spec states leaves it, of the same size.

    Noise that comes after the normalisation leaves it unchanged; the pipeline adds it.

    Raises:
        DataError: If the image is not RGB or is too small for a corruption.
    """
    return _SHIFTS[type(spec)](image, spec, rng)


def _in_pixels(image: Image.Image, spec: GaussianSigma, rng: np.random.Generator) -> Image.Image:
    return image if spec.space == "normalised" else gaussian_sigma(image, spec.sigma, rng)


def _one_of(image: Image.Image, spec: OneOf, rng: np.random.Generator) -> Image.Image:
    if spec.probability is not None and rng.random() >= spec.probability:
        return image
    return shifted(image, spec.shifts[int(rng.integers(len(spec.shifts)))], rng)


_SHIFTS: dict[type, Callable[[Image.Image, Any, np.random.Generator], Image.Image]] = {
    Corruption: lambda image, spec, rng: apply(image, spec.kind, spec.severity, rng),
    GaussianSigma: _in_pixels,
    BlurPercent: lambda image, spec, rng: blur_percent(image, spec.percent),
    SaltAndPepper: lambda image, spec, rng: salt_and_pepper(image, spec.amount, rng),
    Poisson: lambda image, spec, rng: poisson(image, rng, spec.peak),
    Speckle: lambda image, spec, rng: speckle(image, spec.sigma, rng),
    Mask: mask,
    Turn: turn,
    ColourJitter: colour_jitter,
    Greyscale: greyscale,
    OneOf: _one_of,
}


def apply(image: Image.Image, kind: str, severity: int, rng: np.random.Generator) -> Image.Image:
    """Return a corrupted copy of an RGB image, of the same size; the image itself stays.

    Args:
        image: Mode RGB, each side at least 16 pixels; published at 224 and at 32.
        kind: A name of `KINDS`.
        severity: Published severity, 1 to 5.
        rng: The one source of random numbers; the same state gives the same pixels.

    Raises:
        SpecError: If the kind is unknown or the severity is outside 1 to 5.
        DataError: If the image is not RGB or is too small.
    """
    corrupt = KINDS[kind]
    if severity not in range(1, 6):
        message = f"the severity of {kind} is {severity!r}, outside 1 to 5"
        raise SpecError(message, hint="Give a whole number from 1 to 5.")
    _check(image, kind)
    table = CIFAR_C if min(image.size) <= _CIFAR_LARGEST else IMAGENET_C
    return corrupt(image, rng, *table[kind][int(severity) - 1])


def _check(image: Image.Image, kind: str) -> None:
    if image.mode != "RGB":
        message = f"{kind} needs an RGB image, got mode {image.mode!r}"
        raise DataError(message, hint="Convert it first: image.convert('RGB').")
    if min(image.size) < _SMALLEST:
        message = f"{kind} needs sides of at least {_SMALLEST} pixels, got {image.size}"
        raise DataError(message, hint="Resize the image before the shift.")
