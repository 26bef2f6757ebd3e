"""What hides a part of an image, or turns it: corruptions that pretraining undoes.

All take an RGB image and return a new one of the same size.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hardy.core.errors import SpecError
from hardy.data.shift_spec import Mask, Turn

Places = NDArray[np.bool_]


def mask(image: Image.Image, spec: Mask, rng: np.random.Generator) -> Image.Image:
    """Set a part of the image to one level."""
    levels = np.array(image)
    levels[hidden((image.height, image.width), spec, rng)] = np.rint(255 * spec.fill)
    return Image.fromarray(levels)


def turn(image: Image.Image, spec: Turn, rng: np.random.Generator) -> Image.Image:
    """Turn the image against the clock by one of the stated angles.

    Raises:
        SpecError: If a quarter turn would change the image's size.
    """
    if image.width != image.height and {90, 270} & set(spec.degrees):
        message = f"data.shift {spec.label}: an input of {image.width} x {image.height} pixels "
        message += "cannot be turned by 90 or 270 degrees"
        raise SpecError(message, hint="Make model.input.size one number, or turn by 0 and 180.")
    quarters = spec.degrees[int(rng.integers(len(spec.degrees)))] // 90
    return Image.fromarray(np.rot90(np.asarray(image), quarters).copy())


def hidden(size: tuple[int, int], spec: Mask, rng: np.random.Generator) -> Places:
    """Draw which pixels (h, w) are hidden.

    Args:
        size: Height and width.
        spec: How large a share of them, in which shape.
        rng: The one source of random numbers.
    """
    share = rng.uniform(*spec.area)
    if spec.sides:
        return _box(size, (share * size[0], share * size[1]), rng)
    return _SHAPES[spec.shape](size, share * size[0] * size[1], spec.side, rng)


def _box(size: tuple[int, int], sides: tuple[float, float], rng: np.random.Generator) -> Places:
    """Hide a rectangle of about these sides, of one pixel at least."""
    found = np.zeros(size, bool)
    high, wide = (min(max(round(side), 1), most) for side, most in zip(sides, size, strict=True))
    top, left = rng.integers(size[0] - high + 1), rng.integers(size[1] - wide + 1)
    found[top : top + high, left : left + wide] = True
    return found


def _rectangle(size: tuple[int, int], area: float, _: int, rng: np.random.Generator) -> Places:
    ratio = np.exp(rng.uniform(-np.log(2), np.log(2)))
    # Not beyond what the image has room for; the width makes up for the height's rounding.
    wide = min(max(np.sqrt(area * ratio), area / size[0]), size[1])
    high = max(round(area / wide), 1)
    return _box(size, (high, area / high), rng)


def _blocks(size: tuple[int, int], area: float, side: int, rng: np.random.Generator) -> Places:
    found, missing = np.zeros(size, bool), max(round(area), 1)
    while missing:
        # What reaches over an edge comes in at the opposite one: no pixel is hidden more often.
        rows, columns = (
            (int(rng.integers(most)) + np.arange(min(side, most))) % most for most in size
        )
        free = np.argwhere(~found[np.ix_(rows, columns)])[:missing]
        found[rows[free[:, 0]], columns[free[:, 1]]] = True
        missing -= len(free)
    return found


def _patches(size: tuple[int, int], area: float, side: int, rng: np.random.Generator) -> Places:
    rows, columns = (np.arange(most) // side for most in size)
    grid = rows[:, None] * (columns[-1] + 1) + columns
    order = rng.permutation(int(grid[-1, -1]) + 1)
    # Patches at the right and lower edge may be smaller.
    covered = np.cumsum(np.bincount(grid.ravel())[order])
    count = int(np.abs(covered - area).argmin()) + 1
    return np.isin(grid, order[:count])


_SHAPES = {"rectangle": _rectangle, "blocks": _blocks, "patches": _patches}
