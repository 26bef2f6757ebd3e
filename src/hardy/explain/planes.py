"""What pictures of planes share: the colours of labels, tiles in rows, and a legend below."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hardy.explain.drawing import GAP, GREY, INK, canvas, fit, font, legible, tile

if TYPE_CHECKING:
    from torch import Tensor

Colour = tuple[int, int, int]

_TILE, _SMALL = 288, 168
_TOP, _LINE, _MARK = 76, 24, 14
# Labels are told apart by hue and lightness; golden steps keep neighbours apart.
_GOLDEN = 0.618034


def label_colours() -> np.ndarray:
    """Return a colour for each label of a mask, (256, 3) of uint8; label 0 first."""
    numbers = np.arange(256)
    hues, lightness = (numbers * _GOLDEN) % 1 * 255, 120 + 110 * (numbers % 3) / 2
    coded = np.stack([hues, np.full(256, 170), lightness], 1).astype(np.uint8)
    colours: np.ndarray = np.array(Image.fromarray(coded[None], "HSV").convert("RGB"))[0]
    return colours


def levels(pixels: "Tensor") -> np.ndarray:
    """Return an image (3, h, w) of levels in [0, 255] as (h, w, 3) of uint8."""
    found: np.ndarray = pixels.float().round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    return found


class PlaneRow(NamedTuple):
    """A sample as pictures side by side.

    Attributes:
        tiles: Images (h, w, 3) of uint8 by their captions.
        legend: Names and colours of what they show, in order.
        marks: The same of what stands at the legend's end, such as right and wrong.
        note: What is measured of it, in a line.
    """

    tiles: Mapping[str, np.ndarray]
    legend: Sequence[tuple[str, Colour]] = ()
    marks: Sequence[tuple[str, Colour]] = ()
    note: str = ""


def plane_panel(planes: PlaneRow, title: str) -> Image.Image:
    """Draw a sample's tiles side by side, each below its name, and a legend of colours below all.

    Args:
        planes: The sample; small tiles are enlarged.
        title: Headline, such as the sample's id; its note stands beside.
    """
    width = len(planes.tiles) * (_TILE + GAP) + GAP
    legend = [*planes.legend, *planes.marks]
    picture, pen = canvas(width, _TOP + _TILE + GAP + legend_height(legend, width))
    headline, face = _faces(width)
    text = f"{title}   {planes.note}"
    pen.text((GAP, 14), fit(text, headline, width - 2 * GAP), INK, headline)
    for column, (caption, plane) in enumerate(planes.tiles.items()):
        x = GAP + column * (_TILE + GAP)
        pen.text((x, _TOP - 26), fit(caption, face, _TILE), GREY, face)
        picture.paste(tile(plane, _TILE), (x, _TOP))
    draw_legend(pen, legend, _TOP + _TILE + 8, width)
    return picture


def plane_grid(samples: Mapping[str, PlaneRow], title: str) -> Image.Image:
    """Draw several samples, a row each, with the captions once above and one legend below.

    Args:
        samples: By what stands above each row; all have the same captions.
        title: Headline.
    """
    first, *_ = samples.values()
    step = _SMALL + _LINE + GAP // 2
    width = max(len(first.tiles) * (_SMALL + GAP) + GAP, 3 * (_SMALL + GAP))
    legend = list(dict.fromkeys(each for planes in samples.values() for each in planes.legend))
    legend += dict.fromkeys(each for planes in samples.values() for each in planes.marks)
    height = _TOP + len(samples) * step + GAP + legend_height(legend, width)
    picture, pen = canvas(width, height)
    headline, face = _faces(width)
    pen.text((GAP, 14), fit(title, headline, width - 2 * GAP), INK, headline)
    for row, (name, planes) in enumerate(samples.items()):
        top = _TOP + row * step + _LINE
        text = fit(f"{name}   {planes.note}", face, width - 2 * GAP)
        pen.text((GAP, top - _LINE + 3), text, INK, face)
        for column, (caption, plane) in enumerate(planes.tiles.items()):
            x = GAP + column * (_SMALL + GAP)
            if row == 0:
                pen.text((x, _TOP - 26), fit(caption, face, _SMALL), GREY, face)
            picture.paste(tile(plane, _SMALL), (x, top))
    draw_legend(pen, legend, _TOP + len(samples) * step + GAP, width)
    return picture


def _faces(width: int) -> tuple[ImageFont.FreeTypeFont, ImageFont.FreeTypeFont]:
    """Return the fonts of headlines and of all other text in a picture of a width."""
    return font(legible(17, width), bold=True), font(legible(14, width))


def legend_height(legend: Sequence[tuple[str, Colour]], width: int) -> int:
    """Return how many pixels a legend is high in a picture of a width."""
    return len(_rows(legend, width)) * _LINE


def draw_legend(
    pen: ImageDraw.ImageDraw, legend: Sequence[tuple[str, Colour]], top: int, width: int
) -> None:
    """Draw names with their colours, in as many lines as they need.

    Args:
        pen: The picture's.
        legend: Names and colours.
        top: Where it begins.
        width: The picture's width.
    """
    _, face = _faces(width)
    for line, row in enumerate(_rows(legend, width)):
        above = top + line * _LINE
        for left, name, colour in row:
            box = (left, above + 2, left + _MARK, above + 2 + _MARK)
            pen.rectangle(box, fill=colour, outline=GREY)
            pen.text((left + _MARK + 6, above), name, INK, face)


def _rows(
    legend: Sequence[tuple[str, Colour]], width: int
) -> list[list[tuple[float, str, Colour]]]:
    """Break a legend into lines: of each entry its left side, its name and its colour."""
    (_, face), left = _faces(width), float(width)
    rows: list[list[tuple[float, str, Colour]]] = []
    for full, colour in legend:
        name = fit(full, face, _TILE)
        needed = _MARK + 6 + face.getlength(name)
        if left + needed > width - GAP:
            rows.append([])
            left = float(GAP)
        rows[-1].append((left, name, colour))
        left += needed + GAP
    return rows
