import numpy as np
import pytest
import torch
from PIL import Image
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
