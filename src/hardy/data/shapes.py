"""Coloured shapes on textured backgrounds: classes, masks and captions from a seed, at any size.

Every scene is a function of (seed, split, index) in relative coordinates; the size in pixels only
says how finely it is sampled, so that the same scene can be had at 32 and at 224 px.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hardy.core.hashing import digest
from hardy.core.seeding import generator
from hardy.data.dataset import Dataset, Sample
from hardy.data.spec import DataSpec, Shapes

Floats = NDArray[np.float64]
Grid = tuple[Floats, Floats]

CLASSES = ("circle", "square", "triangle", "cross", "ring", "star")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 39, 40),
    "green": (44, 160, 44),
    "blue": (31, 100, 200),
    "yellow": (240, 200, 30),
    "purple": (148, 60, 189),
    "white": (245, 245, 245),
}
TEXTURES = ("plain", "stripes", "checks", "dots", "waves")
TRIMAP = ("object", "background", "border")
_BACKGROUND, _BORDER = 1, 2
# Each pixel is the mean of this many points a side.
_POINTS = 3
# How far the border reaches to either side of the outline, as a share of the image's side.
_REACH = 1 / 40


@dataclass(frozen=True)
class Scene:
    """What one image shows.

    Attributes:
        shape: One of `CLASSES`.
        colour: One of `COLOURS`.
        texture: One of `TEXTURES`.
        centre: (x, y) in [0, 1] of the image's side.
        radius: Share of the image's side.
        angle: Rotation in radians.
        shades: Two grey-tinted colours of the texture, (2, 3) in [0, 255].
        period: Waves of the texture across the image.
    """

    shape: str
    colour: str
    texture: str
    centre: tuple[float, float]
    radius: float
    angle: float
    shades: Floats
    period: float

    def caption(self, *, colour: bool, ground: bool) -> str:
        """Return the scene in words, such as `a red circle on stripes` or `a circle`."""
        texture = "a plain ground" if self.texture == "plain" else self.texture
        named = f"a {self.colour} {self.shape}" if colour else f"a {self.shape}"
        return f"{named} on {texture}" if ground else named


def open_dataset(root: Path, spec: DataSpec) -> Dataset:
    """Make the manifest of the shapes that a spec asks for; nothing is drawn yet.

    Args:
        root: Not used: there are no files.
        spec: Its `shapes` and `split`; the classes take turns, so that each is as frequent.
    """
    options, split = spec.shapes or Shapes(), spec.part_name
    width = len(str(options.count - 1))
    # Neither the count nor the masks are part of it: the same scene is the same image.
    drawn = {k: value for k, value in options.identity().items() if k not in ("count", "masks")}
    identity = digest({**drawn, "split": split})
    # Masks are drawn from what `content` stands for already, but for their kind.
    samples = tuple(
        Sample(
            f"{split}/{n:0{width}}",
            n % len(CLASSES),
            root,
            f"{identity}/{n}",
            mask_content=options.masks or "",
            row=n,
        )
        for n in range(options.count)
    )
    return Dataset(
        "shapes",
        CLASSES,
        None,
        samples,
        partial(draw_image, options=options, split=split),
        partial(draw_trimap if options.masks else draw_mask, options=options, split=split),
        TRIMAP if options.masks else ("background", *CLASSES),
        caption=partial(caption, options=options, split=split),
    )


def scene(index: int, options: Shapes, split: str) -> Scene:
    """Draw what the image of that number shows."""
    rng = generator(options.seed, "shapes", split, index)
    radius = rng.uniform(0.18, 0.36)
    tint = rng.uniform(60, 190) + rng.uniform(-25, 25, 3)
    return Scene(
        shape=CLASSES[index % len(CLASSES)],
        colour=list(COLOURS)[rng.integers(len(COLOURS))],
        texture=TEXTURES[rng.integers(len(TEXTURES))],
        centre=(rng.uniform(radius, 1 - radius), rng.uniform(radius, 1 - radius)),
        radius=radius,
        angle=rng.uniform(0, 2 * np.pi),
        shades=np.stack([tint, tint + rng.choice([-1, 1]) * rng.uniform(20, 45)]),
        period=rng.uniform(3, 8),
    )


def caption(sample: Sample, options: Shapes, split: str) -> str:
    """Return a sample's caption, such as `a red circle on stripes`.

    People do not say everything: colour and ground are each left out of every other caption. Who
    learns from these also learns what `a circle` is, not only a circle of some colour.
    """
    colour, ground = generator(options.seed, "shapes", split, sample.row, "caption").random(2) < 0.5
    return scene(sample.row, options, split).caption(colour=bool(colour), ground=bool(ground))


def draw_image(sample: Sample, options: Shapes, split: str) -> Image.Image:
    """Draw a sample as an RGB image of (size, size) pixels, with smooth edges."""
    shown = scene(sample.row, options, split)
    side = options.size * _POINTS
    inside = _inside(shown, _grid(side))[..., None]
    pixels = np.where(inside, np.array(COLOURS[shown.colour], float), _ground(shown, _grid(side)))
    blocks = pixels.reshape(options.size, _POINTS, options.size, _POINTS, 3)
    return Image.fromarray(np.clip(np.rint(blocks.mean((1, 3))), 0, 255).astype(np.uint8))


def draw_mask(sample: Sample, options: Shapes, split: str) -> Image.Image:
    """Draw a sample's mask, mode L: 0 where a pixel's centre is background, else class + 1."""
    inside = _inside(scene(sample.row, options, split), _grid(options.size))
    return Image.fromarray((inside * (sample.label + 1)).astype(np.uint8))


def draw_trimap(sample: Sample, options: Shapes, split: str) -> Image.Image:
    """Draw a sample's trimap, mode L: 0 object, 1 background, 2 border.

    A pixel is border if of nine points, its centre and eight on a circle around it, some are inside
    and some outside.
    """
    shown, (x, y) = scene(sample.row, options, split), _grid(options.size)
    angles = np.arange(8) * np.pi / 4
    around = [
        _inside(shown, (x + _REACH * np.cos(angle), y + _REACH * np.sin(angle)))
        for angle in angles.tolist()
    ]
    found = np.stack([_inside(shown, (x, y)), *around])
    trimap = np.where(found.all(0), 0, np.where(found.any(0), _BORDER, _BACKGROUND))
    return Image.fromarray(trimap.astype(np.uint8))


@cache
def _grid(side: int) -> Grid:
    points = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(points, points)
    return x, y


def _inside(shown: Scene, grid: Grid) -> NDArray[np.bool_]:
    dx, dy = grid[0] - shown.centre[0], grid[1] - shown.centre[1]
    cos, sin = np.cos(shown.angle), np.sin(shown.angle)
    x, y = (cos * dx + sin * dy) / shown.radius, (cos * dy - sin * dx) / shown.radius
    r = np.hypot(x, y)
    # Called only where they are asked for: drawing all of them would take most of the time.
    regions: dict[str, Callable[[], NDArray[np.bool_]]] = {
        "circle": lambda: r < 1,
        "square": lambda: np.maximum(abs(x), abs(y)) < np.sqrt(0.5),
        "triangle": lambda: r * np.cos(_fold(x, y, 3)) < 0.5,
        "cross": lambda: (np.minimum(abs(x), abs(y)) < 0.28) & (np.maximum(abs(x), abs(y)) < 0.95),
        "ring": lambda: (r > 0.55) & (r < 1),
        "star": lambda: r * np.cos(_fold(x, y, 5) - 2 * np.pi / 5) < np.cos(2 * np.pi / 5),
    }
    inside: NDArray[np.bool_] = regions[shown.shape]() & (r < 1.01)
    return inside


def _fold(x: Floats, y: Floats, corners: int) -> Floats:
    """Return the angle, 0 to π / corners, to the nearest of as many rays at even distances."""
    angle, sector = np.arctan2(y, x), 2 * np.pi / corners
    return np.abs((angle + sector / 2) % sector - sector / 2)


def _ground(shown: Scene, grid: Grid) -> Floats:
    x, y = grid

    def wave(along: Floats) -> Floats:
        return np.asarray(np.sin(2 * np.pi * shown.period * along))

    levels: dict[str, Callable[[], Floats]] = {
        "plain": lambda: np.zeros_like(x),
        "stripes": lambda: (wave(x + 0.5 * y) > 0).astype(float),
        "checks": lambda: (wave(x) * wave(y) > 0).astype(float),
        "dots": lambda: (wave(x) + wave(y) > 1).astype(float),
        "waves": lambda: 0.5 + 0.5 * np.sin(2 * np.pi * (shown.period * x + 0.4 * wave(y))),
    }
    level = levels[shown.texture]()[..., None]
    mixed: Floats = (1 - level) * shown.shades[0] + level * shown.shades[1]
    return mixed
