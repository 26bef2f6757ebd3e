"""Shears of an image as interpolations along one axis, bit for bit as Pillow makes them.

Pillow's affine transform calls a function and reads four neighbours for each pixel. A shear moves
every row (or column) by one distance, so that rows of the same whole distance are one slice, and
two neighbours do. At round slopes, where a value may fall exactly on a level, the last bit of the
arithmetic decides between it and the one below, and may decide otherwise than Pillow's.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
_DEPTH = 3  # channels


def shear_x(pixels: Pixels, level: float, fill: tuple[int, int, int]) -> Pixels:
    """Take (H, W, 3) at x + level (y + 1/2), bilinearly, the border replicated; `fill` outside."""
    height, width, _ = pixels.shape
    whole, share = _split(level, height)
    margin = int(np.abs(whole).max()) + 1
    wide = np.pad(pixels, ((0, 0), (margin, margin), (0, 0)), mode="edge")
    flat = wide.reshape(height, -1)
    out = np.empty((height, width * _DEPTH), np.uint8)
    for step, rows in _runs(whole):
        start = (margin + step) * _DEPTH
        near = flat[rows, start : start + width * _DEPTH]
        far = flat[rows, start + _DEPTH : start + _DEPTH + width * _DEPTH]
        _blend(near, far, share[rows, None], out[rows])
    result = out.reshape(pixels.shape)
    edge, gap = _gap(whole, share, width)
    result[:, edge][gap] = fill
    return result


def shear_y(pixels: Pixels, level: float, fill: tuple[int, int, int]) -> Pixels:
    """Take (H, W, 3) at y + level (x + 1/2), bilinearly, the border replicated; `fill` outside."""
    height, width, _ = pixels.shape
    whole, share = _split(level, width)
    shares = np.repeat(share, _DEPTH)
    margin = int(np.abs(whole).max()) + 1
    tall = np.pad(pixels, ((margin, margin), (0, 0), (0, 0)), mode="edge").reshape(-1, width * 3)
    out = np.empty((height, width * _DEPTH), np.uint8)
    for step, columns in _runs(whole):
        across = slice(columns.start * _DEPTH, columns.stop * _DEPTH)
        near = tall[margin + step : margin + step + height, across]
        far = tall[margin + step + 1 : margin + step + 1 + height, across]
        _blend(near, far, shares[across], out[:, across])
    result = out.reshape(pixels.shape)
    edge, gap = _gap(whole, share, height)
    result[edge][gap.T] = fill
    return result


def _split(level: float, length: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return each line's distance as whole pixels and a share of the next."""
    distance = level * (np.arange(length) + 0.5)
    whole = np.floor(distance)
    return whole.astype(np.int64), distance - whole


def _runs(whole: NDArray[np.int64]) -> list[tuple[int, slice]]:
    """Return the slices of equal values; the values are in order."""
    edges = [0, *(np.flatnonzero(np.diff(whole)) + 1).tolist(), len(whole)]
    return [(int(whole[a]), slice(a, b)) for a, b in pairwise(edges)]


def _blend(near: Pixels, far: Pixels, share: NDArray[np.float64], out: Pixels) -> None:
    """Write near + (far - near) share, cut down to whole levels; in float64, as Pillow does."""
    difference: NDArray[Any] = np.subtract(far, near, dtype=np.int16)
    moved = difference * share
    moved += near
    np.copyto(out, moved, casting="unsafe")


def _gap(
    whole: NDArray[np.int64], share: NDArray[np.float64], length: int
) -> tuple[slice, NDArray[np.bool_]]:
    """Return the edge that a shear may leave empty, and where each line does."""
    reach = min(length, int(np.abs(whole).max()) + 1)
    edge = slice(0, reach) if whole[-1] < 0 else slice(length - reach, length)
    taken_from = np.arange(edge.start, edge.stop) + 0.5 + (whole + share)[:, None]
    return edge, (taken_from < 0) | (taken_from >= length)
