"""torchvision's own AugMix, which P1 uses: 13 operations at severity 3, on the whole image."""

import threading

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import v2

from hardy.data.preprocess import Preprocess

_LOCK = threading.Lock()


def torchvision_augmix(
    image: Image.Image, size: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Mix an RGB image with its chains, then resize (bicubic) and crop the centre.

    Args:
        image: RGB.
        size: Width and height of the result (H, W, 3).
        rng: Source of every draw.
    """
    seed = int(rng.integers(2**63))
    # torchvision draws from torch's global generator: lent to it for this view, then put back.
    with _LOCK, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mixed: Image.Image = v2.AugMix()(image)
    nothing = (0.0, 0.0, 0.0)
    width, height = size
    shape = Preprocess((height, width), max(size), "bicubic", nothing, nothing)
    return np.asarray(shape.geometry(mixed))
