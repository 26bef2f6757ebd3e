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


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "no image"),
        (pd.DataFrame({"picture": [TEXT]}), "columns picture"),
        (PIXELS.astype(np.float32), "array of float32"),
        (PIXELS[:, :, 0], "shape \\(4, 5\\)"),
        (PIXELS.astype(np.int64) - 1, "from -1 to 58"),
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
