import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hardy.core.errors import DataError
from hardy.registry.inputs import as_images, content_id

PIXELS = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def png() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "png")
    return stream.getvalue()


TEXT = base64.b64encode(png()).decode()


@pytest.mark.parametrize(
    "given",
    [
        PIXELS,
        PIXELS[None],
        [PIXELS.tolist()],
        [png()],
        TEXT,
        f"data:image/png;base64,{TEXT}",
        np.array([TEXT]),
        {"image": [TEXT]},
        pd.DataFrame({"image": [png()], "name": ["x"]}),
        Image.fromarray(PIXELS),
    ],
)
def test_every_kind_gives_the_same_pixels(given):
    (image,) = as_images(given)
    np.testing.assert_array_equal(np.asarray(image), PIXELS)


GREY, ALPHA = PIXELS[..., 0], np.full((4, 5, 1), 7, np.uint8)


@pytest.mark.parametrize(
    "given",
    [
        PIXELS / 255,
        PIXELS.astype(np.float32) / np.float32(255),
        (PIXELS / 255).astype(np.float16),
        PIXELS.astype(np.float64),
        PIXELS + 0.3,  # real levels are rounded
        PIXELS.transpose(2, 0, 1),
        PIXELS.transpose(2, 0, 1)[None] / 255,
        np.concatenate([PIXELS, ALPHA], 2),
        np.concatenate([PIXELS, ALPHA], 2).transpose(2, 0, 1),
        PIXELS.tolist(),
        (PIXELS / 255).tolist(),
        [PIXELS.transpose(2, 0, 1)],
        {"image": [PIXELS.tolist()]},
        pd.DataFrame({"image": [PIXELS / 255]}),
        Image.fromarray(np.concatenate([PIXELS, ALPHA], 2), "RGBA"),
    ],
)
def test_arrays_that_can_be_read_in_one_way_are_converted(given):
    (image,) = as_images(given)
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), PIXELS)


@pytest.mark.parametrize(
    "given",
    [
        GREY,
        GREY[..., None],
        GREY[None],
        GREY[None, ..., None],
        GREY / 255,
        GREY.tolist(),
        [GREY],
        {"image": [GREY.tolist()]},
        Image.fromarray(GREY),
        Image.fromarray(GREY.astype(np.uint16) * 257),
    ],
)
def test_grey_becomes_three_equal_channels(given):
    (image,) = as_images(given)
    np.testing.assert_array_equal(np.asarray(image), np.stack([GREY] * 3, 2))


def test_a_column_of_grey_lists_and_a_stack_are_an_image_each():
    lists = as_images({"image": [GREY.tolist(), GREY.T.tolist()]})
    assert [image.size for image in lists] == [(5, 4), (4, 5)]
    stack = as_images(np.stack([PIXELS, PIXELS[::-1]]).transpose(0, 3, 1, 2) / 255)
    np.testing.assert_array_equal(np.asarray(stack[1]), PIXELS[::-1])
    unequal = as_images([PIXELS.tolist(), PIXELS[1:].tolist()])  # one JSON, two sizes
    assert [image.size for image in unequal] == [(5, 4), (5, 3)]


def test_where_the_channels_may_be_first_or_last_they_are_last():
    both = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)
    np.testing.assert_array_equal(np.asarray(as_images(both)[0]), both)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "no image"),
        (pd.DataFrame({"picture": [TEXT]}), "columns picture"),
        (PIXELS.astype(np.int64) - 1, "from -1 to 58"),
        (PIXELS.astype(np.float32) * 5, "from 0.0 to 295"),
        ((PIXELS / 255 - 0.45) / 0.225, "from -2.0 to"),
        (np.full((4, 5, 3), np.nan), "from nan to nan"),
        (PIXELS.astype(np.uint16) + 65000, "from 65000 to 65059"),
        (PIXELS > 3, "array of bool"),
        (np.zeros((6, 5, 2)), r"shape \(6, 5, 2\)"),
        (np.zeros((9, 8, 7)), r"shape \(9, 8, 7\)"),  # nine grey ones, or nine channels?
        (PIXELS[None, None], r"shape \(1, 1, 4, 5, 3\)"),
        (PIXELS[:0], r"shape \(0, 5, 3\)"),
        (Image.fromarray(PIXELS[..., 0].astype(np.float32)), "image 0: its pixels are real"),
        ([[[1, 2, 3], [4, 5]]], "the input is a list whose rows"),
        ({"image": [[[1, 2, 3], [4, 5]]]}, "image 0 is a list whose rows"),
        ([TEXT, "/etc/hostname"], "image 1 is text that is not base64"),
        ([PIXELS, b"no image"], "image 1: cannot be decoded"),
        ([3.5], "image 0 is a float"),
    ],
)
def test_what_is_no_image_is_named(given, reason):
    with pytest.raises(DataError, match=reason):
        as_images(given)


def test_the_content_id_is_of_pixels_and_size():
    image = Image.fromarray(PIXELS)
    assert content_id(image) == content_id(as_images([png()])[0])
    assert content_id(image) != content_id(Image.fromarray(PIXELS.reshape(5, 4, 3)))


def test_a_level_above_255_is_none():
    with pytest.raises(DataError, match="holds values from 0 to 256"):
        as_images(np.arange(257).repeat(3).reshape(1, 257, 3))
