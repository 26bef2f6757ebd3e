"""From a decoded image to a network's input."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from PIL import Image

if TYPE_CHECKING:
    import numpy as np
    import torch

OUTSIDE = 255
"""Label of pixels beyond an image, and of those that a network did not see, unless a dataset has a
label for what counts for nothing."""

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


@dataclass(frozen=True)
class Preprocess:
    """How an image becomes a network's input: geometry and normalisation.

    Attributes:
        size: Side of the square input, or (height, width), in pixels.
        resize: Length of the shorter side before the crop, in pixels; None unless `fit` crops.
        interpolation: Filter of the resize.
        mean: Channel means, in [0, 1].
        std: Channel standard deviations, in [0, 1].
        fit: `shorter_side` is resized and the centre cropped; `squeeze` resizes both sides to the
            size, whatever the image's ratio; `pad` resizes until the whole image is in the size,
            and pads the rest.
        fill: Level of the padding, in [0, 255].
    """

    size: int | tuple[int, int]
    resize: int | None
    interpolation: Literal["nearest", "bilinear", "bicubic"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fit: Literal["shorter_side", "squeeze", "pad"] = "shorter_side"
    fill: int = 0

    @property
    def height(self) -> int:
        """Height of the input, in pixels."""
        return self.size if isinstance(self.size, int) else self.size[0]

    @property
    def width(self) -> int:
        """Width of the input, in pixels."""
        return self.size if isinstance(self.size, int) else self.size[1]

    @property
    def side(self) -> int:
        """Longer side of the input, in pixels."""
        return max(self.height, self.width)

    def geometry(self, image: Image.Image) -> Image.Image:
        """Bring an image to the input's size; by default torchvision's Resize and CenterCrop.

        What the resized image does not cover has the level `fill`.

        Args:
            image: RGB, or of one channel of real numbers (mode F).

        Returns:
            An image of (width, height) pixels, never the one that was given.
        """
        resized = image.resize(self._resized(*image.size), _FILTERS[self.interpolation])
        return self._placed(resized, self.fill)

    def mask(self, mask: Image.Image, *, fill: int) -> Image.Image:
        """Move a mask (mode L) as `geometry` moves its image, each pixel from its nearest.

        Args:
            mask: Of the image's size.
            fill: Stands where the image is padded.

        Returns:
            A mask of (width, height) pixels.
        """
        return self._placed(mask.resize(self._resized(*mask.size), Image.Resampling.NEAREST), fill)

    def levels(self, levels: "np.ndarray") -> "np.ndarray":
        """Bring levels (h, w, 3), uint8 or real numbers, to the input's size as `geometry` does."""
        import numpy as np

        if levels.dtype == np.uint8:
            return np.asarray(self.geometry(Image.fromarray(levels)))
        planes = [
            Image.fromarray(np.ascontiguousarray(levels[..., c], np.float32)) for c in range(3)
        ]
        return np.stack([np.asarray(self.geometry(plane)) for plane in planes], axis=-1)

    def _placed(self, resized: Image.Image, fill: int) -> Image.Image:
        """Cut the centre out of a resized image, or pad about it."""
        left, top = self._corner(resized.size)
        colour = (fill,) * 3 if resized.mode == "RGB" else fill
        placed = Image.new(resized.mode, (self.width, self.height), colour)
        placed.paste(resized, (-left, -top))
        return placed

    def _corner(self, resized: tuple[int, int]) -> tuple[int, int]:
        """Return where the input's left and upper side lie in the resized image."""
        return _crop_start(resized[0], self.width), _crop_start(resized[1], self.height)

    def scaled(self, factor: float) -> "Preprocess":
        """Return the same geometry to an input that is larger by a factor."""
        sides = tuple(round(side * factor) for side in (self.height, self.width))
        size = sides[0] if isinstance(self.size, int) else (sides[0], sides[1])
        resize = None if self.resize is None else round(self.resize * factor)
        return replace(self, size=size, resize=resize)

    def detail(self, width: int, height: int) -> float:
        """Return by how much the input could be larger before an image of that size is enlarged."""
        resized = self._resized(width, height)
        return max(width / resized[0], height / resized[1])

    def same_geometry(self, other: "Preprocess") -> bool:
        """Whether `geometry` gives the same pixels for both; the normalisation plays no part."""
        return replace(other, mean=self.mean, std=self.std) == self

    def __str__(self) -> str:
        """Say in words where the pixels come from."""
        size = f"{self.height} x {self.width}"
        if self.fit == "shorter_side":
            return f"shorter side to {self.resize}, centre crop of {size}"
        return f"{self.fit} to {size}"

    def origin(self, x: float, y: float, width: int, height: int) -> tuple[float, float]:
        """Return where a place in the network's input lies in the image that it came from.

        The inverse of `geometry`; places in the padding lie outside the image.

        Args:
            x: Distance from the input's left edge, in pixels; a pixel's centre is at a half.
            y: Distance from its upper edge.
            width: Width of the image, in pixels.
            height: Height of the image.
        """
        resized = self._resized(width, height)
        left, top = self._corner(resized)
        return (x + left) * width / resized[0], (y + top) * height / resized[1]

    def back(
        self, plane: "np.ndarray", width: int, height: int, *, outside: int = OUTSIDE
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
        sides = self.width, self.height
        places = [
            np.floor((np.arange(length) + 0.5) * new / length - start)
            for length, new, start in zip(
                (width, height), resized, self._corner(resized), strict=True
            )
        ]
        columns, rows = (
            place.astype(int).clip(0, side - 1) for place, side in zip(places, sides, strict=True)
        )
        down, across = plane.shape
        found: np.ndarray = plane[
            rows[:, None] * down // self.height, columns[None, :] * across // self.width
        ]
        if np.issubdtype(plane.dtype, np.integer):
            seen_x, seen_y = (
                (place >= 0) & (place < side) for place, side in zip(places, sides, strict=True)
            )
            found[~(seen_y[:, None] & seen_x[None, :])] = outside
        return found

    def back_smooth(self, planes: "np.ndarray", width: int, height: int) -> "np.ndarray":
        """Bring planes of real numbers back as `back` does, by bilinear interpolation.

        Args:
            planes: (C, h, w), of the input's size.
            width: Width of the image, in pixels.
            height: Height of the image.

        Returns:
            (C, height, width); beyond what the network saw, the value at the edge of that.
        """
        import numpy as np

        resized = self._resized(width, height)
        lengths, sides = (width, height), (self.width, self.height)
        found = planes
        for axis, (length, new, start, side) in enumerate(
            zip(lengths, resized, self._corner(resized), sides, strict=True)
        ):
            places = (np.arange(length) + 0.5) * new / length - start - 0.5
            last = min(side, new - start) - 1
            places = places.clip(max(0, -start), last)
            before = places.astype(int)
            share = (places - before).astype(planes.dtype)
            after = (before + 1).clip(max=last)
            if axis:
                share = share[:, None]
            one, other = (found.take(each, -1 - axis) for each in (before, after))
            found = one + share * (other - one)
        return found

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Return the size (width, height) that an image is resized to, before crop or padding."""
        if self.fit == "squeeze":
            return self.width, self.height
        if self.fit == "pad":
            scale = min(self.width / width, self.height / height)
            return max(1, round(width * scale)), max(1, round(height * scale))
        shorter = self.resize or self.side
        # The longer side is cut down to a whole number, not rounded: so do published protocols.
        longer = int(shorter * max(width, height) / min(width, height))
        return (shorter, longer) if width <= height else (longer, shorter)

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
