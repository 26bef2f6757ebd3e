"""Sides that a network does not take are padded, and its answer cut back."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional


def padded(images: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and the last column of images until `multiple` divides both sides."""
    height, width = images.shape[2:]
    return functional.pad(images, (0, -width % multiple, 0, -height % multiple), mode="replicate")


class Padded(nn.Module, ABC):
    """A network whose sides must be multiples of something, made to take any."""

    multiple: int
    """What must divide the sides of `planes`'s input, in pixels."""

    @abstractmethod
    def planes(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) whose sides fit to planes (B, outputs, H, W)."""

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to planes (B, outputs, H, W)."""
        height, width = images.shape[2:]
        return self.planes(padded(images, self.multiple))[..., :height, :width]
