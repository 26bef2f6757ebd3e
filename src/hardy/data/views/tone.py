"""Point operations as look-up tables, so that consecutive ones cost one pass over the image.

A table (3, 256) of uint8 maps each channel's levels. What the next operation needs to know of an
image, its histogram, follows from the histogram before and the table: no pass is made for it. The
formulas are Pillow's, bit for bit.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Table = NDArray[np.uint8]
Histogram = NDArray[np.int64]

IDENTITY: Table = np.tile(np.arange(256, dtype=np.uint8), (3, 1))
_LEVELS = np.arange(256)


def histogram(image: Image.Image) -> Histogram:
    """Count the levels of an RGB image, (3, 256)."""
    return np.asarray(image.histogram(), np.int64).reshape(3, 256)


def push(counts: Histogram, table: Table) -> Histogram:
    """Return the histogram that an image has after a table was applied."""
    rows = [np.bincount(t, weights=c, minlength=256) for t, c in zip(table, counts, strict=True)]
    return np.stack(rows).astype(np.int64)


def compose(first: Table, then: Table) -> Table:
    """Return the table of two tables in a row."""
    return np.take_along_axis(then, first.astype(np.intp), axis=1)


def look_up(image: Image.Image, table: Table) -> Image.Image:
    """Apply a table to an RGB image."""
    return image.point(table.ravel().tolist())


def autocontrast(counts: Histogram) -> Table:
    """Stretch each channel's levels to [0, 255]."""
    table = IDENTITY.copy()
    for channel in range(3):
        present = np.flatnonzero(counts[channel])
        low, high = int(present[0]), int(present[-1])
        if high > low:
            scale = 255.0 / (high - low)
            stretched = (_LEVELS * scale + -low * scale).astype(np.int64)
            table[channel] = np.clip(stretched, 0, 255)
    return table


def equalize(counts: Histogram) -> Table:
    """Spread each channel's levels so that each covers as much of the range as of the image."""
    table = IDENTITY.copy()
    for channel in range(3):
        present = np.flatnonzero(counts[channel])
        step = int(counts[channel].sum() - counts[channel, present[-1]]) // 255
        if len(present) > 1 and step:
            before = np.cumsum(counts[channel]) - counts[channel]
            table[channel] = np.minimum((step // 2 + before) // step, 255)
    return table


def posterize(bits: int) -> Table:
    """Keep the highest bits of each level."""
    return IDENTITY & np.uint8(256 - (1 << (8 - bits)))


def solarize(threshold: int) -> Table:
    """Invert the levels from a threshold on."""
    return np.where(threshold > IDENTITY, IDENTITY, 255 - IDENTITY).astype(np.uint8)
