import numpy as np
import pytest
from PIL import Image, ImageOps

from hardy.data.views.augmix import FILL, NAMES, PARAMETERS, augmix, run


def photo(size=48, seed=0):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)


def operate(name, image, rng):
    return run(image, name, PARAMETERS[name](image.width, rng))


class Scripted:
    """Answers uniform and random draws from a list, and fails where the code asks for more."""

    def __init__(self, *values):
        self.values = list(values)

    def uniform(self, low, high):
        return low + (high - low) * self.values.pop(0)

    def random(self):
        return self.values.pop(0)


def affine(image, matrix):
    """The inverse map with bilinear weights at pixel centres, written out pixel by pixel."""
    source = np.asarray(image, float)
    height, width, _ = source.shape
    result = np.empty_like(source)
    a, b, c, d, e, f = matrix
    for y in range(height):
        for x in range(width):
            u = a * (x + 0.5) + b * (y + 0.5) + c
            v = d * (x + 0.5) + e * (y + 0.5) + f
            if not (0 <= u < width and 0 <= v < height):
                result[y, x] = FILL
                continue
            u, v = u - 0.5, v - 0.5
            left, top = int(np.floor(u)), int(np.floor(v))
            columns = np.clip([left, left + 1], 0, width - 1)
            rows = np.clip([top, top + 1], 0, height - 1)
            across = source[rows][:, columns] * np.array([1 - (u - left), u - left])[None, :, None]
            down = across.sum(1) * np.array([1 - (v - top), v - top])[:, None]
            result[y, x] = down.sum(0)
    return result


# Level 0.5 of the way from 0.1 to 1 is 0.55; its value is 0.55 maximum / 10.
@pytest.mark.parametrize(
    ("name", "draws", "matrix"),
    [
        ("shear_x", (0.5, 0.2), (1, 0.0165, 0, 0, 1, 0)),
        ("shear_x", (0.5, 0.8), (1, -0.0165, 0, 0, 1, 0)),
        ("shear_y", (0.5, 0.2), (1, 0, 0, 0.0165, 1, 0)),
        ("translate_x", (1.0, 0.2), (1, 0, 1, 0, 1, 0)),  # int(48 / 3 / 10)
        ("translate_x", (1.0, 0.8), (1, 0, -1, 0, 1, 0)),
        ("translate_y", (1.0, 0.2), (1, 0, 0, 0, 1, 1)),
        ("translate_y", (0.0, 0.2), (1, 0, 0, 0, 1, 0)),  # int(0.16)
    ],
)
def test_geometric_operations_by_the_formula(name, draws, matrix):
    image = photo()
    rng = Scripted(*draws)
    result = np.asarray(operate(name, image, rng), float)
    assert not rng.values
    assert np.abs(result - affine(image, matrix)).max() <= 1


@pytest.mark.parametrize("sign", [1, -1])
def test_rotate_is_by_whole_degrees_about_the_centre(sign):
    image = photo()
    angle = np.deg2rad(2 * sign)  # int(0.775 * 30 / 10)
    cos, sin, centre = np.cos(angle), np.sin(angle), 24.0
    matrix = (
        cos, -sin, centre - cos * centre + sin * centre,
        sin, cos, centre - sin * centre - cos * centre,
    )  # fmt: skip
    rng = Scripted(0.75, 0.2 if sign > 0 else 0.8)
    result = np.asarray(operate("rotate", image, rng), float)
    assert np.abs(result - affine(image, matrix)).max() <= 1


def test_tone_operations_by_the_formula():
    image = photo()
    pixels = np.asarray(image)
    solarized = operate("solarize", image, Scripted(1.0))  # threshold 256 - int(25.6)
    assert np.array_equal(solarized, np.where(pixels < 231, pixels, 255 - pixels))
    posterized = operate("posterize", image, Scripted(1.0))  # 4 - int(0.4) bits
    assert np.array_equal(posterized, pixels & 0xF0)
    low, high = pixels.min((0, 1)).astype(float), pixels.max((0, 1)).astype(float)
    stretched = (pixels - low) * 255 / (high - low)
    contrast = np.asarray(operate("autocontrast", image, Scripted()), float)
    assert np.abs(contrast - stretched).max() <= 1
    assert operate("equalize", image, Scripted()) == ImageOps.equalize(image)


def test_whole_pixel_translation_by_nearest_is_bilinears_bit_for_bit():
    image = photo(224)
    for pixels in range(-7, 8):
        matrix = (1, 0, pixels, 0, 1, 0)
        bilinear, nearest = (
            image.transform(
                image.size, Image.Transform.AFFINE, matrix, resample=mode, fillcolor=FILL
            )
            for mode in (Image.Resampling.BILINEAR, Image.Resampling.NEAREST)
        )
        assert bilinear == nearest


def test_the_fill_is_what_pillow_makes_of_128():
    assert Image.new("RGB", (1, 1), 128).getpixel((0, 0)) == FILL


def slow_augmix_normalised(image, rng, mean, std):
    """The published formula: every image is normalised first, then mixed, in float64."""

    def normalise(picture):
        return (np.asarray(picture, float) / 255 - mean) / std

    weights = rng.dirichlet([1.0, 1.0, 1.0])
    m = rng.beta(1.0, 1.0)
    mix = np.zeros((image.height, image.width, 3))
    for k in range(3):
        depth = rng.choice([1, 2, 3])
        names = [NAMES[rng.integers(9)] for _ in range(depth)]
        augmented = image.copy()
        for name in names:
            augmented = operate(name, augmented, rng)
        mix += weights[k] * normalise(augmented)
    return m * normalise(image) + (1 - m) * mix


@pytest.mark.parametrize("seed", range(20))
def test_mixing_pixels_is_mixing_after_the_normalisation(seed):
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    image = photo(64, seed)
    mixture, names = augmix(image, np.random.default_rng(seed))
    expected = slow_augmix_normalised(image, np.random.default_rng(seed), mean, std)
    assert mixture.dtype == np.float32
    assert 3 <= len(names) <= 9
    assert np.abs((mixture / 255 - mean) / std - expected).max() < 5e-6


def test_all_nine_operations_and_depths_are_drawn_evenly():
    image = photo(8)
    rng = np.random.default_rng(0)
    drawn = [augmix(image, rng)[1] for _ in range(600)]
    counts = np.array([sum(names.count(name) for names in drawn) for name in NAMES])
    # 600 views of three chains of two operations on average: 400 of each of nine.
    assert np.abs(counts - 400).max() < 5 * np.sqrt(400)
    assert {len(names) for names in drawn} == set(range(3, 10))


def test_a_mixture_stays_in_range():
    rng = np.random.default_rng(1)
    for seed in range(20):
        mixture, _ = augmix(photo(32, seed), rng)
        assert mixture.min() >= -1e-3
        assert mixture.max() <= 255 + 1e-3
