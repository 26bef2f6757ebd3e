"""Blurs against plain formulas: direct sums, the published pixel loop, scipy's zoom."""

import math

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import correlate, gaussian_filter
from scipy.ndimage import zoom as scipy_zoom

from hardy.data.shifts import apply
from hardy.data.shifts.blur import disk, scatter
from hardy.data.shifts.pixels import smear, zoom_centre
from hardy.data.shifts.tables import CIFAR_C, IMAGENET_C


@pytest.fixture(scope="module")
def image() -> Image.Image:
    noise = np.random.default_rng(5).normal(size=(80, 96, 3))
    pixels = np.clip(0.5 + gaussian_filter(noise, (2, 2, 0)), 0, 1)
    return Image.fromarray((255 * pixels).astype(np.uint8))


def levels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=float)


@pytest.mark.parametrize("severity", range(1, 6))
def test_gaussian_blur_is_the_direct_sum(image: Image.Image, severity: int) -> None:
    sigma = (1, 2, 3, 4, 6)[severity - 1]
    reach = 4 * sigma
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    wide = np.pad(levels(image), ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    rows = sum(w * wide[i : i + 80] for i, w in enumerate(weights))
    expected = sum(w * rows[:, i : i + 96] for i, w in enumerate(weights))
    blurred = levels(apply(image, "gaussian_blur", severity, np.random.default_rng(0)))
    assert np.abs(blurred - np.floor(expected + 1e-4)).max() <= 1
    assert (blurred == np.floor(expected + 1e-4)).mean() > 0.999


@pytest.mark.parametrize("severity", range(1, 6))
def test_defocus_blur_is_the_direct_sum(image: Image.Image, severity: int) -> None:
    radius, softness = IMAGENET_C["defocus_blur"][severity - 1]
    kernel = disk(radius, softness)[..., None]
    expected = np.clip(correlate(levels(image), kernel, mode="mirror"), 0, 255)
    blurred = levels(apply(image, "defocus_blur", severity, np.random.default_rng(0)))
    assert np.abs(blurred - np.floor(expected + 1e-4)).max() <= 1
    assert (blurred == np.floor(expected + 1e-4)).mean() > 0.999


@pytest.mark.parametrize(
    ("radius", "softness"), IMAGENET_C["defocus_blur"] + CIFAR_C["defocus_blur"]
)
def test_disk_is_round_and_nearly_of_unit_energy(radius: float, softness: float) -> None:
    kernel = disk(radius, softness)
    line = np.arange(len(kernel)) - len(kernel) // 2
    # At radius 8 and 10 the disk meets the edge of the published kernel, which adds about 1 %.
    assert kernel.sum() == pytest.approx(1, abs=0.014 if radius >= 8 else 1e-9)
    assert np.allclose(kernel, kernel.T)
    assert np.allclose(kernel, kernel[::-1])
    # A uniform disk of radius r has the second moment r²/4 an axis; the softening adds σ².
    if radius >= 3:
        spread = (kernel.sum(axis=0) @ line**2) / kernel.sum()
        assert spread == pytest.approx(radius**2 / 4 + softness**2, rel=0.1)


@pytest.mark.parametrize("reach", [1, 2, 3, 4])
def test_scatter_is_the_published_loop(reach: int) -> None:
    height, width = 23, 31
    got = scatter(height, width, reach, np.random.default_rng(reach))
    shape = (height - 2 * reach, width - 2 * reach)
    down, across = np.random.default_rng(reach).integers(-reach, reach, size=(2, *shape))
    expected = np.arange(height * width).reshape(height, width)
    for row in range(height - reach, reach, -1):
        for column in range(width - reach, reach, -1):
            at = row - reach - 1, column - reach - 1
            expected[row, column] = expected[row + down[at], column + across[at]]
    assert np.array_equal(got.reshape(height, width), expected)


@pytest.mark.parametrize("severity", range(1, 6))
def test_glass_blur_keeps_the_mean_and_is_no_plain_blur(image: Image.Image, severity: int) -> None:
    sigma = (0.7, 0.9, 1, 1.1, 1.5)[severity - 1]
    blurred = levels(apply(image, "glass_blur", severity, np.random.default_rng(0)))
    plain = gaussian_filter(levels(image), (sigma * 2**0.5, sigma * 2**0.5, 0), mode="nearest")
    # Truncation takes half a level at each of two quantisations.
    assert blurred.mean() == pytest.approx(plain.mean() - 1, abs=0.8)
    assert np.abs(blurred - plain).mean() > 1.5


@pytest.mark.parametrize("angle", [0, 30, -45, -90, -120])
def test_smear_is_a_one_sided_gaussian_line(angle: float) -> None:
    point = np.zeros((61, 61))
    point[30, 30] = 1
    smeared = smear(point, 10, 3, angle)
    weights = np.exp(-(np.arange(21) ** 2) / 18)
    expected = np.zeros_like(point)
    for step, weight in enumerate(weights / weights.sum()):
        x = math.ceil(step * math.cos(math.radians(angle)) - 0.5)
        y = math.ceil(step * math.sin(math.radians(angle)) - 0.5)
        expected[30 - y, 30 - x] += weight
    assert np.allclose(smeared, expected)


@pytest.mark.parametrize("severity", range(1, 6))
def test_motion_blur_smears_along_rows_not_columns(severity: int) -> None:
    stripes = np.zeros((100, 100, 3), dtype=np.uint8)
    stripes[48:52] = 255
    along = Image.fromarray(stripes)
    across = Image.fromarray(stripes.transpose(1, 0, 2).copy())
    # Directions lie within 45 degrees of the rows: upright lines suffer more.
    kept = [
        np.mean(
            [
                levels(apply(lines, "motion_blur", severity, np.random.default_rng(seed))).std()
                for seed in range(8)
            ]
        )
        for lines in (along, across)
    ]
    assert kept[0] > kept[1]
    lines = levels(apply(across, "motion_blur", severity, np.random.default_rng(0)))
    assert lines.mean() == pytest.approx(0.04 * 255, abs=0.5)


@pytest.mark.parametrize("factor", [1, 1.01, 1.25, 2.5, 4.5])
def test_zoom_centre_is_scipys_zoom_of_the_crop(factor: float) -> None:
    pixels = np.random.default_rng(0).random((40, 40))
    crop = math.ceil(40 / factor)
    top = (40 - crop) // 2
    zoomed = scipy_zoom(pixels[top : top + crop, top : top + crop], factor, order=1)
    start = (len(zoomed) - 40) // 2
    expected = zoomed[start : start + 40, start : start + 40]
    assert np.allclose(zoom_centre(pixels, factor), expected)


@pytest.mark.parametrize("severity", range(1, 6))
def test_zoom_blur_is_the_mean_of_enlargements(image: Image.Image, severity: int) -> None:
    stop, step, count = [
        (1.11, 0.01, 12),
        (1.16, 0.01, 16),
        (1.21, 0.02, 11),
        (1.26, 0.02, 13),
        (1.31, 0.03, 11),
    ][severity - 1]
    factors = 1 + step * np.arange(count)
    assert np.allclose(factors, np.arange(1, stop, step))
    layers = [levels(image)] + [zoom_centre(levels(image), f) for f in np.arange(1, stop, step)]
    blurred = levels(apply(image, "zoom_blur", severity, np.random.default_rng(0)))
    assert np.abs(blurred - np.floor(np.mean(layers, axis=0) + 1e-4)).max() <= 1
