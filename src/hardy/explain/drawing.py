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
GROUND = (236, 238, 240)
GAP = 16
SHOWN, _LEAST = 700, 9
"""The width in pixels at which MLflow's pages show a picture, and the least text to read there."""

_TITLE_LINES = 3


@lru_cache(maxsize=32)
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which matplotlib ships, at a size in pixels."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size)


def legible(size: int, width: int) -> int:
    """Return a size of text in pixels, raised where a picture of that width is shown reduced."""
    return max(size, -(-_LEAST * width // SHOWN))


def titled(picture: Image.Image, text: str) -> Image.Image:
    """Return a picture below a line that says what it is of; in lines where it is long."""
    size = legible(14, picture.width)
    face = font(size)
    lines = wrap(text, face, picture.width - 2 * GAP, _TITLE_LINES)
    step = size + size // 3
    whole, pen = canvas(picture.width, picture.height + GAP // 2 + step * len(lines))
    for number, line in enumerate(lines):
        pen.text((GAP, GAP // 2 + number * step), line, GREY, face)
    whole.paste(picture, (0, whole.height - picture.height))
    return whole


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
    """Scale an image (H, W, 3) of uint8 into a square; small ones keep their square pixels."""
    small = max(pixels.shape[:2]) * 4 <= side
    filter_ = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    scaled = Image.fromarray(pixels).resize(within(pixels, side), filter_)
    return framed(scaled, side)


def within(pixels: np.ndarray, side: int) -> tuple[int, int]:
    """Return the largest width and height of an image's shape that a square has room for."""
    height, width = pixels.shape[:2]
    longest = max(height, width)
    return max(1, round(side * width / longest)), max(1, round(side * height / longest))


def framed(picture: Image.Image, side: int) -> Image.Image:
    """Lay a picture in the middle of a square; one that fills it stays as it is."""
    if picture.size == (side, side):
        return picture
    square = Image.new("RGB", (side, side), GROUND)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square
