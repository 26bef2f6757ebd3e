"""Images larger than a network's input, seen in overlapping windows at their own resolution."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

_LEAST = 4  # windows share at least this part of a side, 1 / 4, with the next one


class Window(NamedTuple):
    """A part of an image, of the size of a network's input.

    Attributes:
        left: Where it begins in the image, in pixels.
        top: The same from above.
        image: Its pixels.
    """

    left: int
    top: int
    image: Image.Image


def windows(image: Image.Image, height: int, width: int) -> list[Window]:
    """Cut an image into windows (height, width) that cover it, row by row.

    They are spread evenly, and neighbours share a quarter of a side or more. Where the image is
    smaller than a window, its last rows and columns are repeated.
    """
    lacking = max(0, height - image.height), max(0, width - image.width)
    pixels = np.pad(np.asarray(image), ((0, lacking[0]), (0, lacking[1]), (0, 0)), mode="edge")
    return [
        Window(left, top, Image.fromarray(pixels[top : top + height, left : left + width]))
        for top in _starts(image.height, height)
        for left in _starts(image.width, width)
    ]


def joined(answers: Iterable[Tensor], found: Sequence[Window], size: tuple[int, int]) -> Tensor:
    """Return the answer (C, height, width) for a whole image from its windows' answers.

    Where windows overlap, it is the mean of what they say: of log-probabilities, where answers are
    these.

    Args:
        answers: Of each window (C, h, w), in order.
        found: The windows.
        size: The image's width and height.
    """
    width, height = size
    total, times = torch.zeros(0), torch.zeros(height, width)
    for answer, window in zip(answers, found, strict=True):
        if not len(total):
            total = torch.zeros(len(answer), height, width)
        down, across = slice(window.top, height), slice(window.left, width)
        rows, columns = (
            min(answer.shape[1], height - window.top),
            min(answer.shape[2], width - window.left),
        )
        total[:, down, across][:, :rows, :columns] += answer[:, :rows, :columns]
        times[down, across][:rows, :columns] += 1
    return total / times


def _starts(length: int, side: int) -> list[int]:
    """Return where windows of a side begin, so that they cover a length."""
    beyond = max(0, length - side)
    count = 1 - (-beyond // max(1, side - side // _LEAST))
    return [round(start) for start in np.linspace(0, beyond, count).tolist()]
