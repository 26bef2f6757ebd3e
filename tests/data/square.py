"""The preparation of images for a square input."""

from hardy.data.preprocess import Preprocess


def square(size: int) -> Preprocess:
    """Return what brings an image to a side, without a margin about the crop."""
    return Preprocess(size, size, "bilinear", (0.5,) * 3, (0.5,) * 3)
