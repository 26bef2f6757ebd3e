"""MEMO's view as its published code makes it: one PIL step after the other, nothing shared.

Crop at random from the full image (CIFAR: after padding by 4 pixels), mirror, three chains of
operations, each chain turned into a tensor and normalised, then mixed. An oracle for the pixels and
the plain loop for the clock; only the random numbers come from hardy's generator, in its order, so
that both make the same view.
"""

import math

import numpy as np
import torch
from PIL import Image, ImageOps
from torchvision.transforms import functional as tvf

BILINEAR = Image.Resampling.BILINEAR
GREY = (128, 0, 0)  # what Pillow makes of the fillcolor=128 in the published code


def level(rng, maximum):
    return rng.uniform(0.1, 1.0) * maximum / 10


def signed(rng, value):
    return -value if rng.random() > 0.5 else value


def affine(image, matrix):
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, resample=BILINEAR, fillcolor=GREY
    )


OPERATIONS = (
    lambda image, rng: ImageOps.autocontrast(image),
    lambda image, rng: ImageOps.equalize(image),
    lambda image, rng: image.rotate(
        signed(rng, int(level(rng, 30))), resample=BILINEAR, fillcolor=GREY
    ),
    lambda image, rng: ImageOps.solarize(image, 256 - int(level(rng, 256))),
    lambda image, rng: affine(image, (1, signed(rng, level(rng, 0.3)), 0, 0, 1, 0)),
    lambda image, rng: affine(image, (1, 0, 0, signed(rng, level(rng, 0.3)), 1, 0)),
    lambda image, rng: affine(
        image, (1, 0, signed(rng, int(level(rng, image.width / 3))), 0, 1, 0)
    ),
    lambda image, rng: affine(
        image, (1, 0, 0, 0, 1, signed(rng, int(level(rng, image.width / 3))))
    ),
    lambda image, rng: ImageOps.posterize(image, 4 - int(level(rng, 4))),
)


def crop_and_flip(image, rng, size):
    width, height = image.size
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1.0)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
            break
    else:
        raise ValueError("these images always have room for a crop")
    cropped = tvf.resized_crop(image, top, left, h, w, [size, size])
    return tvf.hflip(cropped) if rng.random() < 0.5 else cropped


def pad_and_flip(image, rng, size):
    top, left = (int(start) for start in rng.integers(9, size=2))
    cropped = tvf.crop(tvf.pad(image, 4), top, left, size, size)
    return tvf.hflip(cropped) if rng.random() < 0.5 else cropped


def published_view(image, rng, size, mean, std, crop=crop_and_flip):
    """Return one normalised view (3, size, size)."""

    def preprocess(picture):
        return tvf.normalize(tvf.to_tensor(picture), mean, std)

    base = crop(image, rng, size)
    original = preprocess(base)
    weights = rng.dirichlet(np.ones(3)).astype(np.float32)
    share = np.float32(rng.beta(1.0, 1.0))
    mixed = torch.zeros_like(original)
    for weight in weights:
        augmented = base.copy()
        drawn = [OPERATIONS[rng.integers(9)] for _ in range(rng.choice((1, 2, 3)))]
        for operation in drawn:
            augmented = operation(augmented, rng)
        mixed += float(weight) * preprocess(augmented)
    return float(share) * original + float(1 - share) * mixed
