"""Noise on flat grey against the exact law of the 256 levels; the shifts of free strength."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.stats import norm, poisson

from hardy.core.errors import SpecError
from hardy.data import shifts

_GREYS = (40, 128, 230)
_EDGES = np.arange(1, 256) / 255


def grey(level: int) -> Image.Image:
    return Image.new("RGB", (224, 224), (level, level, level))


def law_of_normal(mean: float, sigma: float, edges: np.ndarray) -> np.ndarray:
    """Probabilities of the levels 0..255 where a level begins at each of the 255 edges."""
    return np.diff(np.concatenate([[0], norm.cdf(edges, mean, sigma), [1]]))


def law_of_counts(mean: float, peak: float) -> np.ndarray:
    counts = np.arange(2000)
    levels = np.minimum(np.floor(counts / peak * 255 + 1e-9), 255).astype(int)
    return np.bincount(levels, poisson.pmf(counts, mean * peak), minlength=256)


def check(image: Image.Image, law: np.ndarray) -> None:
    """Mean and variance agree within five standard errors."""
    values, levels = np.asarray(image, dtype=float).ravel(), np.arange(256)
    mean = law @ levels
    moments = [law @ (levels - mean) ** k for k in (2, 4)]
    count = values.size
    assert values.mean() == pytest.approx(mean, abs=5 * (moments[0] / count) ** 0.5)
    error = ((moments[1] - moments[0] ** 2) / count) ** 0.5
    assert values.var() == pytest.approx(moments[0], abs=5 * error)


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize("level", _GREYS)
def test_corruptions_follow_their_laws(level: int, severity: int) -> None:
    at, value = severity - 1, level / 255
    sigma = (0.08, 0.12, 0.18, 0.26, 0.38)[at]
    share = (0.15, 0.2, 0.35, 0.45, 0.6)[at]
    peak = (60, 25, 12, 5, 3)[at]
    amount = (0.03, 0.06, 0.09, 0.17, 0.27)[at]
    flips = np.zeros(256)
    flips[[0, level, 255]] = amount / 2, 1 - amount, amount / 2
    laws = {
        "gaussian_noise": law_of_normal(value, sigma, _EDGES),
        "speckle_noise": law_of_normal(value, value * share, _EDGES),
        "shot_noise": law_of_counts(value, peak),
        "impulse_noise": flips,
    }
    for kind, law in laws.items():
        check(shifts.apply(grey(level), kind, severity, np.random.default_rng(severity)), law)


def test_free_strengths_follow_their_laws() -> None:
    middles = _EDGES - 0.5 / 255  # rounded, not truncated
    value, rng = 100 / 255, np.random.default_rng(3)
    check(shifts.gaussian_sigma(grey(100), 0.3, rng), law_of_normal(value, 0.3, middles))
    check(shifts.speckle(grey(100), 0.3, rng), law_of_normal(value, value * 0.3, middles))
    counts = np.arange(1000)
    law = np.bincount(np.minimum(counts, 255), poisson.pmf(counts, 100), minlength=256)
    check(shifts.poisson(grey(100), rng), law)
    flips = np.zeros(256)
    flips[[0, 100, 255]] = 0.2, 0.6, 0.2
    check(shifts.salt_and_pepper(grey(100), 0.4, rng), flips)


def test_no_strength_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    for same in (
        shifts.gaussian_sigma(image, 0, rng),
        shifts.speckle(image, 0, rng),
        shifts.salt_and_pepper(image, 0, rng),
        shifts.blur_percent(image, 9.9),
    ):
        assert same is not image
        assert same.tobytes() == image.tobytes()


def test_blur_percent_is_pils_radius() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    for percent, radius in [(10, 1), (39.9, 3), (100, 10)]:
        expected = image.filter(ImageFilter.GaussianBlur(radius))
        assert shifts.blur_percent(image, percent).tobytes() == expected.tobytes()
    assert image.tobytes() == pixels.tobytes()


@pytest.mark.parametrize(
    "call",
    [
        lambda image, rng: shifts.gaussian_sigma(image, -0.1, rng),
        lambda image, rng: shifts.gaussian_sigma(image, float("nan"), rng),
        lambda image, rng: shifts.speckle(image, float("inf"), rng),
        lambda image, rng: shifts.salt_and_pepper(image, 1.1, rng),
        lambda image, rng: shifts.poisson(image, rng, 0.5),
        lambda image, rng: shifts.blur_percent(image, 101),
    ],
)
def test_strengths_outside_are_refused(
    call: Callable[[Image.Image, np.random.Generator], Image.Image],
) -> None:
    with pytest.raises(SpecError, match="outside the range") as caught:
        call(grey(0), np.random.default_rng(0))
    assert caught.value.hint
