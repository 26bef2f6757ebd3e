"""Shifts in a spec: their labels, their identities, and what `shifted` makes of them."""

import numpy as np
import pytest
from PIL import Image, ImageFilter
from pydantic import ValidationError

from hardy.core.hashing import digest
from hardy.data import shifts
from hardy.data.shift_spec import (
    BlurPercent,
    Corruption,
    GaussianSigma,
    Poisson,
    SaltAndPepper,
    Speckle,
)
from hardy.data.shifts.plain import sigma_in_levels
from hardy.data.spec import CORRUPTIONS, DataSpec


def grey(level=128, size=96):
    return Image.new("RGB", (size, size), (level,) * 3)


def shifted(spec, image=None, seed=0):
    return np.asarray(shifts.shifted(image or grey(), spec, np.random.default_rng(seed)), float)


LABELS = {
    "fog-3": {"kind": "fog"},
    "snow-5": {"kind": "snow", "severity": 5},
    "gaussian_sigma-0.5": {"kind": "gaussian_sigma", "sigma": 0.5},
    "gaussian_sigma-1.5-normalised": {
        "kind": "gaussian_sigma",
        "sigma": 1.5,
        "space": "normalised",
    },
    "blur_percent-50": {"kind": "blur_percent", "percent": 50},
    "salt_and_pepper-0.01": {"kind": "salt_and_pepper", "amount": 0.01},
    "poisson-255": {"kind": "poisson"},
    "poisson-25": {"kind": "poisson", "peak": 25},
    "speckle-0.15": {"kind": "speckle", "sigma": 0.15},
}


def test_labels_and_identities_tell_shifts_apart():
    specs = [DataSpec(dataset="imagenet-sample", shift=shift) for shift in LABELS.values()]
    assert [spec.shift_label for spec in specs] == list(LABELS)
    assert len({digest(spec.identity()) for spec in specs}) == len(specs)


@pytest.mark.parametrize(
    "shift",
    [
        {"kind": "smog"},
        {"kind": "fog", "severity": 6},
        {"kind": "fog", "sigma": 0.1},
        {"kind": "gaussian_sigma"},
        {"kind": "gaussian_sigma", "sigma": -0.1},
        {"kind": "gaussian_sigma", "sigma": float("nan")},
        {"kind": "blur_percent", "percent": 101},
        {"kind": "salt_and_pepper", "amount": 1.1},
        {"kind": "poisson", "peak": 0},
        {"kind": "speckle", "sigma": 0.1, "severity": 1},
    ],
)
def test_what_cannot_be_is_refused(shift):
    with pytest.raises(ValidationError):
        DataSpec(dataset="imagenet-sample", shift=shift)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_corruption_is_what_apply_gives(kind):
    made = shifted(Corruption(kind=kind, severity=2), seed=1)
    expected = shifts.apply(grey(), kind, 2, np.random.default_rng(1))
    assert np.array_equal(made, expected)


def test_the_strengths_are_as_stated():
    n = 96 * 96 * 3
    noise = shifted(GaussianSigma(sigma=0.1)) - 128
    assert noise.std() == pytest.approx(25.5, rel=4 / np.sqrt(n))
    assert abs(noise.mean()) < 4 * 25.5 / np.sqrt(n)
    factor = shifted(Speckle(sigma=0.2)) / 128 - 1
    assert factor.std() == pytest.approx(0.2, rel=4 / np.sqrt(n) + 0.001)
    struck = shifted(SaltAndPepper(amount=0.1)) != 128
    assert struck.mean() == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / n))
    counts = shifted(Poisson(peak=25)) * 25 / 255
    mean = 128 / 255 * 25
    assert counts.mean() == pytest.approx(mean, abs=4 * np.sqrt(mean / n))
    assert counts.var() == pytest.approx(mean, rel=0.05)


@pytest.mark.parametrize(("percent", "radius"), [(0, 0), (25, 2), (50, 5), (75, 7), (100, 10)])
def test_blur_is_pillows_at_the_percentages_radius(percent, radius):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    expected = image.filter(ImageFilter.GaussianBlur(radius))
    assert np.array_equal(shifted(BlurPercent(percent=percent), image), expected)


def test_noise_in_normalised_space_leaves_the_image_to_the_pipeline():
    assert (shifted(GaussianSigma(sigma=1, space="normalised")) == 128).all()
    levels = sigma_in_levels(0.5, (0.2, 0.25, 0.5))
    assert levels == pytest.approx([25.5, 31.875, 63.75])
