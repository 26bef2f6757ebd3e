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
from hardy.data.decode import decode

COLUMN = "image"
_KINDS = "uint8 array, pathlib.Path, bytes, PIL image or base64 text"


def as_images(model_input: Any) -> list[Image.Image]:  # noqa: ANN401 - what MLflow hands in
    """Return RGB images.

    Args:
        model_input: (N, H, W, 3) or (H, W, 3) integers in [0, 255]; a list of such arrays, paths,
            encoded bytes, base64 texts or PIL images; or a table with a column `image` of them.

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
        return _items(value[COLUMN])
    if isinstance(value, np.ndarray):
        # A stack of images, or (from JSON) a vector of texts; else one image.
        return list(value) if value.ndim in {1, 4} else [value]
    if isinstance(value, pd.Series | list | tuple):
        return _rows(list(value))
    return [value]


def _rows(items: list[Any]) -> list[Any]:
    """Turn images that JSON brought as nested lists of numbers into arrays."""
    return [np.asarray(item) if isinstance(item, list) else item for item in items]


def _image(item: Any, name: str) -> Image.Image:  # noqa: ANN401
    if isinstance(item, np.ndarray) and item.ndim:
        return _from_array(item, name)
    if isinstance(item, Image.Image):
        return item.convert("RGB")
    if isinstance(item, str):
        return decode(_from_base64(item, name), name=name)
    if isinstance(item, bytes | bytearray):
        return decode(bytes(item), name=name)
    if isinstance(item, Path):
        return decode(item, name=str(item))
    message = f"{name} is a {type(item).__name__}"
    raise DataError(message, hint=f"Give a {_KINDS}.")


def _from_array(pixels: np.ndarray, name: str) -> Image.Image:
    whole = np.issubdtype(pixels.dtype, np.integer)
    if not whole or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        message = f"{name} is an array of {pixels.dtype}, shape {pixels.shape}"
        raise DataError(message, hint="Give integers in [0, 255] of shape (H, W, 3).")
    if pixels.min() < 0 or pixels.max() > 255:
        message = f"{name} holds values from {pixels.min()} to {pixels.max()}"
        raise DataError(message, hint="Give integers in [0, 255].")
    return Image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8))


def _from_base64(text: str, name: str) -> bytes:
    body = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        message = f"{name} is text that is not base64"
        hint = "Text is never opened as a path: give a pathlib.Path, bytes, or base64 text."
        raise DataError(message, hint=hint) from error
