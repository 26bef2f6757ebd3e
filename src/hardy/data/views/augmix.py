"""AugMix at severity 1, as MEMO's published code makes it (arXiv:1912.02781, 2110.09506).

    x_view = m x + (1 - m) Σ_k w_k a_k(x),   w ~ Dirichlet(1, 1, 1),   m ~ Beta(1, 1)

Each a_k is a chain of one to three of nine operations. The published code mixes after the
normalisation; that is affine and the weights sum to one, so mixing pixels in [0, 255] and
normalising afterwards gives the same view and takes one normalisation instead of four.

A recipe is drawn first and carried out afterwards, by Pillow and numpy here or by tensors in
`tensor`. Consecutive point operations become one look-up table; a shear takes `shear`'s short way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hardy.data.views import tone
from hardy.data.views.shear import shear_x, shear_y

Array = NDArray[Any]
Fill = tuple[int, int, int]
Link = tuple[str, float]

WIDTH = 3
DEPTHS = (1, 2, 3)
# The published code says fillcolor=128, which Pillow reads on an RGB image as red 128 alone.
FILL: Fill = (128, 0, 0)
BLACK: Fill = (0, 0, 0)


@dataclass(frozen=True)
class Recipe:
    """What was drawn for one mixture.

    Attributes:
        share: m, the share of the unchanged image.
        weights: w, one a chain.
        chains: Each chain's operations with their parameters, in order.
    """

    share: np.float32
    weights: NDArray[np.float32]
    chains: list[list[Link]]

    @property
    def names(self) -> list[str]:
        """The operations in the order of the draws."""
        return [name for chain in self.chains for name, _ in chain]


def draw(side: int, rng: np.random.Generator) -> Recipe:
    """Draw a recipe for an image; its shorter side, in pixels, scales the translations."""
    return _draw(side, rng, NAMES, WIDTH, None, 1.0)


def draw_tones(rng: np.random.Generator, width: int, depth: int | None, severity: float) -> Recipe:
    """Draw a recipe of the operations that move no pixel.

    Args:
        rng: Source of every draw.
        width: Chains.
        depth: Operations a chain; None for one to three.
        severity: Largest level, in tenths of an operation's maximum.
    """
    return _draw(0, rng, TONES, width, depth, severity)


def _draw(
    side: int,
    rng: np.random.Generator,
    names: tuple[str, ...],
    width: int,
    depth: int | None,
    severity: float,
) -> Recipe:
    weights = rng.dirichlet(np.ones(width)).astype(np.float32)
    share = np.float32(rng.beta(1.0, 1.0))
    chains = []
    for _ in range(width):
        length = rng.choice(DEPTHS) if depth is None else depth
        drawn = [names[rng.integers(len(names))] for _ in range(length)]
        chains.append([(name, PARAMETERS[name](side, rng, severity)) for name in drawn])
    return Recipe(share, weights, chains)


def augmix(
    image: Image.Image,
    rng: np.random.Generator,
    fill: Fill = FILL,
    out: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], list[str]]:
    """Mix an image with three chains of operations on it.

    Args:
        image: RGB.
        rng: Source of every draw.
        fill: Colour of the gaps that rotations, shears and translations leave.
        out: Where to make the mixture, (3, H, W); none for new memory.

    Returns:
        The mixture (H, W, 3), float32 in [0, 255], and the operations in the order of the draws.
    """
    recipe = draw(min(image.size), rng)
    return mix(image, recipe, fill, out), recipe.names


def mix(
    image: Image.Image,
    recipe: Recipe,
    fill: Fill = FILL,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Carry a recipe out on an RGB image; return (H, W, 3), float32 in [0, 255]."""
    # Channel by channel: numpy's copy of a transposed picture takes longer than all the mixing.
    mixture = np.empty((3, image.height, image.width), np.float32) if out is None else out
    part = np.empty((image.height, image.width), np.float32)
    chained = _Chained(image, fill)
    for channel, levels in zip(mixture, chained.levels(image, None), strict=True):
        np.multiply(levels, recipe.share, out=channel)
    for weight, chain in zip(recipe.weights, recipe.chains, strict=True):
        amount = (1 - recipe.share) * weight
        for channel, levels in zip(mixture, chained.levels(*chained.after(chain)), strict=True):
            channel += np.multiply(levels, amount, out=part)
    return mixture.transpose(1, 2, 0)


def run(image: Image.Image, name: str, parameter: float, fill: Fill = FILL) -> Image.Image:
    """Apply one operation with a drawn parameter to an RGB image."""
    return _looked_up(*_Chained(image, fill).after([(name, parameter)]))


