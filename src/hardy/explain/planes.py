"""What pictures of planes share: the colours of labels, and tiles side by side with a legend."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from hardy.explain.drawing import GAP, GREY, INK, canvas, fit, font, tile

if TYPE_CHECKING:
    from torch import Tensor

Colour = tuple[int, int, int]

_TILE = 288
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


def plane_panel(
    tiles: Mapping[str, np.ndarray], legend: Sequence[tuple[str, Colour]], title: str
) -> Image.Image:
    """Draw planes side by side, each below its name, and a legend of colours below all.

    Args:
        tiles: Images (h, w, 3) of uint8 by their captions; small ones are enlarged.
        legend: Names and colours, in order.
        title: Headline, such as the sample's id.
    """
    width = len(tiles) * (_TILE + GAP) + GAP
    rows = _rows(legend, width)
    picture, pen = canvas(width, _TOP + _TILE + GAP + len(rows) * _LINE)
    headline, face = font(17, bold=True), font(14)
    pen.text((GAP, 14), fit(title, headline, width - 2 * GAP), INK, headline)
    for column, (caption, plane) in enumerate(tiles.items()):
        x = GAP + column * (_TILE + GAP)
        pen.text((x, _TOP - 26), fit(caption, face, _TILE), GREY, face)
        picture.paste(tile(plane, _TILE), (x, _TOP))
    for line, row in enumerate(rows):
        top = _TOP + _TILE + 8 + line * _LINE
        for left, name, colour in row:
            box = (left, top + 2, left + _MARK, top + 2 + _MARK)
            pen.rectangle(box, fill=colour, outline=GREY)
            pen.text((left + _MARK + 6, top), name, INK, face)
    return picture


def _rows(
    legend: Sequence[tuple[str, Colour]], width: int
) -> list[list[tuple[float, str, Colour]]]:
    """Break a legend into lines: of each entry its left side, its name and its colour."""
    face, left = font(14), float(width)
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
