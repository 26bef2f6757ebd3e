"""From all masks of an image to those that are used, and to the images they leave a part of.

The seven policies of the published scripts are combinations of which masks (`kept`) and of what
an image shows (`masked_images`). Points are (x, y) throughout: mixing them with (row, column) was
a fault of those scripts.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from hardy.methods.memo_plus.spec import MaskPolicy

Masks = NDArray[np.bool_]
Pixels = NDArray[np.uint8]
Point = tuple[int, int]

WHOLE = 0.95
"""A masked image that shows more of its original than this share is a copy of it."""

BLUR = 15
"""Standard deviation of the blurred background, in pixels: the published scripts' radius."""


def kept(masks: Masks, policy: MaskPolicy, point: Point | None) -> Masks:
    """Return the masks that a policy uses, the largest first.

    Args:
        masks: (N, h, w).
        policy: Which of them.
        point: Where Grad-CAM is highest, (x, y) in pixels; needed by `keep: at_point`.
    """
    areas = masks.sum(axis=(1, 2))
    order = [i for i in np.argsort(-areas, kind="stable") if areas[i] >= max(policy.min_area, 1)]
    chosen: Masks = masks[order[: policy.top]]
    if policy.keep == "largest" or point is None or not len(chosen):
        return chosen
    return _at_point(chosen, point)


def _at_point(masks: Masks, point: Point) -> Masks:
    x, y = point
    containing = masks[:, y, x]
    if containing.any():
        return masks[containing]
    distances = [np.hypot(*(centroid(mask) - point)) for mask in masks]
    return masks[[int(np.argmin(distances))]]


def centroid(mask: Masks) -> NDArray[np.float64]:
    """Return the mean position of a mask's pixels (h, w), as (x, y)."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()])


def bounding_box(mask: Masks) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) of a mask (h, w) that holds a pixel; the last two are out.

    Outside as in Python's slices: `image[top:bottom, left:right]` is the box.
    """
    rows, columns = np.nonzero(mask)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def shown(masks: Masks, show: str) -> Masks:
    """Return what masked images show of their image (K, h, w): the masks, or bounding boxes.

    Args:
        masks: (K, h, w), each with a pixel at least.
        show: As in `MaskPolicy`.
    """
    if show not in ("crop", "box"):
        return masks
    filled = np.zeros_like(masks)
    for box, mask in zip(filled, masks, strict=True):
        box[_slices(mask)] = True
    return filled


def masked_images(image: Pixels, masks: Masks, show: str) -> list[Pixels]:
    """Return one image a mask.

    Args:
        image: (h, w, 3).
        masks: (K, h, w), each with a pixel at least.
        show: `blurred`, `crop`, `black` or `box`, as in `MaskPolicy`.

    Returns:
        K images of the image's size; of the bounding box's size for `crop`.
    """
    if show == "crop":
        return [image[_slices(mask)] for mask in masks]
    if show == "blurred":
        blurred = Image.fromarray(image).filter(ImageFilter.GaussianBlur(BLUR))
        background = np.asarray(blurred)
    else:
        background = np.zeros_like(image)
    return [np.where(part[..., None], image, background) for part in shown(masks, show)]


def _slices(mask: Masks) -> tuple[slice, slice]:
    left, top, right, bottom = bounding_box(mask)
    return slice(top, bottom), slice(left, right)
