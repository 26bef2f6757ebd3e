"""What the panels share: colours, fonts, text that fits."""

from functools import lru_cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

WHITE, INK, GREY = (255, 255, 255), (33, 37, 41), (108, 117, 125)
# Okabe and Ito's green and vermilion, darkened for text on white: also told apart by the
# colour-blind, and never the only sign (a tick or a cross stands beside them).
RIGHT, WRONG = (0, 121, 88), (190, 72, 0)
ACCENT = (0, 114, 178)
GAP = 16


@lru_cache(maxsize=32)
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which matplotlib ships, at a size in pixels."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size)


def fit(text: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    """Return the text, cut with an ellipsis where it is wider than `width` pixels."""
    if face.getlength(text) <= width:
        return text
    keep = len(text)
    while keep and face.getlength(text[:keep].rstrip() + "…") > width:
        keep -= 1
    return text[:keep].rstrip() + "…"


def wrap(text: str, face: ImageFont.FreeTypeFont, width: float, lines: int) -> list[str]:
    """Break a text at blanks into at most `lines` lines; what is left is cut with an ellipsis."""
    rows: list[str] = []
    words = text.split()
    while words and len(rows) < lines - 1:
        count = len(words)
        while count > 1 and face.getlength(" ".join(words[:count])) > width:
            count -= 1
        rows.append(fit(" ".join(words[:count]), face, width))
        words = words[count:]
    return [*rows, fit(" ".join(words), face, width)] if words else rows


def canvas(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return an empty white picture and a pen."""
    picture = Image.new("RGB", (width, height), WHITE)
    return picture, ImageDraw.Draw(picture)


def tile(pixels: np.ndarray, side: int) -> Image.Image:
    """Scale an image (S, S, 3) of uint8 to (side, side); small ones keep their square pixels."""
    small = pixels.shape[0] * 4 <= side
    filter_ = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    return Image.fromarray(pixels).resize((side, side), filter_)
