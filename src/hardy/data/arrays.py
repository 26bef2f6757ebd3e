"""Images in rows of an array file: read one at a time from a memory map, never unpickled."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hardy.core.errors import DataError
from hardy.core.hashing import digest_bytes
from hardy.data.dataset import Sample


@lru_cache(maxsize=8)
def open_npy(path: Path) -> NDArray[Any]:
    """Map a `.npy` file into memory.

    Raises:
        DataError: If it is absent, cut short, or holds Python objects, which need a pickle.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        message = f"{path}: no such file"
        raise DataError(message, hint="Check data.root and data.split.") from error
    except (OSError, ValueError, EOFError) as error:
        message = f"{path}: cannot be read as an array: {error}"
        raise DataError(message, hint="Fetch the file again; hardy reads no pickle.") from error
    return array


def need_shape(array: NDArray[Any], path: Path, shape: tuple[int | None, ...]) -> None:
    """Raise if an array is not of uint8 images, or of labels, in the shape that was expected.

    Args:
        array: What the file holds.
        path: The file, for the message.
        shape: Expected lengths; None takes any.

    Raises:
        DataError: If the shape or the type is another one.
    """
    fits = array.ndim == len(shape) and all(
        wanted in (None, got) for wanted, got in zip(shape, array.shape, strict=True)
    )
    images = len(shape) > 1
    if not fits or (images and array.dtype != np.uint8) or array.dtype.kind not in "ui":
        wanted = " x ".join("N" if length is None else str(length) for length in shape)
        message = f"{path}: holds {array.dtype} of shape {array.shape}"
        kind = "uint8" if images else "integers"
        raise DataError(message, hint=f"Expected {kind} of shape {wanted}.")


def read_npy(sample: Sample) -> Image.Image:
    """Return a sample's row (H, W, 3) of a `.npy` file as an RGB image."""
    return Image.fromarray(np.array(open_npy(sample.path)[sample.row]))


def row_digest(row: NDArray[Any]) -> str:
    """Return the digest of an image's pixels, 32 hexadecimal digits."""
    return digest_bytes([np.ascontiguousarray(row).tobytes()])
