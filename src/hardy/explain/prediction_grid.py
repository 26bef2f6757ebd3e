"""What is predicted for some samples, clean and shifted, side by side."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from hardy.data.item import Prepared
from hardy.explain.drawing import GAP, GREY, INK, RIGHT, WRONG, canvas, fit, font, tile
from hardy.explain.pairs import Pairs
from hardy.explain.spec import PredictionGridSpec

_FOLDER = "prediction-grid"
_TILE, _LINE, _TOP = 176, 20, 78
_INSIDE, _BETWEEN = 6, 28  # pixels between the images of a pair, and between pairs
_PAIRS_A_ROW = 2


class Said(NamedTuple):
    """What is said of one image.

    Attributes:
        name: The predicted class.
        confidence: Its probability, in [0, 1].
        right: Whether it is the sample's class.
        truth: The sample's class.
    """

    name: str
    confidence: float
    right: bool
    truth: str


class Shown(NamedTuple):
    """One image of the grid: pixels (H, W, 3) of uint8, and what is said of it."""

    pixels: np.ndarray
    said: Said


Asked = Callable[[Sequence[Prepared]], Sequence[Said]]


def draw(
    spec: PredictionGridSpec, pairs: Pairs, asked: Asked
) -> Iterator[tuple[str, Image.Image | str | float]]:
    """Yield the table, the picture, and how many of the shown predictions are right, as metrics.

    Args:
        spec: How many.
        pairs: The samples.
        asked: Says what is predicted for samples.
    """
    rows, shown = [], []
    for pair in pairs.batches(spec.pairs):
        both = [asked(items) for items in pair]
        for clean, shifted, *said in zip(*pair, *both, strict=True):
            looks = [item.pixels[0] for item in (clean, shifted)]
            shown.append([Shown(_levels(p), s) for p, s in zip(looks, said, strict=True)])
            rows.append({"sample": clean.id, "truth": said[0].truth} | _columns(*said))
    table = pd.DataFrame(rows)
    yield f"{_FOLDER}/predictions.csv", str(table.to_csv(index=False, lineterminator="\n"))
    yield f"{_FOLDER}/predictions.png", picture(shown, pairs.shift)
    for kind in ("clean", "shifted"):
        yield f"prediction_grid/{kind}_right", float(table[f"{kind}_right"].sum())
    yield "prediction_grid/pairs", float(len(table))


def _columns(clean: Said, shifted: Said) -> dict[str, str | float | bool]:
    return {
        f"{kind}_{field}": getattr(said, field if field != "prediction" else "name")
        for kind, said in (("clean", clean), ("shifted", shifted))
        for field in ("prediction", "confidence", "right")
    }


def _levels(view: "np.ndarray") -> np.ndarray:
    """Return what the network saw (3, H, W) in [0, 255], before the normalisation, as an image."""
    levels = np.clip(np.rint(np.asarray(view, np.float32)), 0, 255)
    return levels.astype(np.uint8).transpose(1, 2, 0)


def picture(shown: Sequence[Sequence[Shown]], shift: str) -> Image.Image:
    """Draw pairs, two in a row: eight give a grid of four by four.

    Args:
        shown: For each sample, its clean image and its shifted one.
        shift: The shift's label.
    """
    columns = min(_PAIRS_A_ROW, len(shown))
    wide, step = 2 * _TILE + _INSIDE + _BETWEEN, _TILE + 2 * _LINE + GAP
    width = 2 * GAP + columns * wide - _BETWEEN
    rows = -(-len(shown) // columns)
    picture, pen = canvas(width, _TOP + rows * step)
    _head(pen, shown, width, shift)
    for number, pair in enumerate(shown):
        row, column = divmod(number, columns)
        for place, one in enumerate(pair):
            corner = GAP + column * wide + place * (_TILE + _INSIDE), _TOP + row * step
            if row == 0:
                kind = ("clean", "shifted")[place]
                pen.text((corner[0], _TOP - 24), kind, GREY, font(14))
            picture.paste(tile(one.pixels, _TILE), corner)
            _below(pen, (corner[0], corner[1] + _TILE + 4), one.said)
    return picture


def _head(
    pen: ImageDraw.ImageDraw, shown: Sequence[Sequence[Shown]], width: int, shift: str
) -> None:
    clean, shifted = (sum(pair[place].said.right for pair in shown) for place in range(2))
    text = f"Right of {len(shown)}: {clean} clean, {shifted} under {shift}"
    face = font(16, bold=True)
    pen.text((GAP, 14), fit(text, face, width - 2 * GAP), INK, face)


def _below(pen: ImageDraw.ImageDraw, corner: tuple[int, int], said: Said) -> None:
    mark, colour = ("✓", RIGHT) if said.right else ("✗", WRONG)
    face, plain = font(14, bold=True), font(13)
    share = f"  {100 * said.confidence:.0f} %"
    name = fit(f"{mark} {said.name}", face, _TILE - face.getlength(share))
    pen.text(corner, name + share, colour, face)
    truth = fit(f"truth: {said.truth}", plain, _TILE)
    pen.text((corner[0], corner[1] + _LINE), truth, GREY, plain)
