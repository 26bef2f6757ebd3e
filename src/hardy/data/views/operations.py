"""Every single operation by its name: MEMO_PLUS's 19, albumentations' 6 pixel and 8 spatial."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hardy.core.catalog import Catalog
from hardy.core.errors import SpecError
from hardy.data.view_spec import GROUPS
from hardy.data.views import memo_plus, pixel, spatial

Operation = Callable[..., Image.Image | NDArray[np.float32]]
_ROOMS = {"memo_plus": memo_plus, "pixel": pixel, "spatial": spatial}

OPERATIONS: Catalog[Operation] = Catalog(
    "operation",
    [
        (name, getattr(_ROOMS[group], name))
        for group, names in GROUPS.items()
        for name in names
        if name != "crop"
    ],
)
"""Function by name: (image, generator) -> an image, or float32 levels (H, W, 3). Without `crop`."""

LENGTHS = memo_plus.LENGTHS | spatial.LENGTHS
"""Names of those that also take `native`, since how strong they are is a length."""


def operate(
    name: str,
    image: Image.Image,
    rng: np.random.Generator,
    where: str = "centre",
    point: tuple[float, float] | None = None,
    *,
    native: bool = False,
) -> NDArray[Any]:
    """Apply an operation to an RGB image; return its levels (H, W, 3), uint8 or float32.

    Args:
        name: A name of `OPERATIONS`, or `crop`.
        image: RGB.
        rng: Source of every draw.
        where: Where `crop` puts its window: `gradcam`, `centre` or `random`.
        point: The Grad-CAM point, (x, y) as shares of the sides.
        native: Whether the image is as it was read: lengths are then its own pixels, and what was
            cut out of it is smaller than it.

    Raises:
        SpecError: If the name is unknown, or the Grad-CAM point is needed and absent.
    """
    if name == "crop":
        return np.asarray(memo_plus.crop(image, _centre(where, point, rng), native))
    lengths = {"native": native} if name in LENGTHS else {}
    return np.asarray(OPERATIONS[name](image, rng, **lengths))


def _centre(
    where: str, point: tuple[float, float] | None, rng: np.random.Generator
) -> tuple[float, float]:
    if where == "random":
        x, y = rng.random(2).tolist()
        return x, y
    if where == "centre":
        return 0.5, 0.5
    if point is None:
        message = "views crop at the Grad-CAM point, but this method computes none"
        raise SpecError(message, hint="Set crop to centre or random in the method's views.")
    return point
