"""Masks kept by image and segmenter: SAM takes longer than all the rest of a sample."""

from collections.abc import Callable
from io import BytesIO

import numpy as np

from hardy.core.cache import default_cache
from hardy.core.hashing import digest_bytes
from hardy.methods.memo_plus.masks import Masks, Pixels


class MaskCache:
    """A segmenter that remembers.

    All masks are kept, before any is chosen: one cache serves every policy.

    Args:
        segment: Makes the masks (N, h, w) of an image (h, w, 3).
        key: Digest of all that decides what `segment` gives.
    """

    def __init__(self, segment: Callable[[Pixels], Masks], key: str) -> None:
        self.segment = segment
        self.key = key

    def __call__(self, image: Pixels) -> Masks:
        """Return the masks (N, h, w) of an image (h, w, 3)."""
        content = default_cache().through(
            "masks", self.name(image), lambda: packed(self.segment(image))
        )
        return unpacked(content)

    def name(self, image: Pixels) -> str:
        """Return what an image's masks are kept by."""
        pixels = np.ascontiguousarray(image)
        shape = str(pixels.shape).encode()
        return f"{self.key}.{digest_bytes([shape, pixels.tobytes()])}"


def packed(masks: Masks) -> bytes:
    """Write masks (N, h, w) as a compressed .npz of single bits."""
    stream = BytesIO()
    np.savez_compressed(stream, shape=masks.shape, bits=np.packbits(masks))
    return stream.getvalue()


def unpacked(content: bytes) -> Masks:
    """Read masks (N, h, w) that `packed` wrote."""
    with np.load(BytesIO(content), allow_pickle=False) as file:
        shape = tuple(file["shape"].tolist())
        bits = np.unpackbits(file["bits"], count=int(np.prod(shape)))
    return bits.astype(bool).reshape(shape)
