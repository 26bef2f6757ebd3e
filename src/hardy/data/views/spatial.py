"""The 8 spatial operations of P2b, albumentations' defaults, written anew.

Each takes an RGB image and a generator and returns an image of the same size. The defaults are
those of albumentations 1.x, quoted from memory; lengths are for 224 pixels and scale, but for
those in `LENGTHS` where `native` says that the image is as it was read.
`piecewise_affine` is approximate: between the grid's points it interpolates bilinearly, not over
triangles.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import zoom as enlarge

from hardy.data.shifts.elastic import elastic_transform
from hardy.data.views import warp
from hardy.data.views.memo_plus import SIDE, pixels, reference

LENGTHS = frozenset({"slight_elastic", "random_crop", "coarse_dropout"})
_CELLS = 5
_FLIPS = (
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
)


def flip(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Flip upside down, left to right, or both."""
    return image.transpose(_FLIPS[rng.integers(len(_FLIPS))])


def slight_elastic(
    image: Image.Image, rng: np.random.Generator, native: bool = False
) -> Image.Image:
    """Move each pixel by noise smoothed over 50 pixels, which is hardly at all."""
    per = reference(image, native)
    return elastic_transform(image, rng, 1 / per, 50 / per, 0.0)


def grid_distortion(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Stretch each of 5 columns and of 5 rows by 0.7 to 1.3; beyond the border it mirrors."""
    columns, rows = (_stretched(length, rng) for length in image.size)
    return warp.remap(image, *np.meshgrid(rows, columns, indexing="ij"), mode="mirror")


def _stretched(length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return where each place of a line is taken from."""
    edges = np.linspace(0, length, _CELLS + 1)
    steps = np.diff(edges) * (1 + rng.uniform(-0.3, 0.3, _CELLS))
    source = np.concatenate([[0.0], np.cumsum(steps)])
    taken: NDArray[np.float64] = np.interp(np.arange(length), edges, source)
    return taken


def random_crop(image: Image.Image, rng: np.random.Generator, native: bool = False) -> Image.Image:
    """Cut 120 x 120 pixels anywhere, and enlarge; from a native image to 224 x 224."""
    wanted = max(1, round(pixels(image, 120, native)))
    width, height = (min(wanted, length) for length in image.size)
    left = int(rng.integers(image.width - width + 1))
    top = int(rng.integers(image.height - height + 1))
    window = image.crop((left, top, left + width, top + height))
    return window.resize((SIDE, SIDE) if native else image.size, Image.Resampling.BILINEAR)


def perspective(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Move each corner inwards by |N(0, s²)| of the side, s from 0.05 to 0.1, and stretch."""
    inwards = np.abs(rng.normal(0, rng.uniform(0.05, 0.1), (4, 2))) % 0.32
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    return warp.perspective(image, np.abs(corners - inwards) * image.size)


def piecewise_affine(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Move the points of a 4 x 4 grid by N(0, s²) of the side, s from 0.03 to 0.05."""
    width, height = image.size
    offsets = rng.normal(0, rng.uniform(0.03, 0.05), (2, 4, 4)) * [[[height]], [[width]]]
    fields = [enlarge(field, (height / 4, width / 4), order=1) for field in offsets]
    rows, columns = np.mgrid[:height, :width]
    return warp.remap(image, rows + fields[0], columns + fields[1], mode="constant")


def coarse_dropout(
    image: Image.Image, rng: np.random.Generator, native: bool = False
) -> Image.Image:
    """Blacken one or two boxes with sides of 40 to 120 pixels."""
    levels = np.array(image)
    shortest, longest = (round(pixels(image, length, native)) for length in (40, 120))
    for _ in range(int(rng.integers(1, 3))):
        drawn = rng.integers(shortest, longest + 1, size=2)
        height, width = min(int(drawn[0]), image.height), min(int(drawn[1]), image.width)
        top = int(rng.integers(image.height - height + 1))
        left = int(rng.integers(image.width - width + 1))
        levels[top : top + height, left : left + width] = 0
    return Image.fromarray(levels)


def random_affine(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Scale by 0.9 to 1.1, move by up to a tenth, rotate by up to 15° and shear by up to 10°."""
    scale = np.diag(rng.uniform(0.9, 1.1, 2))
    angle = np.deg2rad(rng.uniform(-15, 15))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    across, down = np.tan(np.deg2rad(rng.uniform(-10, 10, 2)))
    shear = np.array([[1, across], [down, 1]])
    shift = rng.uniform(-0.1, 0.1, 2) * image.size
    linear = turn @ shear @ scale
    return warp.affine(image, warp.about_centre(image, linear, (shift[0], shift[1])))
