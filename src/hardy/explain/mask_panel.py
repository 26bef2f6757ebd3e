"""The picture of what a segmenter found in one sample."""

import colorsys
import math

import numpy as np
from PIL import Image, ImageDraw

from hardy.explain.drawing import GAP, INK, WHITE, canvas, fit, font, framed, legible, tile, within

_SIDE, _COLUMNS = 288, 4
_TOP, _LINE = 48, 30
_GOLDEN = 0.618034
_WIDTH = 3


def mask_panel(
    image: np.ndarray,
    masks: np.ndarray,
    point: tuple[int, int] | None,
    masked: np.ndarray,
    title: str,
) -> Image.Image:
    """Draw an image with its masks outlined and the point marked, then the masked images.

    Args:
        image: What was segmented, (h, w, 3) of uint8.
        masks: Those that are used, (K, h, w).
        point: Where Grad-CAM is highest, (x, y) in pixels of the image.
        masked: The masked images, (M, S, S, 3) of uint8.
        title: Headline, such as the sample's id.

    Returns:
        RGB, at most 1232 pixels wide.
    """
    count = 1 + len(masked)
    columns, rows = min(_COLUMNS, max(count, 2)), math.ceil(count / _COLUMNS)
    step = _SIDE + _LINE + GAP
    picture, pen = canvas(columns * (_SIDE + GAP) + GAP, _TOP + rows * step)
    headline, face = font(18, bold=True), font(legible(14, picture.width))
    pen.text((GAP, 14), fit(title, headline, picture.width - 2 * GAP), INK, headline)
    for place in range(count):
        row, column = divmod(place, columns)
        left, top = GAP + column * (_SIDE + GAP), _TOP + row * step
        part = tile(masked[place - 1], _SIDE) if place else outlined(image, masks, point, _SIDE)
        picture.paste(part, (left, top))
        label = _area(masks, place - 1) if place else f"{len(masks)} mask(s) used"
        pen.text((left, top + _SIDE + 6), label, INK, face)
        if 0 < place <= len(masks):
            pen.rectangle((left, top, left + _SIDE - 1, top + 4), fill=_colour(place - 1))
    return picture


def outlined(
    image: np.ndarray, masks: np.ndarray, point: tuple[int, int] | None, side: int
) -> Image.Image:
    """Fit an image (h, w, 3) into a square of `side`, with outlines of masks (K, h, w)."""
    scale, size = side / max(image.shape[:2]), within(image, side)
    pixels = np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    for number, mask in enumerate(masks):
        small = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST), bool)
        pixels[_edge(small)] = _colour(number)
    square = framed(Image.fromarray(pixels), side)
    corner = (side - size[0]) // 2, (side - size[1]) // 2
    if point is not None:
        centre = [corner[axis] + (point[axis] + 0.5) * scale for axis in (0, 1)]
        _cross(ImageDraw.Draw(square), *centre)
    return square


def _edge(mask: np.ndarray) -> np.ndarray:
    """Return the pixels of a mask (h, w) that are near to its outside or to the image's side."""
    padded = np.pad(mask, _WIDTH)
    height, width = mask.shape
    inner = mask.copy()
    for shift in range(-_WIDTH, _WIDTH + 1):
        start = _WIDTH + shift
        inner &= padded[start : start + height, _WIDTH : _WIDTH + width]
        inner &= padded[_WIDTH : _WIDTH + height, start : start + width]
    edge: np.ndarray = mask & ~inner
    return edge


def _cross(pen: ImageDraw.ImageDraw, x: float, y: float) -> None:
    for width, colour in ((7, INK), (3, WHITE)):
        pen.line((x - 9, y, x + 9, y), colour, width)
        pen.line((x, y - 9, x, y + 9), colour, width)


def _colour(number: int) -> tuple[int, int, int]:
    # Golden steps keep neighbours apart, however many there are; from orange.
    red, green, blue = colorsys.hsv_to_rgb((0.08 + number * _GOLDEN) % 1, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _area(masks: np.ndarray, index: int) -> str:
    if index >= len(masks):  # of another view, whose masks are not outlined here
        return f"image {index + 1}"
    return f"mask {index + 1}: {100 * masks[index].mean():.1f} % of the image"
