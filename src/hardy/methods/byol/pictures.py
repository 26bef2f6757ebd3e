"""Both views of some samples as a picture."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hardy.data.preprocess import Preprocess
from hardy.explain.drawing import GAP, INK, canvas, font, tile

SHOWN = 32
_COLUMNS, _TILE, _SPACE, _TOP = 4, 96, 4, 36


def pixels_of(views: Tensor, preprocess: Preprocess) -> np.ndarray:
    """Return normalised views (B, 3, h, w) as pixels (B, h, w, 3) of uint8, cut off at 0 and 255.

    A network sees what lies beyond too.
    """
    std, mean = (
        torch.tensor(each, device=views.device).view(1, 3, 1, 1)
        for each in (preprocess.std, preprocess.mean)
    )
    levels = (255 * (views.float() * std + mean)).round_().clamp_(0, 255).byte()
    found: np.ndarray = levels.permute(0, 2, 3, 1).cpu().numpy()
    return found


def pairs(first: np.ndarray, second: np.ndarray, titles: tuple[str, str]) -> Image.Image:
    """Draw the first views on the left and the second on the right, at the same places.

    Args:
        first: (B, h, w, 3) of uint8.
        second: As many.
        titles: Stand above them.
    """
    columns = min(_COLUMNS, len(first))
    rows = -(-len(first) // columns)
    side = max(columns * (_TILE + _SPACE) - _SPACE, 200)
    height = _TOP + rows * (_TILE + _SPACE) - _SPACE + GAP
    picture, pen = canvas(2 * side + 4 * GAP, height)
    for half, (views, title) in enumerate(zip((first, second), titles, strict=True)):
        left = GAP + half * (side + 2 * GAP)
        pen.text((left, 10), title, INK, font(15, bold=True))
        for place, view in enumerate(views):
            row, column = divmod(place, columns)
            corner = left + column * (_TILE + _SPACE), _TOP + row * (_TILE + _SPACE)
            picture.paste(tile(view, _TILE), corner)
    return picture
