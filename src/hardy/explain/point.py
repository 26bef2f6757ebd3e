"""The point of an image that matters most to a model: where Grad-CAM is highest."""

from copy import deepcopy
from threading import Lock

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hardy.explain.gradcam import heat_map
from hardy.models.model import Model


def point_of_interest(model: Model, image: Tensor) -> tuple[int, int]:
    """Return where Grad-CAM of the predicted class is highest.

    Args:
        model: The source model.
        image: Normalised (1, 3, H, W).

    Returns:
        (x, y) in pixels of the input, the first in reading order where several are highest; the
        middle where there is no evidence anywhere.
    """
    with torch.no_grad():
        prediction = int(model(image)[0].argmax())
    heat = heat_map(model, image, prediction)
    height, width = heat.shape
    if not heat.any():
        return width // 2, height // 2
    y, x = divmod(int(heat.argmax()), width)
    return x, y


def point_as_shares(model: Model, plain: Image.Image) -> tuple[float, float]:
    """Return the point of interest of a network's input, RGB (S, S), as shares of its sides."""
    device = next(model.parameters()).device
    pixels = torch.from_numpy(np.array(plain)).permute(2, 0, 1)[None].to(device)
    x, y = point_of_interest(model, model.preprocess.normalise(pixels))
    return (x + 0.5) / plain.width, (y + 0.5) / plain.height


class SourcePoint:
    """Finds points of interest of images that are prepared while the model is adapted.

    Args:
        model: The source model, which is copied now.
    """

    def __init__(self, model: Model) -> None:
        self._model = deepcopy(model).eval()
        self._lock = Lock()  # Grad-CAM hangs hooks into the network for as long as it runs

    def __call__(self, plain: Image.Image) -> tuple[float, float]:
        """Return the point of a network's input, RGB (S, S), as shares (x, y) of its sides."""
        with self._lock:
            return point_as_shares(self._model, plain)
