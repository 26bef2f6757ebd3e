"""Pictures of single samples: Grad-CAM before and after, and the grid of views."""

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hardy.explain.drawing import (
    ACCENT,
    GAP,
    GREY,
    INK,
    RIGHT,
    WRONG,
    canvas,
    fit,
    font,
    framed,
    legible,
    tile,
    within,
    wrap,
)

_TILE, _HEAD = 300, 18
_GRID_WIDTH, _MOST_COLUMNS, _CAPTION, _STEP = 1000, 6, 13, 17
_COLOURS = "viridis"  # even in lightness, and safe for the colour-blind


@dataclass(frozen=True)
class Heat:
    """One model's answer for a sample and where its evidence lies.

    Attributes:
        map: Grad-CAM of the predicted class (H, W), in [0, 1].
        name: Name of the predicted class.
        confidence: Its probability, in [0, 1].
        correct: Whether it is the sample's class; names alone do not tell (ImageNet has two
            cranes).
    """

    map: np.ndarray
    name: str
    confidence: float
    correct: bool


def overlay(pixels: np.ndarray, heat: np.ndarray, side: int) -> Image.Image:
    """Lay a heat map (h, w) in [0, 1] over an image (H, W, 3) of uint8, scaled into a square."""
    size = within(pixels, side)
    # Grey below, so that every colour comes from the map.
    grey = np.asarray(tile(pixels, side).convert("L"), np.float32)[..., None] / 255
    large = Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    strength = np.clip(np.asarray(large), 0, 1)
    colour = mpl.colormaps[_COLOURS](strength)[..., :3]
    share = 0.35 + 0.3 * strength[..., None]
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    mixed = (1 - share) * grey[top : top + size[1], left : left + size[0]] + share * colour
    return framed(Image.fromarray((255 * mixed).round().astype(np.uint8)), side)


def gradcam_panel(
    image: np.ndarray, heats: Mapping[str, Heat], truth: str, title: str
) -> Image.Image:
    """Draw a sample, and its Grad-CAM before and after adaptations, side by side.

    Args:
        image: What the network saw, not normalised: (H, W, 3) of uint8.
        heats: The answers of the source model and of adapted ones, in order, by their captions.
        truth: Name of the sample's class.
        title: Headline, such as the sample's id and the shift.

    Returns:
        RGB, 456 pixels high; 964 wide for two answers.
    """
    top, bottom = 84, 72
    columns = 1 + len(heats)
    picture, pen = canvas(columns * (_TILE + GAP) + GAP, top + _TILE + bottom)
    size = legible(_HEAD, picture.width)
    headline, face = font(size + 2, bold=True), font(size)
    pen.text((GAP, 14), fit(title, headline, picture.width - 2 * GAP), INK, headline)
    tiles = {"input": tile(image, _TILE)}
    tiles |= {label: overlay(image, heat.map, _TILE) for label, heat in heats.items()}
    for column, (label, part) in enumerate(tiles.items()):
        left = GAP + column * (_TILE + GAP)
        pen.text((left, top - 30), label, GREY, face)
        picture.paste(part, (left, top))
    below = top + _TILE + 10
    pen.text((GAP, below), fit(f"truth: {truth}", face, _TILE), INK, face)
    for column, heat in enumerate(heats.values(), start=1):
        _verdict(pen, GAP + column * (_TILE + GAP), below, heat, font(size, bold=True))
    _colour_bar(picture, pen, below + 34, legible(_CAPTION, picture.width))
    return picture


def _verdict(
    pen: ImageDraw.ImageDraw, left: int, top: int, heat: Heat, face: ImageFont.FreeTypeFont
) -> None:
    mark, colour = ("✓", RIGHT) if heat.correct else ("✗", WRONG)
    share = f"  {100 * heat.confidence:.1f} %"
    name = fit(f"{mark} {heat.name}", face, _TILE - face.getlength(share))
    pen.text((left, top), name + share, colour, face)


def _colour_bar(picture: Image.Image, pen: ImageDraw.ImageDraw, top: int, size: int) -> None:
    # Below the input too, of which there is nothing more to say there.
    left, face, text = GAP, font(size), "evidence for the predicted class: low"
    pen.text((left, top), text, GREY, face)
    bar = left + math.ceil(face.getlength(text)) + 8
    room = picture.width - GAP - math.ceil(face.getlength("high")) - 8 - bar
    width = min(160, room)
    ramp = mpl.colormaps[_COLOURS](np.linspace(0, 1, width))[None, :, :3].repeat(12, axis=0)
    picture.paste(Image.fromarray((255 * ramp).round().astype(np.uint8)), (bar, top + 4))
    pen.text((bar + width + 8, top), "high", GREY, face)


def view_grid(views: np.ndarray, names: Sequence[str], selected: AbstractSet[int]) -> Image.Image:
    """Draw the views of one sample with the operations that made them; selected ones are framed.

    Args:
        views: (V, H, W, 3) of uint8; view 0 is the unchanged image.
        names: The operations drawn for each view, V of them; the first is not shown.
        selected: Indices of the views that entered the loss.

    Returns:
        RGB, at most 1000 pixels wide.
    """
    columns = min(len(views), max(4, math.ceil(math.sqrt(1.6 * len(views)))), _MOST_COLUMNS)
    side = min(224, (_GRID_WIDTH - GAP) // columns - GAP)
    # Narrow captions need a line more.
    lines = 2 if side > 160 else 3
    step, top = side + 20 + _STEP * lines, 48
    rows = math.ceil(len(views) / columns)
    width = max(columns * (side + GAP) + GAP, 480)
    picture, pen = canvas(width, top + rows * step)
    text = f"{len(views)} views, {len(selected)} selected (framed)"
    pen.text((GAP, 14), text, INK, font(17, bold=True))
    for index, view in enumerate(views):
        row, column = divmod(index, columns)
        corner = (GAP + column * (side + GAP), top + row * step)
        picture.paste(tile(view, side), corner)
        if index in selected:
            _frame(pen, corner, side)
        label = f"{index}: {names[index] if index else 'original'}"
        _caption(pen, corner, side, wrap(label, font(_CAPTION), side, lines))
    return picture


def _frame(pen: ImageDraw.ImageDraw, corner: tuple[int, int], side: int) -> None:
    left, top = corner
    pen.rectangle((left - 4, top - 4, left + side + 3, top + side + 3), outline=ACCENT, width=4)


def _caption(
    pen: ImageDraw.ImageDraw, corner: tuple[int, int], side: int, lines: list[str]
) -> None:
    for number, line in enumerate(lines):
        pen.text((corner[0], corner[1] + side + 6 + _STEP * number), line, INK, font(_CAPTION))
