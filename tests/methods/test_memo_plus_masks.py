"""Mask policies pixel by pixel on hand-made masks; superpixels; the cache."""

import os

import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage.segmentation import slic

from hardy.core.cache import default_cache
from hardy.data.open import open_dataset
from hardy.data.pipeline import SamplePipeline
from hardy.data.preprocess import Preprocess
from hardy.data.spec import CORRUPTIONS, Corruption, DataSpec
from hardy.methods.memo_plus.cache import MaskCache
from hardy.methods.memo_plus.masks import bounding_box, centroid, kept, masked_images, shown
from hardy.methods.memo_plus.segmenters import build_segmenter
from hardy.methods.memo_plus.spec import MaskPolicy, Superpixels


def box_mask(left, top, right, bottom, size=(20, 30)):
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


BIG = box_mask(0, 0, 10, 20)  # 200 pixels
MIDDLE = box_mask(8, 2, 20, 12)  # 120, overlaps the big one
SMALL = box_mask(22, 14, 30, 20)  # 48
TINY = box_mask(28, 0, 30, 2)  # 4
MASKS = np.stack([SMALL, TINY, BIG, MIDDLE])


def chosen(point=None, **policy):
    found = kept(MASKS, MaskPolicy(**({"min_area": 5} | policy)), point)
    names = {m.tobytes(): n for n, m in zip(("small", "tiny", "big", "middle"), MASKS, strict=True)}
    return [names[mask.tobytes()] for mask in found]


@pytest.mark.parametrize(
    ("policy", "names"),
    [
        ({}, ["big", "middle", "small"]),
        ({"min_area": 4}, ["big", "middle", "small", "tiny"]),
        ({"min_area": 48}, ["big", "middle", "small"]),
        ({"min_area": 49}, ["big", "middle"]),
        ({"top": 1}, ["big"]),
        ({"min_area": 201}, []),
    ],
)
def test_the_largest_masks_of_enough_area(policy, names):
    assert chosen(keep="largest", **policy) == names


@pytest.mark.parametrize(
    ("point", "names"),
    [
        ((9, 5), ["big", "middle"]),  # both contain it
        ((5, 9), ["big"]),  # x and y exchanged
        ((15, 3), ["middle"]),
        ((21, 15), ["small"]),  # in none; nearest to (25.5, 16.5)
        # In the tiny one alone, which is too small. Nearest to (25.5, 16.5); with rows and columns
        # of the centroids exchanged it would be nearest to the middle one.
        ((29, 1), ["small"]),
    ],
)
def test_masks_that_contain_the_point_or_else_the_nearest(point, names):
    assert chosen(point, keep="at_point") == names


def test_only_the_top_masks_are_asked_for_the_point():
    assert chosen((15, 3), keep="at_point", top=1) == ["big"]


def test_a_mask_of_one_pixel_is_used_where_any_may_be():
    dot = np.zeros((1, 4, 4), bool)
    dot[0, 1, 2] = True
    assert np.array_equal(kept(dot, MaskPolicy(min_area=0), None), dot)


def test_masks_without_a_pixel_are_never_used():
    empty = np.zeros((2, 4, 4), bool)
    assert kept(empty, MaskPolicy(min_area=0), (0, 0)).shape == (0, 4, 4)
    assert kept(np.zeros((0, 4, 4), bool), MaskPolicy(), (0, 0)).shape == (0, 4, 4)


def test_centroids_and_boxes_are_x_first():
    assert centroid(MIDDLE).tolist() == [13.5, 6.5]
    assert bounding_box(MIDDLE) == (8, 2, 20, 12)


LETTER_L = box_mask(3, 2, 6, 15) | box_mask(3, 12, 14, 15)


def photograph() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, size=(20, 30, 3)).astype(np.uint8)


def test_black_outside_the_mask():
    image = photograph()
    (got,) = masked_images(image, LETTER_L[None], "black")
    for y in range(20):
        for x in range(30):
            inside = (3 <= x < 6 and 2 <= y < 15) or (3 <= x < 14 and 12 <= y < 15)
            assert (got[y, x] == (image[y, x] if inside else 0)).all()


def test_black_outside_the_box():
    image = photograph()
    (got,) = masked_images(image, LETTER_L[None], "box")
    expected = np.zeros_like(image)
    expected[2:15, 3:14] = image[2:15, 3:14]
    assert (got == expected).all()


def test_crops_are_the_boxes():
    image = photograph()
    first, second = masked_images(image, np.stack([LETTER_L, SMALL]), "crop")
    assert (first == image[2:15, 3:14]).all()
    assert (second == image[14:20, 22:30]).all()


