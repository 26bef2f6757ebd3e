"""Snow, frost, fog and spatter: the textures' statistics and the mixing formulas."""

import numpy as np
import pytest
from PIL import Image
from scipy.stats import norm

from hardy.data.shifts import apply
from hardy.data.shifts.drops import equalise, spatter
from hardy.data.shifts.pixels import smear, zoom_centre
from hardy.data.shifts.tables import CIFAR_C, IMAGENET_C
from hardy.data.shifts.textures import ice, plasma


def flat(colour: tuple[int, int, int], side: int = 224) -> Image.Image:
    return Image.new("RGB", (side, side), colour)


def shifted(image: Image.Image, kind: str, severity: int, seed: int = 0) -> np.ndarray:
    return np.asarray(apply(image, kind, severity, np.random.default_rng(seed)), dtype=float)


def test_plasma_fills_the_unit_range_and_is_a_torus() -> None:
    cloud = plasma(64, 64, 2, np.random.default_rng(0))
    assert (cloud.min(), cloud.max()) == (0, 1)
    inner = np.abs(np.diff(cloud, axis=0)).mean()
    assert np.abs(cloud[0] - cloud[-1]).mean() < 2 * inner
    assert plasma(40, 70, 2, np.random.default_rng(0)).shape == (40, 70)


def test_the_first_halving_of_plasma_is_the_published_sum() -> None:
    centre, top, left = np.random.default_rng(0).uniform(-1, 1, 3)
    grid = np.array([[0, centre / 2 + top], [centre / 2 + left, centre]])
    expected = (grid - grid.min()) / (grid.max() - grid.min())
    assert plasma(2, 2, 2, np.random.default_rng(0)) == pytest.approx(expected)


@pytest.mark.parametrize("decay", [1.4, 2, 3])
def test_plasma_noise_shrinks_by_the_square_of_the_decay(decay: float) -> None:
    """A value minus the mean of the four around it is the last halving's noise alone."""
    ratios = []
    for seed in range(10):
        cloud = plasma(256, 256, decay, np.random.default_rng(seed))
        residuals = []
        for step in (1, 2):
            grid = cloud[::step, ::step]
            corners = grid[::2, ::2]
            around = corners + np.roll(corners, -1, 0)
            around = (around + np.roll(around, -1, 1)) / 4
            residuals.append(np.std(grid[1::2, 1::2] - around))
        ratios.append(residuals[1] / residuals[0])
    assert np.mean(ratios) == pytest.approx(decay**2, rel=0.03)


@pytest.mark.parametrize("severity", range(1, 6))
def test_fog_mixes_a_cloud_into_the_image(severity: int) -> None:
    strength, decay = IMAGENET_C["fog"][severity - 1]
    cloud = plasma(224, 224, decay, np.random.default_rng(0))
    fogged = shifted(flat((200, 100, 0)), "fog", severity)
    for channel, level in enumerate((200, 100, 0)):
        expected = (level + 255 * strength * cloud) * 200 / (200 + 255 * strength)
        assert np.array_equal(fogged[..., channel], np.floor(expected + 1e-4))


def test_ice_is_bluish_patchy_and_of_stated_brightness() -> None:
    textures = [ice(224, 224, np.random.default_rng(seed)) for seed in range(5)]
    for texture in textures:
        assert texture.min() >= 0
        assert texture.max() <= 1
        assert texture.mean() == pytest.approx(0.45, abs=0.03)
        assert texture[..., 0].mean() < texture[..., 2].mean()
        assert texture.std() > 0.1
    assert not np.allclose(textures[0], textures[1])


@pytest.mark.parametrize("severity", range(1, 6))
def test_frost_adds_ice_to_a_dimmed_image(severity: int) -> None:
    keep, cover = [(1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)][severity - 1]
    texture = np.rint(255 * ice(224, 224, np.random.default_rng(0)))
    frosted = shifted(flat((60, 60, 60)), "frost", severity)
    expected = np.floor(np.clip(keep * 60 + cover * texture, 0, 255) + 1e-4)
    assert np.array_equal(frosted, expected)


@pytest.mark.parametrize("side", [224, 32])
def test_frost_hides_more_and_more(side: int) -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 100, (side, side, 3), dtype=np.uint8))
    seen = []
    for severity in range(1, 6):
        frosted = [shifted(image, "frost", severity, seed) for seed in range(4)]
        both = [np.corrcoef(np.asarray(image).ravel(), f.ravel())[0, 1] for f in frosted]
        seen.append(np.mean(both))
    assert seen == sorted(set(seen), reverse=True)


