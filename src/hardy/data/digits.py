"""The 1,797 handwritten digits of 8 x 8 pixels that scikit-learn ships (UCI, test part)."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hardy.data.arrays import row_digest
from hardy.data.dataset import Dataset, Sample
from hardy.data.spec import DataSpec

_LEVELS = 16


def open_dataset(root: Path, spec: DataSpec) -> Dataset:
    """Open the digits; classes are `0` to `9`, grey levels of 0 to 16 become 0 to 255."""
    pixels, labels = _load()
    samples = tuple(
        Sample(f"{n:04}", int(label), root, row_digest(image), row=n)
        for n, (image, label) in enumerate(zip(pixels, labels, strict=True))
    )
    return Dataset("digits", tuple("0123456789"), None, samples, read_digit)


def read_digit(sample: Sample) -> Image.Image:
    """Return a digit as an RGB image of 8 x 8 pixels."""
    return Image.fromarray(_load()[0][sample.row]).convert("RGB")


@cache
def _load() -> tuple[NDArray[np.uint8], NDArray[Any]]:
    from sklearn.datasets import load_digits  # seconds to import, for this dataset alone

    bunch = load_digits()
    return np.rint(bunch.images * (255 / _LEVELS)).astype(np.uint8), bunch.target
