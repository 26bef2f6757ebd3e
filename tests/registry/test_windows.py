"""A segmenter asked about photographs larger and smaller than its input: whole, and in windows."""

import base64
import io
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from hardy.core.errors import RegistryError
from hardy.data.preprocess import Preprocess
from hardy.models.model import Model
from hardy.registry.predictor import Predictor
from hardy.registry.windows import joined, windows
from hardy.tasks.build import build_task
from hardy.tasks.reconstruct.spec import ReconstructSpec
from hardy.tasks.segment.spec import SegmentSpec
from tests.contracts.device import another_device

HEIGHT, WIDTH = 16, 24
NAMES = ("red", "green", "blue")
SIZES = [(24, 16), (25, 16), (100, 70), (61, 97), (10, 50), (50, 10), (7, 5)]


def photograph(width, height):
    pixels = np.random.default_rng([width, height]).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


class Brightest(nn.Conv2d):
    """Says of each pixel which of its channels is the largest; knows nothing of its neighbours."""

    def __init__(self):
        super().__init__(3, 3, 1, bias=False)
        with torch.no_grad():
            self.weight.copy_(torch.eye(3)[..., None, None])


def predictor(spec=None, network=None, device="cpu"):
    spec, names = spec or SegmentSpec(), NAMES
    preprocess = Preprocess((HEIGHT, WIDTH), None, "bilinear", (0.0,) * 3, (1.0,) * 3, "squeeze")
    model = Model((network or Brightest()).eval(), preprocess).to(device)
    method = SimpleNamespace(kind="evaluate", yields_weights=True)
    card = SimpleNamespace(
        build_task=lambda: build_task(spec, names),
        preprocess=preprocess,
        precision="32-true",
        method=method,
        main="evaluate",
    )
    return Predictor(card, model, torch.device(device))


def shown(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_windows_cover_an_image_and_share_a_quarter_with_their_neighbours(width, height):
    image = photograph(width, height)
    found = windows(image, HEIGHT, WIDTH)
    pixels, times = np.asarray(image), np.zeros((height, width), int)
    for window in found:
        assert window.image.size == (WIDTH, HEIGHT)
        rows = (window.top + np.arange(HEIGHT)).clip(max=height - 1)  # the last ones repeated
        columns = (window.left + np.arange(WIDTH)).clip(max=width - 1)
        np.testing.assert_array_equal(window.image, pixels[rows[:, None], columns])
        times[window.top : window.top + HEIGHT, window.left : window.left + WIDTH] += 1
    assert times.min() >= 1
    for starts, side in (
        (sorted({w.left for w in found}), WIDTH),
        (sorted({w.top for w in found}), HEIGHT),
    ):
        assert all(b - a <= side - side // 4 for a, b in pairwise(starts))
        assert len({b - a for a, b in pairwise(starts)}) <= 2  # evenly, but for rounding
    if width <= WIDTH and height <= HEIGHT:
        assert len(found) == 1


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_windows_of_a_network_of_single_pixels_are_the_exact_answer(width, height):
    image = photograph(width, height)
    (row,) = predictor().predict([image], window="tiles").to_dict("records")
    expected = np.asarray(image).argmax(-1)
    mask = shown(row["mask"])
    ties = np.sort(np.asarray(image), -1)
    sure = ties[..., 2] > ties[..., 1]  # between equal channels, rounding decides
    np.testing.assert_array_equal(mask[sure], expected[sure])
    logits = np.asarray(image, np.float64) / 255
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    assert row["entropy"] == pytest.approx(-(p * np.log(p)).sum(-1).mean(), rel=1e-5)
    assert (row["width"], row["height"]) == (width, height)
    assert row["window"].startswith(f"tiles ({len(windows(image, HEIGHT, WIDTH))} of 16 x 24")


def test_in_the_overlap_log_probabilities_are_averaged():
    image = photograph(42, 16)  # two windows, at 0 and 18
    first, second = (torch.log_softmax(torch.randn(3, 16, 24), 0) for _ in range(2))
    found = windows(image, HEIGHT, WIDTH)
    assert [window.left for window in found] == [0, 18]
    whole = joined([first, second], found, image.size)
    assert torch.equal(whole[..., :18], first[..., :18])
    assert torch.equal(whole[..., 24:], second[..., 6:])
    torch.testing.assert_close(whole[..., 18:24], (first[..., 18:] + second[..., :6]) / 2)


def test_the_whole_image_is_seen_squeezed_and_said_to_be():
    image = photograph(100, 70)
    (row,) = predictor().predict([image]).to_dict("records")
    small = np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)).argmax(-1)
    rows, columns = (np.arange(70) + 0.5) * 16 // 70, (np.arange(100) + 0.5) * 24 // 100
    expected = small[rows.astype(int)[:, None], columns.astype(int)[None]]
    assert (shown(row["mask"]) == expected).mean() > 0.98
    assert row["window"] == "whole (squeeze to 16 x 24)"


def test_an_image_is_rebuilt_in_windows_at_its_own_resolution():
    image = photograph(61, 97)
    (row,) = predictor(ReconstructSpec()).predict([image], window="tiles").to_dict("records")
    np.testing.assert_array_equal(shown(row["image"]), np.asarray(image))


@pytest.mark.parametrize(("name", "value"), [("window", "all"), ("format", "gif"), ("window", 3)])
def test_other_values_are_refused_with_those_that_there_are(name, value):
    with pytest.raises(RegistryError, match=f"{name} is {value!r}") as caught:
        predictor().predict([photograph(9, 9)], **{name: value})
    assert " or ".join(predictor().task.choices[name]) in caught.value.hint


def test_several_images_have_their_own_windows_on_any_device():
    images = [photograph(*size) for size in SIZES]
    together = predictor().predict(images, window="tiles", format="rle")
    alone = [predictor().predict([i], window="tiles", format="rle") for i in images]
    assert [row["runs"][0] for row in alone] == together["runs"].tolist()
    with another_device() as device:
        there = predictor(device=device).predict(images[2:3], window="tiles", format="rle")
    assert there["runs"][0] == together["runs"][2]