@pytest.mark.parametrize("severity", [1, 2])
def test_snow_adds_as_much_light_as_its_noise_says(severity: int) -> None:
    """On black: the whitening, and twice the mean of the cut normal flakes."""
    # CIFAR's severities 1 and 2 have no enlargement, whose interpolation narrows the law.
    mean, spread, _, threshold, _, _, keep = CIFAR_C["snow"][severity - 1]
    cut = (threshold - mean) / spread
    flakes = mean * (norm.sf(cut) - norm.sf((1 - mean) / spread)) + spread * (
        norm.pdf(cut) - norm.pdf((1 - mean) / spread)
    )
    lights = [shifted(flat((0, 0, 0), 32), "snow", severity, seed).mean() for seed in range(60)]
    expected = (1 - keep) * 0.5 + 2 * flakes
    assert np.mean(lights) / 255 == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize("severity", range(1, 6))
def test_snow_whitens_then_adds_flakes_both_ways_up(severity: int) -> None:
    mean, spread, zoom, threshold, radius, sigma, keep = [
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ][severity - 1]
    rng = np.random.default_rng(0)
    flakes = zoom_centre(rng.normal(mean, spread, (100, 100)), zoom)
    flakes[flakes < threshold] = 0
    flakes = smear(flakes.clip(0, 1), radius, sigma, rng.uniform(-135, -45))
    grey = 0.299 * 150 + 0.587 * 100 + 0.114 * 50
    snowed = shifted(flat((150, 100, 50), 100), "snow", severity)
    for channel, level in enumerate((150, 100, 50)):
        whitened = max(level, 1.5 * grey + 127.5)
        base = keep * level + (1 - keep) * whitened
        expected = np.clip(base + 255 * (flakes + np.rot90(flakes, 2)), 0, 255)
        # The flakes pass through 256 levels twice.
        assert np.abs(snowed[..., channel] - expected).max() < 4


@pytest.mark.parametrize("severity", range(1, 6))
def test_spatter_covers_the_share_that_its_noise_says(severity: int) -> None:
    """Noise N(mean, spread²) smoothed by sigma has the spread / (2·√π·sigma)."""
    mean, spread, sigma, threshold, _, mud = IMAGENET_C["spatter"][severity - 1]
    expected = norm.sf(threshold, mean, spread / (2 * np.sqrt(np.pi) * sigma))
    colour = (255, 255, 255) if mud else (0, 0, 0)
    shares = []
    for seed in range(40):
        spattered = shifted(flat(colour), "spatter", severity, seed)
        shares.append((spattered != colour).any(axis=2).mean())
    # Soft rims of mud below 0.8 are dropped, and shaded sides of water stay dark.
    assert 0.2 * expected < np.mean(shares) < 1.2 * expected


def test_a_drop_is_flat_20_pixels_from_its_rim() -> None:
    """Three filters of three pixels in a row see the slope up to 3 pixels farther in."""

    class Drop:
        def normal(self, mean: float, spread: float, shape: tuple[int, int]) -> np.ndarray:
            return np.tile(np.arange(shape[1]) < 54, (shape[0], 1)).astype(float)

    water = np.asarray(spatter(flat((0, 0, 0), 64), Drop(), 0, 0, 1e-3, 0.5, 1, mud=False))
    brightest = (water == water.max((0, 1))).all(axis=2)
    assert brightest[:, : 54 - 1 - 20 - 2].all()
    assert not brightest[:, 54 - 1 - 20 - 2 :].any()


def test_spatter_is_turquoise_water_or_brown_mud() -> None:
    water = shifted(flat((0, 0, 0)), "spatter", 3)
    red, green, blue = water[water.sum(axis=2) > 100].mean(axis=0)
    assert green == pytest.approx(blue)
    assert red / green == pytest.approx(175 / 238, abs=0.02)
    mud = shifted(flat((255, 255, 255)), "spatter", 4)
    darkest = mud.reshape(-1, 3)[mud.sum(axis=2).argmin()]
    assert darkest == pytest.approx([63, 42, 20], abs=1.5)


def test_equalise_follows_the_cumulative_histogram() -> None:
    levels = np.array([[3.0, 3, 7], [7, 7, 9]])
    # Counts 2, 3, 1: (cumulated - first) / (total - first) = 0, 3/4, 4/4.
    assert np.array_equal(equalise(levels), [[0, 0, 191], [191, 191, 255]])
    assert np.array_equal(equalise(np.full((2, 2), 5.0)), np.full((2, 2), 5.0))