def test_blurred_outside_the_mask():
    image = photograph()
    (got,) = masked_images(image, LETTER_L[None], "blurred")
    blurred = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius=15)))
    assert (got[LETTER_L] == image[LETTER_L]).all()
    assert (got[~LETTER_L] == blurred[~LETTER_L]).all()


def test_what_masked_images_show():
    masks = np.stack([LETTER_L, SMALL])
    box = box_mask(3, 2, 14, 15)
    for show, first in (("black", LETTER_L), ("blurred", LETTER_L), ("box", box), ("crop", box)):
        assert (shown(masks, show) == [first, SMALL]).all()
    assert (masks == [LETTER_L, SMALL]).all()


def test_the_image_is_not_written_to():
    image = photograph()
    image.setflags(write=False)
    for show in ("blurred", "crop", "black", "box"):
        assert len(masked_images(image, MASKS, show)) == 4
    assert (image == photograph()).all()


def scene() -> np.ndarray:
    image = np.full((60, 80, 3), 200, np.uint8)
    image[10:40, 20:60] = (200, 30, 30)
    return image


def test_superpixels_part_the_image_as_slic_does():
    spec = Superpixels(segments=8, compactness=5)
    masks = build_segmenter(spec, None)(scene())
    assert masks.dtype == bool
    assert (masks.sum(axis=0) == 1).all()
    labels = slic(scene(), n_segments=8, compactness=5, sigma=4)
    expected = [labels == label for label in np.unique(labels)]
    assert {m.tobytes() for m in masks} == {m.tobytes() for m in expected}
    assert len(masks) == len(expected) > 1


@pytest.fixture(scope="module")
def photographs():
    return open_dataset(DataSpec(dataset="imagenet-sample"))


@pytest.mark.parametrize("severity", [3, 5])
@pytest.mark.parametrize("kind", CORRUPTIONS[:15])
def test_superpixels_part_a_photograph_under_every_corruption(photographs, kind, severity):
    preprocess = Preprocess(224, 256, "bicubic", (0.5,) * 3, (0.5,) * 3)
    shift = Corruption(kind=kind, severity=severity)
    place = CORRUPTIONS.index(kind)
    (sample,) = SamplePipeline(photographs, preprocess, shift=shift, indices=[place])
    image = sample.pixels[0].permute(1, 2, 0).numpy()
    areas = build_segmenter(Superpixels(segments=12), None)(image).mean(axis=(1, 2))
    assert 5 <= len(areas) <= 12  # from a grid of 3 times 3
    assert areas.max() < 0.5


def test_under_noise_superpixels_keep_to_edges():
    """Two halves, noise of three times their distance; of a plain grid, a third straddles both."""
    halves = np.full((96, 96, 3), 100, np.int64)
    halves[:, 48:] += 40
    noise = np.random.default_rng(0).normal(0, 120, halves.shape)
    noisy = np.clip(halves + noise, 0, 255).astype(np.uint8)
    masks = build_segmenter(Superpixels(segments=9), None)(noisy)
    left, right = (part.sum(axis=(1, 2)) for part in (masks[:, :, :48], masks[:, :, 48:]))
    assert 6 <= len(masks) <= 12
    assert np.maximum(left, right).sum() > 0.93 * 96 * 96  # 0.83 of a grid, 0.5 of one mask


class Counting:
    def __init__(self, masks):
        self.masks, self.calls = masks, 0

    def __call__(self, image):
        self.calls += 1
        return self.masks


@pytest.mark.parametrize("count", [0, 1, 4])
def test_masks_are_made_once_and_come_back_bit_for_bit(count):
    segment = Counting(MASKS[:count])
    for _ in range(3):
        got = MaskCache(segment, "key")(photograph())
        assert got.dtype == bool
        assert got.shape == (count, 20, 30)
        assert (got == MASKS[:count]).all()
    assert segment.calls == 1


def test_another_image_or_segmenter_is_another_entry():
    segment = Counting(MASKS)
    cache = MaskCache(segment, "key")
    other = photograph()
    other[0, 0, 0] ^= 1
    cache(photograph())
    cache(other)
    MaskCache(segment, "other")(photograph())
    assert segment.calls == 3
    # The same bytes in another shape are another image.
    turned = photograph().reshape(30, 20, 3)
    assert cache.name(turned) != cache.name(photograph())


@pytest.mark.parametrize("length", [0, 30, 60])
def test_a_damaged_entry_is_made_anew(length):
    segment = Counting(MASKS)
    cache = MaskCache(segment, "key")
    cache(photograph())
    os.truncate(default_cache().folder / "masks" / cache.name(photograph()), length)
    assert (cache(photograph()) == MASKS).all()
    assert (cache(photograph()) == MASKS).all()
    assert segment.calls == 2
