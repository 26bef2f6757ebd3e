"""From whatever a caller hands in to RGB images.

Text is base64 and nothing else. A served model takes text from strangers, and text that were
opened as a path would let them read the server's files; callers in Python say `pathlib.Path`.
"""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from hardy.core.errors import DataError
from hardy.core.hashing import digest_bytes
from hardy.data.decode import decode, to_rgb

COLUMN = "image"
_KINDS = "array, pathlib.Path, bytes, PIL image or base64 text"
_CHANNELS = (1, 3, 4)
_SHAPES = "(H, W, 3), (H, W, 4), (H, W, 1), (H, W), or with the channels first"


def as_images(model_input: Any) -> list[Image.Image]:  # noqa: ANN401 - what MLflow hands in
    """Return RGB images.

    An array is converted where only one reading makes sense:

    - (H, W, 3), (H, W, 4), whose alpha is dropped, (H, W, 1) and (H, W), which are grey; or
      (3, H, W), (4, H, W) and (1, H, W). Where both could be, the channels are the last axis;
    - integers in [0, 255]; or real numbers, in [0, 1] if none is above 1, else in [0, 255].

    Args:
        model_input: Such an array, or (N, ...) of them; a list of such arrays, paths, encoded
            bytes, base64 texts or PIL images; or a table with a column `image` of them.

    Raises:
        DataError: If there is no image, or one of them is none; names it by its position.
    """
    items = _items(model_input)
    if not items:
        message = "there is no image to predict"
        raise DataError(message, hint=f"Give at least one {_KINDS}.")
    return [_image(item, f"image {index}") for index, item in enumerate(items)]


def content_id(image: Image.Image) -> str:
    """Return a digest of an image's size and pixels, from which its views are seeded."""
    return digest_bytes([f"{image.width}x{image.height}:".encode(), image.tobytes()])


def _items(value: Any) -> list[Any]:  # noqa: ANN401
    if isinstance(value, pd.DataFrame | Mapping):
        if COLUMN not in value:
            message = f"the input has the columns {', '.join(map(str, value)) or 'none'}"
            raise DataError(message, hint=f"Put the images into a column {COLUMN!r}.")
        column = value[COLUMN]
        return _items(column) if isinstance(column, np.ndarray) else _cells(column)
    if isinstance(value, np.ndarray):
        # A stack of images, or (from JSON) a vector of texts; else one image.
        return list(value) if value.ndim in {1, 4} else [value]
    if isinstance(value, list) and _depth(value) in (2, 3):  # one image without a batch, from JSON
        return [_array(value, "the input")]
    if isinstance(value, pd.Series | list | tuple):
        return list(value)
    return [value]


def _cells(column: Any) -> list[Any]:  # noqa: ANN401
    """Return a column's cells, each of which is an image."""
    return list(column) if isinstance(column, pd.Series | list | tuple) else [column]


def _depth(value: Any) -> int:  # noqa: ANN401
    """Return how deep lists of numbers are nested; 0 for what is no list, or holds other things."""
    if not isinstance(value, list) or not value:
        return 0
    if isinstance(value[0], int | float):
        return 1
    return below + 1 if (below := _depth(value[0])) else 0


def _array(value: list[Any], name: str) -> np.ndarray:
    """Turn an image that JSON brought as nested lists of numbers into an array.

    Raises:
        DataError: If rows have other lengths.
    """
    try:
        return np.asarray(value)
    except ValueError as error:
        message = f"{name} is a list whose rows have not all the same length"
        raise DataError(message, hint=f"Give {_SHAPES}.") from error


def _image(item: Any, name: str) -> Image.Image:  # noqa: ANN401
    if isinstance(item, list):
        item = _array(item, name)
    if isinstance(item, np.ndarray) and item.ndim:
        return _from_array(item, name)
    if isinstance(item, Image.Image):
        return to_rgb(item, name)
    if isinstance(item, str):
        return decode(_from_base64(item, name), name=name)
    if isinstance(item, bytes | bytearray):
        return decode(bytes(item), name=name)
    if isinstance(item, Path):
        return decode(item, name=str(item))
    message = f"{name} is a {type(item).__name__}"
    raise DataError(message, hint=f"Give a {_KINDS}.")


def _from_array(pixels: np.ndarray, name: str) -> Image.Image:
    shape = pixels.shape
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    elif pixels.ndim == 3 and shape[2] not in _CHANNELS and shape[0] in _CHANNELS:
        pixels = pixels.transpose(1, 2, 0)
    number = pixels.dtype.kind in "uif"
    if not number or pixels.ndim != 3 or pixels.shape[2] not in _CHANNELS or pixels.size == 0:
        message = f"{name} is an array of {pixels.dtype}, shape {shape}"
        raise DataError(message, hint=f"Give numbers of shape {_SHAPES}.")
    levels = np.broadcast_to(_levels(pixels, name)[..., :3], (*pixels.shape[:2], 3))
    return Image.fromarray(np.ascontiguousarray(levels))


def _levels(pixels: np.ndarray, name: str) -> np.ndarray:
    """Return levels of 8 bits.

    Raises:
        DataError: If a number is in neither of the ranges, such as of normalised pixels.
    """
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= 255):  # so that NaN is refused, too
        message = f"{name} holds values from {low} to {high}"
        hint = "Give integers in [0, 255] or real numbers in [0, 1], before any normalisation."
        raise DataError(message, hint=hint)
    if pixels.dtype.kind == "f":
        pixels = np.rint(pixels.astype(np.float64) * (255 if high <= 1 else 1))
    return pixels.astype(np.uint8)


def _from_base64(text: str, name: str) -> bytes:
    body = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        message = f"{name} is text that is not base64"
        hint = "Text is never opened as a path: give a pathlib.Path, bytes, or base64 text."
        raise DataError(message, hint=hint) from error
