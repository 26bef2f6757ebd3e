"""What is counted of one image's pixels; see the README for each column.

Classes of pixels are channels, -1 for what counts for nothing. All are of one image, so that no
image's numbers depend on those beside it.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from hardy.core.errors import MethodError
from hardy.tasks.segment.losses import IGNORED

INNER = 2
"""Rows and columns from another class of the truth within which a pixel is no inner one."""

MOST_CONFUSED = 64
"""Classes up to which it is counted which was taken for which."""

_TOLERANCE = 0.0075
"""Share of the diagonal by which a boundary may be off (Csurka et al. 2013, BMVC)."""

# log-softmax in float32 sums to one within 1e-5 over a thousand classes; raw outputs never do.
_SUM_TOLERANCE = 1e-3
# Smaller probabilities add nothing to an entropy, and 0 · log 0 is NaN in floating point.
_LEAST = -80.0
# A bit for each class of a word, the narrowest that has room; of more classes, one word after the
# other.
_WORDS = (np.uint16, np.uint32, np.uint64)


def tally(channels: np.ndarray, classes: int) -> list[int]:
    """Return how many pixels are of each class (C,)."""
    counted: list[int] = np.bincount(channels.ravel() + 1, minlength=classes + 1)[1:].tolist()
    return counted


def confusion(truth: np.ndarray, said: np.ndarray, classes: int) -> list[int]:
    """Return pixels by true and predicted class: pairs of a cell, C · true + said, and its count.

    Nothing for more than 64 classes: the counts would outweigh all else.
    """
    if classes > MOST_CONFUSED:
        return []
    kept = truth != IGNORED
    cells = np.bincount(classes * truth[kept] + said[kept], minlength=1)
    places = np.flatnonzero(cells)
    pairs: list[int] = np.stack([places, cells[places]], 1).ravel().tolist()
    return pairs


def inner(truth: np.ndarray) -> np.ndarray:
    """Return the truth (h, w) without the pixels near another class: they count for nothing.

    What counts for nothing is no other class.
    """
    highest = np.where(truth == IGNORED, np.iinfo(truth.dtype).max, truth)
    same = _spread(truth, np.maximum, INNER) == _spread(highest, np.minimum, INNER)
    return np.where(same, truth, IGNORED)


def _spread(plane: np.ndarray, over: np.ufunc, radius: int) -> np.ndarray:
    """Return the largest or the least value within some rows and columns of each pixel."""
    for axis in (0, 1):
        found = plane.copy()
        for step in range(1, radius + 1):
            for here, there in _shifts(plane.ndim, axis, step):
                over(found[here], plane[there], out=found[here])
        plane = found
    return plane


def _shifts(
    dimensions: int, axis: int, step: int
) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Yield which part of a plane lies so many steps before which other, and after it."""
    whole = [slice(None)] * dimensions
    early, late = list(whole), list(whole)
    early[axis], late[axis] = slice(None, -step), slice(step, None)
    yield tuple(early), tuple(late)
    yield tuple(late), tuple(early)


def boundary_f1(truth: np.ndarray, said: np.ndarray, classes: int) -> float:
    """Return the mean F1 of the boundaries of the classes that an image's truth or answer has.

    A boundary pixel of a class is one that has a pixel of another class above, below, left or
    right of it. It is right where the other map has a boundary pixel of the same class within the
    tolerance, in a straight line. A class whose boundary only one of the two has counts 0; without
    any boundary, as where it fills the image, 1 where both have the class.

    Args:
        truth: Channels (h, w); -1 for what counts for nothing.
        said: Channels (h, w).
        classes: How many there are.
    """
    kept = truth != IGNORED
    maps = truth, np.where(kept, said, IGNORED)
    edges = [_edges(each) for each in maps]
    radius = max(1.0, _TOLERANCE * float(np.hypot(*truth.shape)))
    there = np.array([tally(each, classes) for each in maps]) > 0
    total = np.array(
        [tally(np.where(e, m, IGNORED), classes) for m, e in zip(maps, edges, strict=True)]
    )
    right = np.zeros((2, classes))
    word = next((w for w in _WORDS if 8 * w().nbytes >= classes), _WORDS[-1])
    for first in range(0, classes, 8 * word().nbytes):
        bits = [_bits(m, e, first, word) for m, e in zip(maps, edges, strict=True)]
        for place, other in ((0, 1), (1, 0)):
            hit = (bits[place] & _grown(bits[other], radius)) != 0
            right[place] += tally(np.where(hit, maps[place], IGNORED), classes)
    share = np.divide(right, total, out=np.zeros(right.shape), where=total > 0)
    sums = share.sum(0)
    f1 = np.divide(2 * share.prod(0), sums, out=np.zeros(classes), where=sums > 0)
    f1[(total.sum(0) == 0) & there.all(0)] = 1.0
    present = there.any(0)
    return float(f1[present].mean()) if present.any() else 1.0


