"""Masks kept on disk, by image and segmenter: SAM takes longer than all the rest of a sample."""

import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from hardy.core.hashing import digest_bytes
from hardy.core.paths import safe_name, state_dir
from hardy.methods.memo_plus.masks import Masks, Pixels

# What numpy and zipfile raise on a file that is cut short, altered, or of something else.
_DAMAGED = (OSError, ValueError, KeyError, EOFError, RuntimeError, BadZipFile, zlib.error)


class MaskCache:
    """A segmenter that remembers.

    All masks are kept, before any is chosen: one cache serves every policy.

    Args:
        segment: Makes the masks (N, h, w) of an image (h, w, 3).
        key: Digest of all that decides what `segment` gives.
    """

    def __init__(self, segment: Callable[[Pixels], Masks], key: str) -> None:
        self.segment = segment
        self.key = safe_name(key, what="a segmenter's digest")

    def __call__(self, image: Pixels) -> Masks:
        """Return the masks (N, h, w) of an image (h, w, 3)."""
        path = self.path(image)
        known = _read(path, image.shape[:2])
        if known is None:
            known = self.segment(image)
            _write(path, known)
        return known

    def path(self, image: Pixels) -> Path:
        """Return the file that holds an image's masks."""
        pixels = np.ascontiguousarray(image)
        name = digest_bytes([str(pixels.shape).encode(), pixels.tobytes()])
        return state_dir() / "masks" / self.key / f"{name}.npz"


def _read(path: Path, size: tuple[int, ...]) -> Masks | None:
    """Return the masks of a file; None where it is absent, damaged or of another size."""
    try:
        with np.load(path, allow_pickle=False) as file:
            shape = tuple(file["shape"].tolist())
            bits = np.unpackbits(file["bits"], count=int(np.prod(shape)))
    except _DAMAGED:
        return None
    return bits.astype(bool).reshape(shape) if len(shape) == 3 and shape[1:] == size else None


def _write(path: Path, masks: Masks) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: several processes may write the same masks at once.
    handle, draft = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez_compressed(stream, shape=masks.shape, bits=np.packbits(masks))
            stream.flush()
            os.fsync(stream.fileno())
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)
