"""From a decoded image to a network's input, as the weights' own record says."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from PIL import Image

if TYPE_CHECKING:
    import numpy as np
    import torch

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


@dataclass(frozen=True)
class Preprocess:
    """Resize, centre crop and normalisation of a set of weights.

    Attributes:
        size: Side of the square input, in pixels.
        resize: Length of the shorter side before the crop, in pixels.
        interpolation: Filter of the resize.
        mean: Channel means, in [0, 1].
        std: Channel standard deviations, in [0, 1].
    """

    size: int
    resize: int
    interpolation: Literal["nearest", "bilinear", "bicubic"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def geometry(self, image: Image.Image) -> Image.Image:
        """Resize the shorter side and crop the centre: torchvision's Resize and CenterCrop.

        The crop is padded with black where the resized image is smaller than it.

        Returns:
            RGB image of (size, size) pixels, never the image that was given.
        """
        resized = image.resize(self._resized(*image.size), _FILTERS[self.interpolation])
        return resized.crop(self._box(resized))

    def mask(self, mask: Image.Image, *, fill: int) -> Image.Image:
        """Move a mask (mode L) as `geometry` moves its image, each pixel from its nearest.

        Args:
            mask: Of the image's size.
            fill: Stands where the crop is padded.

        Returns:
            A mask of (size, size) pixels.
        """
        resized = mask.resize(self._resized(*mask.size), Image.Resampling.NEAREST)
        left, top, _, _ = self._box(resized)
        moved = Image.new("L", (self.size, self.size), fill)
        moved.paste(resized, (-left, -top))
        return moved

    def _box(self, resized: Image.Image) -> tuple[int, int, int, int]:
        """Return the crop's left, upper, right and lower side in the resized image."""
        left, top = (_crop_start(length, self.size) for length in resized.size)
        return left, top, left + self.size, top + self.size

    def same_geometry(self, other: "Preprocess") -> bool:
        """Whether `geometry` gives the same pixels for both; the normalisation plays no part."""
        own = (self.size, self.resize, self.interpolation)
        return own == (other.size, other.resize, other.interpolation)

    def origin(self, x: float, y: float, width: int, height: int) -> tuple[float, float]:
        """Return where a place in the network's input lies in the image that it came from.

        The inverse of `geometry`; places in the padding of a small image lie outside the image.

        Args:
            x: Distance from the input's left edge, in pixels; a pixel's centre is at a half.
            y: Distance from its upper edge.
            width: Width of the image, in pixels.
            height: Height of the image.
        """
        resized = self._resized(width, height)
        left, top = (_crop_start(length, self.size) for length in resized)
        return (x + left) * width / resized[0], (y + top) * height / resized[1]

    def back(
        self, plane: "np.ndarray", width: int, height: int, *, outside: int = 255
    ) -> "np.ndarray":
        """Bring a plane of the network's input back to the image that the input came from.

        Each pixel of the image takes the value where its centre lies in the input. A centre crop
        has no way back: where the network saw nothing, a plane of whole numbers (classes) gets
        `outside`, one of real numbers the value at the crop's edge.

        Args:
            plane: (h, w), which spans the input; of its size, or coarser.
            width: Width of the image, in pixels.
            height: Height of the image.
            outside: Label of what was not seen.

        Returns:
            (height, width), of the plane's type.
        """
        import numpy as np

        resized = self._resized(width, height)
        places = [
            np.floor((np.arange(length) + 0.5) * new / length - _crop_start(new, self.size))
            for length, new in zip((width, height), resized, strict=True)
        ]
        columns, rows = (place.astype(int).clip(0, self.size - 1) for place in places)
        down, across = plane.shape
        found: np.ndarray = plane[
            rows[:, None] * down // self.size, columns[None, :] * across // self.size
        ]
        if np.issubdtype(plane.dtype, np.integer):
            seen_x, seen_y = ((place >= 0) & (place < self.size) for place in places)
            found[~(seen_y[:, None] & seen_x[None, :])] = outside
        return found

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        # The longer side is cut down to a whole number, not rounded: so do published protocols.
        longer = int(self.resize * max(width, height) / min(width, height))
        return (self.resize, longer) if width <= height else (longer, self.resize)

    def normalise(self, pixels: "torch.Tensor") -> "torch.Tensor":
        """Map pixels (B, 3, H, W) in [0, 255], any dtype, to normalised float32, same device."""
        import torch

        # One multiplication and addition, in one pass: (x / 255 - mean) / std takes three, each
        # with a copy of all views.
        std = torch.tensor(self.std, device=pixels.device).view(1, 3, 1, 1)
        mean = torch.tensor(self.mean, device=pixels.device).view(1, 3, 1, 1)
        return torch.addcmul(-mean / std, pixels.float(), 1 / (255 * std))


def _crop_start(length: int, size: int) -> int:
    if length < size:  # torchvision pads first; PIL's crop from a negative start does the same
        return -((size - length) // 2)
    return round((length - size) / 2)
