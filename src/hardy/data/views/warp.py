"""Where each pixel of a warped image is taken from: affine, perspective and free maps."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

Matrix = NDArray[np.float64]


def about_centre(
    image: Image.Image, linear: Matrix, shift: tuple[float, float] = (0.0, 0.0)
) -> Matrix:
    """Return the (3, 3) map x -> L (x - c) + c + shift, c the centre, shift in pixels."""
    centre = np.array(image.size) / 2
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = centre + np.asarray(shift) - linear @ centre
    return matrix


def through_points(before: Matrix, after: Matrix) -> Matrix:
    """Return the (3, 3) affine map that takes three points (3, 2) to three others."""
    matrix = np.eye(3)
    matrix[:2] = np.linalg.solve(np.column_stack([before, np.ones(3)]), after).T
    return matrix


def affine(image: Image.Image, forward: Matrix) -> Image.Image:
    """Warp an image by a (3, 3) affine map of its points, bilinearly; gaps are black."""
    inverse = np.linalg.inv(forward)[:2].ravel().tolist()
    return image.transform(image.size, Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)


def perspective(image: Image.Image, corners: Matrix) -> Image.Image:
    """Stretch the quadrangle of four corners (4, 2), clockwise from the upper left, to the whole.

    The eight coefficients solve u = (a x + b y + c) / (g x + h y + 1), v alike, at the corners.
    """
    width, height = image.size
    whole = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    rows = []
    for (x, y), (u, v) in zip(whole, corners, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    coefficients = np.linalg.solve(np.array(rows), corners.ravel())
    return image.transform(
        image.size,
        Image.Transform.PERSPECTIVE,
        coefficients.tolist(),
        Image.Resampling.BILINEAR,
    )


def remap(image: Image.Image, rows: NDArray[Any], columns: NDArray[Any], mode: str) -> Image.Image:
    """Take each pixel from (row, column), both (H, W), bilinearly.

    Args:
        image: RGB.
        rows: Row in the image for each pixel of the result, centres at whole numbers.
        columns: Column alike.
        mode: scipy's word for what lies beyond the border.
    """
    source = np.asarray(image, np.float32)
    channels = [
        map_coordinates(source[..., channel], [rows, columns], order=1, mode=mode)
        for channel in range(3)
    ]
    return Image.fromarray(np.rint(np.stack(channels, -1)).astype(np.uint8))
