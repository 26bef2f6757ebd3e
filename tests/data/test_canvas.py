"""The image that views are cut from, for methods that look at it."""

from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from hardy.data.folder import open_dataset
from hardy.data.pipeline import SamplePipeline, loader
from hardy.data.preprocess import Preprocess
from hardy.data.shift_spec import Corruption
from hardy.data.view_spec import Cut

PREPROCESS = Preprocess(24, 32, "bilinear", (0.5,) * 3, (0.5,) * 3)


def pixels(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(256, size=(40, 50 + index, 3)).astype(np.uint8)


@pytest.fixture
def dataset(tmp_path):
    for index in range(2):
        path = tmp_path / "images" / f"class{index}" / "a.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(pixels(index)).save(path)
    return open_dataset(tmp_path / "images")


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_canvas_is_the_decoded_image(dataset, workers):
    pipeline = SamplePipeline(dataset, PREPROCESS, views=Cut(count=2), keep_canvas=True)
    with closing(loader(pipeline, workers)) as samples:
        for index, item in enumerate(samples):
            assert (item.canvas == pixels(index)).all()


def test_no_canvas_unless_asked_for(dataset):
    assert SamplePipeline(dataset, PREPROCESS, views=Cut(count=2))[0].canvas is None


def test_under_a_shift_the_unchanged_view_is_the_canvas(dataset):
    shift = Corruption(kind="contrast", severity=3)
    assert SamplePipeline(dataset, PREPROCESS, shift=shift, keep_canvas=True)[0].canvas is None


@pytest.mark.parametrize(("width", "height"), [(50, 40), (40, 50), (24, 24), (200, 30)])
@pytest.mark.parametrize(("size", "resize"), [(24, 32), (24, 24), (32, 24)])
def test_origin_is_the_inverse_of_the_geometry(width, height, size, resize):
    """Corners of the crop, by torchvision's two sizes written out."""
    preprocess = Preprocess(size, resize, "bilinear", (0.5,) * 3, (0.5,) * 3)
    scale = resize / min(width, height)
    long, short = int(scale * max(width, height)), resize
    wide, high = (long, short) if width >= height else (short, long)
    left, top = (wide - size) / 2, (high - size) / 2
    x, y = preprocess.origin(0, 0, width, height)
    assert (x, y) == pytest.approx((left * width / wide, top * height / high), abs=1 / scale)
    right, bottom = preprocess.origin(size, size, width, height)
    assert (right - x, bottom - y) == pytest.approx((size * width / wide, size * height / high))