class _Chained:
    """An image on which chains of operations are run; what they share is made once."""

    def __init__(self, image: Image.Image, fill: Fill) -> None:
        self.image, self.fill = image, fill
        self._channels = _channels(image)
        self._histogram: tone.Histogram | None = None

    def after(self, chain: list[Link]) -> tuple[Image.Image, tone.Table | None]:
        """Return an image and a table; what a chain makes is the image, looked up in the table."""
        image, table, counts = self.image, None, None
        for name, parameter in chain:
            if name in GEOMETRY:
                image = GEOMETRY[name](_looked_up(image, table), parameter, self.fill)
                table = counts = None
                continue
            if name in _FIXED:
                made = _FIXED[name](int(parameter))
            else:
                counts = self._count(image, table) if counts is None else counts
                made = _ADAPTIVE[name](counts)
            table = made if table is None else tone.compose(table, made)
            counts = None if counts is None else tone.push(counts, made)
        return image, table

    def levels(self, image: Image.Image, table: tone.Table | None) -> list[NDArray[np.uint8]]:
        """Return the three channels (H, W) of an image, looked up in a table."""
        channels = self._channels if image is self.image else _channels(image)
        if table is not None:
            channels = [c.translate(t.tobytes()) for c, t in zip(channels, table, strict=True)]
        shape = (image.height, image.width)
        return [np.frombuffer(channel, np.uint8).reshape(shape) for channel in channels]

    def _count(self, image: Image.Image, table: tone.Table | None) -> tone.Histogram:
        if image is not self.image:
            counts = tone.histogram(image)
        else:
            if self._histogram is None:
                self._histogram = tone.histogram(image)
            counts = self._histogram
        return counts if table is None else tone.push(counts, table)


def _channels(image: Image.Image) -> list[bytes]:
    return [channel.tobytes() for channel in image.split()]


def _looked_up(image: Image.Image, table: tone.Table | None) -> Image.Image:
    return image if table is None else tone.look_up(image, table)


def _none(side: int, rng: np.random.Generator, severity: float = 1.0) -> float:
    return 0


def _fraction(rng: np.random.Generator, maximum: float, severity: float) -> float:
    # The level is uniform from 0.1 to the severity, in tenths of an operation's maximum.
    return rng.uniform(0.1, severity) * maximum / 10


def _whole(rng: np.random.Generator, maximum: float, severity: float) -> int:
    return int(_fraction(rng, maximum, severity))


def _sign(rng: np.random.Generator) -> int:
    return -1 if rng.random() > 0.5 else 1


def _degrees(side: int, rng: np.random.Generator, severity: float = 1.0) -> float:
    return _whole(rng, 30, severity) * _sign(rng)


def _slope(side: int, rng: np.random.Generator, severity: float = 1.0) -> float:
    return _fraction(rng, 0.3, severity) * _sign(rng)


def _distance(side: int, rng: np.random.Generator, severity: float = 1.0) -> float:
    return _whole(rng, side / 3, severity) * _sign(rng)


def _threshold(side: int, rng: np.random.Generator, severity: float = 1.0) -> float:
    return 256 - _whole(rng, 256, severity)


def _bits(side: int, rng: np.random.Generator, severity: float = 1.0) -> float:
    return 4 - _whole(rng, 4, severity)


def _rotate(image: Image.Image, degrees: float, fill: Fill) -> Image.Image:
    return image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=fill)


def _shear_x(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    return Image.fromarray(shear_x(np.asarray(image), level, fill))


def _shear_y(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    return Image.fromarray(shear_y(np.asarray(image), level, fill))


def _translate_x(image: Image.Image, pixels: float, fill: Fill) -> Image.Image:
    return _moved(image, (1, 0, pixels, 0, 1, 0), fill) if pixels else image


def _translate_y(image: Image.Image, pixels: float, fill: Fill) -> Image.Image:
    return _moved(image, (1, 0, 0, 0, 1, pixels), fill) if pixels else image


def _moved(image: Image.Image, matrix: tuple[float, ...], fill: Fill) -> Image.Image:
    # By whole pixels, so nearest gives bilinear's result in a tenth of its time.
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST, fillcolor=fill
    )


PARAMETERS: dict[str, Callable[..., float]] = {
    "autocontrast": _none,
    "equalize": _none,
    "rotate": _degrees,
    "solarize": _threshold,
    "shear_x": _slope,
    "shear_y": _slope,
    "translate_x": _distance,
    "translate_y": _distance,
    "posterize": _bits,
}
"""How each operation's parameter is drawn, from a side, a generator and a severity: degrees, a
threshold, a slope, pixels, bits."""

NAMES = tuple(PARAMETERS)
GEOMETRY: dict[str, Callable[[Image.Image, float, Fill], Image.Image]] = {
    "rotate": _rotate,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
TONES = tuple(name for name in NAMES if name not in GEOMETRY)
"""The operations that move no pixel."""
_FIXED = {"posterize": tone.posterize, "solarize": tone.solarize}
_ADAPTIVE = {"autocontrast": tone.autocontrast, "equalize": tone.equalize}
