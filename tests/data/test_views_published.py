"""AugMix's short ways against Pillow's long ones: the same pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from hardy.core.seeding import generator
from hardy.data.preprocess import Preprocess
from hardy.data.view_spec import AugMix
from hardy.data.views import make_views, tone
from hardy.data.views.augmix import BLACK, FILL
from hardy.data.views.shear import shear_x, shear_y
from tests.data.published_augmix import crop_and_flip, pad_and_flip, published_view

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def photo(width, height, seed=0):
    rng = np.random.default_rng(seed)
    small = rng.integers(20, 230, (9, 12, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
    grain = rng.normal(0, 6, smooth.shape)
    return Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("variant", "crop", "size", "sides"),
    [("memo-imagenet", crop_and_flip, 224, (500, 375)), ("memo-cifar", pad_and_flip, 32, (32, 32))],
)
def test_a_view_is_the_published_codes_within_a_level(variant, crop, size, sides, seed):
    preprocess = Preprocess(size, size, "bicubic", MEAN, STD)
    image = photo(*sides, seed)
    spec = AugMix(count=17, variant=variant)
    made = make_views(image, spec, preprocess, seed, "a", preprocess.geometry(image))
    for index in range(1, 17):
        rng = generator(seed, "a", "view", index)
        expected = published_view(image, rng, size, MEAN, STD, crop)
        distance = (preprocess.normalise(made.pixels[index][None])[0] - expected).abs()
        levels = 255 * (distance * torch.tensor(STD).view(3, 1, 1))
        assert levels.max() < 0.001


def sheared(image, level, fill):
    for matrix in ((1, level, 0, 0, 1, 0), (1, 0, 0, level, 1, 0)):
        made = image.transform(
            image.size,
            Image.Transform.AFFINE,
            matrix,
            resample=Image.Resampling.BILINEAR,
            fillcolor=fill,
        )
        yield np.asarray(made)


@pytest.mark.parametrize("size", [(224, 224), (32, 32), (50, 31)])
@pytest.mark.parametrize("fill", [FILL, BLACK])
def test_a_shear_is_pillows_bit_for_bit(size, fill):
    pixels = noise(*size)
    slopes = np.random.default_rng(0).uniform(0.003, 0.03, 10) * np.tile([1, -1], 5)
    for slope in [*slopes.tolist(), np.pi / 10, -np.pi / 10, np.pi / 2]:
        across, down = sheared(Image.fromarray(pixels), slope, fill)
        assert np.array_equal(shear_x(pixels, slope, fill), across)
        assert np.array_equal(shear_y(pixels, slope, fill), down)


@pytest.mark.parametrize("slope", [0.003, -0.003, 0.1, 0.3, -0.3, 1.5])
def test_at_round_slopes_a_shear_is_pillows_within_a_level(slope):
    """Values fall on whole levels there, and the last bit decides between two of them."""
    pixels = noise(50, 31).astype(int)
    made = [shear(pixels.astype(np.uint8), slope, FILL) for shear in (shear_x, shear_y)]
    for ours, pillows in zip(
        made, sheared(Image.fromarray(pixels.astype(np.uint8)), slope, FILL), strict=True
    ):
        assert np.abs(ours.astype(int) - pillows).max() <= 1


def pictures():
    """Images with few, many, extreme or equal levels."""
    flat = [np.full((8, 9, 3), level, np.uint8) for level in (0, 7, 255)]
    few = [np.where(noise(8, 9, s) < 30 * s, 3 * s, 200).astype(np.uint8) for s in range(1, 8)]
    return [*flat, *few, noise(8, 9), noise(224, 224), np.asarray(photo(224, 200)) // 4 + 50]


TABLES = {
    "autocontrast": (ImageOps.autocontrast, tone.autocontrast),
    "equalize": (ImageOps.equalize, tone.equalize),
    "solarize": (lambda image: ImageOps.solarize(image, 231), lambda _: tone.solarize(231)),
    "posterize": (lambda image: ImageOps.posterize(image, 4), lambda _: tone.posterize(4)),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_pillows_bit_for_bit(name):
    pillow, table = TABLES[name]
    for pixels in pictures():
        image = Image.fromarray(pixels)
        assert tone.look_up(image, table(tone.histogram(image))) == pillow(image)


@given(
    chain=st.lists(st.sampled_from(sorted(TABLES)), min_size=2, max_size=5), seed=st.integers(0, 9)
)
@settings(max_examples=60, deadline=None)
def test_a_chain_of_tables_is_one_table(chain, seed):
    image = photo(40, 30, seed)
    counts, table, expected = tone.histogram(image), tone.IDENTITY, image
    for name in chain:
        pillow, make = TABLES[name]
        made = make(counts)
        table, counts, expected = (
            tone.compose(table, made),
            tone.push(counts, made),
            pillow(expected),
        )
    assert tone.look_up(image, table) == expected
    assert np.array_equal(counts, tone.histogram(expected))
