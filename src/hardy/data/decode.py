"""From a file's bytes to an upright 8-bit RGB image, or to an error that names the file."""

import struct
import threading
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from hardy.core.errors import DataError

MAX_PIXELS = 100_000_000
"""Larger images are refused before decoding; a small file can claim to hold terabytes."""

# What Pillow's parsers raise on damaged files; nothing of hardy's own is among them.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    LookupError,
    ArithmeticError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_SMALLER = "Scale the image down, or remove it from the dataset."
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(source: Path | bytes, *, name: str) -> Image.Image:
    """Decode an image to RGB, 8 bits a channel, upright by its EXIF orientation.

    Alpha is dropped, not composited, as torchvision's `ImageFolder` does; of an animation the
    first frame is taken; 16-bit grey is scaled to 8 bits. Only the EXIF orientation goes beyond
    `ImageFolder`, which leaves such photographs lying on their side.

    Args:
        source: A file, or the bytes of one.
        name: What to call the image in errors.

    Raises:
        DataError: If the file is absent, empty, truncated, no image, one of real numbers, or over
            100 megapixels.
    """
    with _QUIET:
        try:
            with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as image:
                _refuse_bomb(image.size, name)
                image.load()
                return _upright(to_rgb(image, name), _orientation(image))
        except _BROKEN as error:
            raise _broken(error, name, source) from error


def decode_mask(source: Path, *, name: str) -> Image.Image:
    """Decode a mask to its pixels' own values: mode L, palette indices kept as they are.

    Args:
        source: A grey, palette or black-and-white image.
        name: What to call it in errors.

    Raises:
        DataError: If the file is absent, broken or over 100 megapixels, or has colours.
    """
    with _QUIET:
        try:
            with Image.open(source) as image:
                _refuse_bomb(image.size, name)
                if image.mode in ("L", "P", "1"):
                    # A palette's indices are the labels; converting would give its colours.
                    return Image.fromarray(np.asarray(image).astype(np.uint8))
        except _BROKEN as error:
            raise _broken(error, name, source) from error
    message = f"{name}: a mask of mode {image.mode}, expected one channel of 8 bits"
    raise DataError(message, hint="Save masks as grey or palette PNG whose values are labels.")


class _Quiet:
    """Keeps Pillow's warnings of odd metadata, palettes and sizes back; none is actionable.

    The filters of warnings belong to the process: the first thread to come changes them, the last
    to leave puts them back, and all decode at once.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._inside = 0
        self._filters: warnings.catch_warnings[None] = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._turn:
            if not self._inside:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._turn:
            self._inside -= 1
            if not self._inside:
                self._filters.__exit__(None, None, None)


_QUIET = _Quiet()


def _refuse_bomb(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        message = f"{name}: {width} x {height} pixels are more than {MAX_PIXELS // 10**6} million"
        raise DataError(message, hint=_SMALLER)


def _broken(error: BaseException, name: str, source: Path | bytes) -> DataError:
    if isinstance(error, FileNotFoundError):
        if isinstance(source, Path) and source.is_symlink():
            message = f"{name}: a link to {source.readlink()}, which does not exist"
            return DataError(message, hint="Mount or fetch what it leads to.")
        return DataError(f"{name}: no such file", hint="Check the dataset's folder.")
    if isinstance(error, Image.DecompressionBombError):  # Pillow's own, far above ours
        return DataError(f"{name}: {error}", hint=_SMALLER)
    if isinstance(error, UnidentifiedImageError):
        empty = not (source if isinstance(source, bytes) else source.stat().st_size)
        reason = "it is empty" if empty else "not an image of a format that is read"
        hint = "Fetch the file again." if empty else "Save it as JPEG or PNG, or take it away."
        return DataError(f"{name}: cannot be decoded: {reason}", hint=hint)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return DataError(f"{name}: cannot be decoded: {reason}", hint="Fetch the file again.")


def to_rgb(image: Image.Image, name: str) -> Image.Image:
    """Return an image of any mode as RGB of 8 bits a channel, by the rules of `decode`.

    Raises:
        DataError: If its pixels are real numbers, of which nothing tells which is white.
    """
    # Pillow would clip 16-bit grey at 255, which turns nearly every pixel white.
    if image.mode == "I" or image.mode.startswith("I;16"):
        levels = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        message = f"{name}: its pixels are real numbers, and nothing tells which is white"
        raise DataError(message, hint="Save it with 8 or 16 bits a channel.")
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except _BROKEN:  # damaged metadata beside sound pixels
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image
