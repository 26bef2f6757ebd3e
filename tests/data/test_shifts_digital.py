"""Digital corruptions and the elastic transform against colorsys, PIL and scipy."""

import colorsys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from hardy.data.shifts import apply
from hardy.data.shifts.elastic import random_affine, smooth


@pytest.fixture(scope="module")
def image() -> Image.Image:
    pixels = np.random.default_rng(9).integers(0, 256, (66, 70, 3), dtype=np.uint8)
    pixels[:10] = pixels[:10, :, :1]  # greys
    pixels[0, :5] = 0
    pixels[0, 5:10] = 255
    return Image.fromarray(pixels)


def shifted(image: Image.Image, kind: str, severity: int) -> np.ndarray:
    return np.asarray(apply(image, kind, severity, np.random.default_rng(0)), dtype=float)


def through_hsv(image: Image.Image, factor: float, offset: float, value: float) -> np.ndarray:
    out = []
    for pixel in np.asarray(image).reshape(-1, 3) / 255:
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        s = min(max(factor * s + offset, 0), 1)
        out.append(colorsys.hsv_to_rgb(h, s, min(v + value, 1)))
    return np.floor(np.array(out).reshape(*np.asarray(image).shape) * 255 + 1e-4)


@pytest.mark.parametrize("severity", range(1, 6))
def test_brightness_is_colorsys(image: Image.Image, severity: int) -> None:
    expected = through_hsv(image, 1, 0, 0.1 * severity)
    assert np.array_equal(shifted(image, "brightness", severity), expected)


@pytest.mark.parametrize("severity", range(1, 6))
def test_saturate_is_colorsys(image: Image.Image, severity: int) -> None:
    factor, offset = [(0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)][severity - 1]
    expected = through_hsv(image, factor, offset, 0)
    assert np.array_equal(shifted(image, "saturate", severity), expected)


@pytest.mark.parametrize("severity", range(1, 6))
def test_contrast_shrinks_about_the_mean(image: Image.Image, severity: int) -> None:
    factor = (0.4, 0.3, 0.2, 0.1, 0.05)[severity - 1]
    values = np.asarray(image, dtype=float)
    means = values.reshape(-1, 3).mean(axis=0)
    expected = np.floor(factor * values + (1 - factor) * means + 1e-4)
    assert np.array_equal(shifted(image, "contrast", severity), expected)


@pytest.mark.parametrize("severity", range(1, 6))
def test_jpeg_is_pils(image: Image.Image, severity: int) -> None:
    stream = BytesIO()
    image.save(stream, "JPEG", quality=(25, 18, 15, 10, 7)[severity - 1])
    expected = np.asarray(Image.open(stream), dtype=float)
    assert np.array_equal(shifted(image, "jpeg_compression", severity), expected)


@pytest.mark.parametrize("severity", range(1, 6))
def test_pixelate_is_box_down_box_up(severity: int) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    side = (134, 112, 89, 67, 56)[severity - 1]
    small = Image.fromarray(noise).resize((side, side), Image.Resampling.BOX)
    expected = np.asarray(small.resize((224, 224), Image.Resampling.BOX), dtype=float)
    result = shifted(Image.fromarray(noise), "pixelate", severity)
    assert np.array_equal(result, expected)
    if severity == 5:  # 4 x 4 blocks, each its mean
        blocks = noise.reshape(56, 4, 56, 4, 3).mean(axis=(1, 3))
        assert np.abs(result[::4, ::4] - blocks).max() <= 1


@pytest.mark.parametrize("sigma", [0, 0.3, 2.4, 40])
def test_smooth_is_scipys_reflected_gaussian(sigma: float) -> None:
    field = np.random.default_rng(0).uniform(-1, 1, (50, 33))
    expected = gaussian_filter(field, sigma, mode="reflect", truncate=3)
    assert np.allclose(smooth(field, sigma), expected, atol=1e-12)


def test_random_affine_carries_anchors_back() -> None:
    linear, shift = random_affine(90, 120, 9.0, np.random.default_rng(4))
    moves = np.random.default_rng(4).uniform(-9, 9, (3, 2))
    for (row, column), move in zip([(75, 90), (15, 90), (15, 30)], moves, strict=True):
        back = linear @ (np.array([row, column]) + move) + shift
        assert back == pytest.approx([row, column])


def test_random_affine_without_jitter_is_the_identity() -> None:
    linear, shift = random_affine(40, 60, 0.0, np.random.default_rng(0))
    assert np.allclose(linear, np.eye(2))
    assert np.allclose(shift, 0)


@pytest.mark.parametrize("severity", [3, 4, 5])
def test_elastic_displacements_have_the_published_size(severity: int) -> None:
    """A ramp of slope 1 reads positions, so that its change is the displacement in pixels."""
    ramp = np.repeat(np.arange(224)[None], 224, axis=0)
    image = Image.fromarray(np.stack([ramp] * 3, axis=2).astype(np.uint8))
    strength, sigma = 244 * (0.05, 0.07, 0.12)[severity - 3], 2.44
    # Uniform noise of variance 1/3, averaged by a 2-D Gaussian: variance 1/(3 · 4πσ²).
    expected = strength / np.sqrt(12 * np.pi * sigma**2)
    seen = []
    for seed in range(6):
        out = np.asarray(apply(image, "elastic_transform", severity, np.random.default_rng(seed)))
        moved = out[60:164, 60:164, 0].astype(float)
        rows, columns = np.mgrid[:104, :104]
        plane = np.stack([np.ones(104 * 104), rows.ravel(), columns.ravel()], axis=1)
        fit = plane @ np.linalg.lstsq(plane, moved.ravel(), rcond=None)[0]
        seen.append((moved.ravel() - fit).std())
    assert np.mean(seen) == pytest.approx(expected, rel=0.2)