def _edges(channels: np.ndarray) -> np.ndarray:
    """Return which pixels have one of another class beside them (h, w)."""
    found = np.zeros(channels.shape, bool)
    for axis in (0, 1):
        for here, there in _shifts(2, axis, 1):
            one, other = channels[here], channels[there]
            found[here] |= (one != other) & (one != IGNORED) & (other != IGNORED)
    return found


def _bits(
    channels: np.ndarray, edges: np.ndarray, first: int, word: type[np.unsignedinteger[Any]]
) -> np.ndarray:
    """Return a bit for the class of each boundary pixel (h, w), from the class `first` on."""
    count = 8 * word().nbytes
    place = channels - first
    here = edges & (place >= 0) & (place < count)
    bits: np.ndarray = np.left_shift(word(1), place.clip(0, count - 1).astype(word))
    return np.where(here, bits, word(0))


def _grown(bits: np.ndarray, radius: float) -> np.ndarray:
    """Return the bits that lie within a distance of each pixel (h, w)."""
    reach = int(radius)
    rows = [bits]  # the bits within 0, 1, 2... columns
    for step in range(1, reach + 1):
        wider = rows[-1].copy()
        for here, there in _shifts(2, 1, step):
            wider[here] |= bits[there]
        rows.append(wider)
    found = rows[reach].copy()
    for step in range(1, reach + 1):
        row = rows[int(np.sqrt(radius**2 - step**2))]
        for here, there in _shifts(2, 0, step):
            found[here] |= row[there]
    return found


def likelihoods(
    name: str, log_p: np.ndarray, truth: np.ndarray, *, normal: bool
) -> tuple[float, float, float, float]:
    """Return what follows from probabilities, over the pixels that count.

    Args:
        name: The answer's, for messages.
        log_p: Their logarithms (C, h, w).
        truth: Channels (h, w).
        normal: Whether a pixel's sum to one; else entropy and likelihood are of their shares of
            the sum.

    Returns:
        Means of the entropy and of the negative log-likelihood; sums of the true classes'
        probabilities, and of all.

    Raises:
        MethodError: If they are none.
    """
    kept = truth != IGNORED
    right = _at(log_p, truth)
    shares = np.exp(np.maximum(log_p, np.float32(_LEAST)))
    total = shares.sum(0)
    pooled = np.exp(right[kept].astype(np.float64)).sum(), total[kept].sum(dtype=np.float64)
    if not normal:
        top = log_p.max(0)
        log_p = log_p - (top + np.log(np.exp(log_p - top).sum(0)))
        right = _at(log_p, truth)
        shares = np.exp(np.maximum(log_p, np.float32(_LEAST)))
        total = shares.sum(0)
    _check_sums(name, total)
    shares *= np.maximum(log_p, np.float32(_LEAST))
    nll = -np.maximum(right.astype(np.float64), np.log(np.finfo(np.float64).tiny))
    pixels = max(1, int(kept.sum()))
    means = [max(0.0, float(plane[kept].sum() / pixels)) for plane in (_entropy(shares), nll)]
    return means[0], means[1], float(pooled[0]), float(pooled[1])


def _at(planes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.take_along_axis(planes, truth.clip(0)[None], 0)[0]
    return found


def _entropy(products: np.ndarray) -> np.ndarray:
    found: np.ndarray = -products.sum(0).astype(np.float64)
    return found


def _check_sums(name: str, total: np.ndarray) -> None:
    wrong = ~(abs(total - 1) <= _SUM_TOLERANCE)  # so that NaN is wrong, too
    if wrong.any():
        message = f"answer {name!r} is not log-probabilities: a pixel's sum to {total[wrong][0]:g}"
        hint = "Apply a log-softmax; a NaN here means that the adaptation diverged."
        raise MethodError(message, hint=hint)
