import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode
from torchvision.transforms import v2 as tv

from hardy.data.preprocess import Preprocess

MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}
SIZES = [(1, 1), (3, 200), (31, 33), (32, 32), (50, 47), (47, 50), (64, 64), (97, 300), (301, 98)]
INPUTS = [(32, 32), (32, 36), (32, 37), (33, 40), (48, 32), (64, 60), (65, 32)]


def preprocess(size=32, resize=36, interpolation="bilinear", mean=0.5, std=0.5):
    return Preprocess(size, resize, interpolation, (mean,) * 3, (std,) * 3)


def noise(width, height):
    rng = np.random.default_rng(width * 1000 + height)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("interpolation", MODES)
@pytest.mark.parametrize(("size", "resize"), INPUTS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_geometry_gives_torchvisions_pixels(width, height, size, resize, interpolation):
    image = noise(width, height)
    reference = tv.Compose([tv.Resize(resize, MODES[interpolation]), tv.CenterCrop(size)])
    result = preprocess(size, resize, interpolation).geometry(image)
    assert result.size == (size, size)
    assert np.array_equal(np.asarray(result), np.asarray(reference(image)))


def test_geometry_gives_a_new_image():
    image = noise(32, 32)
    assert preprocess(32, 32).geometry(image) is not image


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalise_is_totensor_then_normalize_and_leaves_its_input(dtype):
    result = Preprocess(32, 32, "bilinear", (0.4, 0.5, 0.6), (0.1, 0.2, 0.3))
    pixels = torch.arange(3 * 4 * 4).reshape(1, 3, 4, 4).to(dtype)
    before = pixels.clone()
    reference = torch.stack(
        [
            (before[0, c].double() / 255 - m) / s
            for c, (m, s) in enumerate(zip((0.4, 0.5, 0.6), (0.1, 0.2, 0.3), strict=True))
        ]
    )
    normalised = result.normalise(pixels)
    assert normalised.dtype == torch.float32
    assert torch.allclose(normalised[0].double(), reference, atol=1e-6)
    assert torch.equal(pixels, before)


@pytest.mark.parametrize(("width", "height"), [(40, 40), (80, 40), (33, 71), (10, 14)])
def test_a_plane_goes_back_to_where_it_came_from(width, height):
    """A picture that tells each pixel's place, sent there and back, tells the place it is at."""
    preprocess = Preprocess(32, 36, "nearest", (0.5,) * 3, (0.5,) * 3)
    xs, ys = np.meshgrid(np.arange(width), np.arange(height))
    image = Image.fromarray(np.stack([xs, ys, np.zeros_like(xs)], -1).astype(np.uint8))
    there = np.asarray(preprocess.geometry(image)).astype(int)
    back = [preprocess.back(there[..., part], width, height, outside=-1) for part in (0, 1)]
    seen = back[0] >= 0
    assert back[0].shape == (height, width)
    step = max(1, min(width, height) / 36)
    assert np.abs(back[0] - xs)[seen].max() <= step
    assert np.abs(back[1] - ys)[seen].max() <= step
    corners = [preprocess.origin(at, at, width, height) for at in (0, 32)]
    inside = [
        (low <= place + 0.5) & (place + 0.5 < high)
        for place, low, high in zip((xs, ys), *corners, strict=True)
    ]
    assert (seen == (inside[0] & inside[1])).all()


def test_what_was_not_seen_is_void_or_the_edge():
    preprocess = Preprocess(4, 4, "nearest", (0.5,) * 3, (0.5,) * 3)
    classes = preprocess.back(np.ones((4, 4), np.uint8), 8, 4)
    assert classes.tolist() == [[255, 255, 1, 1, 1, 1, 255, 255]] * 4
    levels = preprocess.back(np.tile(np.arange(4.0), (4, 1)), 8, 4)
    assert levels[0].tolist() == [0, 0, 0, 1, 2, 3, 3, 3]


OBLONG = [(32, 32), (24, 40), (40, 24)]


def fitted(size, fit, resize=None, *, fill=0, interpolation="bilinear"):
    return Preprocess(size, resize, interpolation, (0.5,) * 3, (0.5,) * 3, fit, fill)


@pytest.mark.parametrize("size", OBLONG)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_an_oblong_crop_is_torchvisions(width, height, size):
    image = noise(width, height)
    reference = tv.Compose([tv.Resize(48, MODES["bilinear"]), tv.CenterCrop(size)])
    result = fitted(size, "shorter_side", 48).geometry(image)
    assert np.array_equal(np.asarray(result), np.asarray(reference(image)))


@pytest.mark.parametrize("interpolation", MODES)
@pytest.mark.parametrize("size", OBLONG)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_squeeze_is_torchvisions_resize_to_two_sides(width, height, size, interpolation):
    image = noise(width, height)
    reference = tv.Resize(size, MODES[interpolation])(image)
    result = fitted(size, "squeeze", interpolation=interpolation).geometry(image)
    assert result is not image
    assert np.array_equal(np.asarray(result), np.asarray(reference))


@pytest.mark.parametrize("size", OBLONG)
@pytest.mark.parametrize(("width", "height"), [(31, 33), (97, 300), (301, 98), (3, 200), (24, 40)])
def test_pad_keeps_the_ratio_and_fills_the_rest(width, height, size):
    high, wide = size
    image = noise(width, height)
    result = np.asarray(fitted(size, "pad", fill=114).geometry(image)).astype(int)
    scale = min(wide / width, high / height)
    inner = [max(1, round(scale * side)) for side in (width, height)]
    left, top = (wide - inner[0]) // 2, (high - inner[1]) // 2
    expected = np.full((high, wide, 3), 114)
    small = image.resize(inner, Image.Resampling.BILINEAR)
    expected[top : top + inner[1], left : left + inner[0]] = np.asarray(small)
    assert np.array_equal(result, expected)
    pillows = ImageOps.pad(image, (wide, high), Image.Resampling.BILINEAR, (114,) * 3)
    assert np.abs(result - np.asarray(pillows)).mean() < 6 or min(inner) < 3  # it rounds otherwise


WAYS = [fitted((24, 40), "squeeze"), fitted(32, "squeeze"), fitted((24, 40), "pad", fill=0)]
WAYS += [fitted(32, "pad"), fitted((24, 40), "shorter_side", 44)]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(("width", "height"), [(80, 40), (33, 71), (10, 14), (40, 24)])
def test_every_fit_moves_masks_as_images_and_has_a_way_back(way, width, height):
    """A mask of places is moved as the picture of places is, and brought back to the places."""
    near = fitted(way.size, way.fit, way.resize, interpolation="nearest")
    ys, xs = np.mgrid[:height, :width].astype(np.uint8)
    picture = Image.fromarray(np.stack([xs, ys, np.full_like(xs, 9)], -1))
    there = np.asarray(near.geometry(picture))
    for plane, values in enumerate((xs, ys)):
        mask = np.asarray(way.mask(Image.fromarray(values), fill=255))
        padded = there[..., 2] == 0
        assert mask.shape == (way.height, way.width)
        assert np.array_equal(mask[~padded], there[..., plane][~padded])
        assert (mask[padded] == 255).all()
        back = way.back(there[..., plane].astype(int), width, height, outside=-1)
        seen = back >= 0
        assert back.shape == (height, width)
        assert seen.all() == (way.fit != "shorter_side")
        step = max(1.0, width / way.width, height / way.height, max(width, height) / way.side)
        assert np.abs(back - values)[seen].max() <= step
    for x, y in ((0.5, 0.5), (way.width / 2, way.height / 2), (way.width - 0.5, 3.5)):
        across, down = way.origin(x, y, width, height)
        if 0 <= across < width and 0 <= down < height:
            pixel = there[int(y), int(x)]
            step = max(1.0, width / way.width, height / way.height)
            assert abs(pixel[0] + 0.5 - across) <= step
            assert abs(pixel[1] + 0.5 - down) <= step


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_levels_of_real_numbers_move_as_whole_ones(way):
    image = np.asarray(noise(50, 47))
    whole, real = way.levels(image), way.levels(image.astype(np.float32) / 2)
    assert whole.dtype == np.uint8
    assert real.dtype == np.float32
    assert np.array_equal(whole, np.asarray(way.geometry(Image.fromarray(image))))
    assert np.abs(real - whole / 2).max() <= 0.6  # the whole ones are rounded twice


@pytest.mark.parametrize(
    "plain",
    [
        Preprocess(40, 50, "bilinear", (0.5,) * 3, (0.5,) * 3),
        Preprocess((40, 60), None, "bilinear", (0.5,) * 3, (0.5,) * 3, "squeeze"),
        Preprocess((40, 60), None, "bilinear", (0.5,) * 3, (0.5,) * 3, "pad"),
    ],
)
def test_a_scaled_geometry_shows_the_same_part(plain):
    # A ramp says where each pixel comes from.
    x, y = np.meshgrid(np.arange(400), np.arange(200))
    ramp = Image.fromarray(np.stack([x / 2, y / 2, 0 * x], -1).astype(np.uint8))
    small, large = plain.geometry(ramp), plain.scaled(2).geometry(ramp)
    assert large.size == (plain.width * 2, plain.height * 2)
    back = np.asarray(large.resize(small.size, Image.Resampling.BILINEAR), float)
    assert np.abs(back - np.asarray(small, float))[2:-2, 2:-2].mean() < 1.5


def test_detail_is_how_much_larger_the_input_could_be():
    crop = Preprocess(40, 50, "bilinear", (0.5,) * 3, (0.5,) * 3)
    assert crop.detail(400, 100) == pytest.approx(2)
    assert crop.detail(40, 25) == pytest.approx(0.5)
    squeeze = Preprocess((40, 60), None, "bilinear", (0.5,) * 3, (0.5,) * 3, "squeeze")
    assert squeeze.detail(60, 120) == pytest.approx(3)
