"""A small encoder-decoder with skip connections, for any size of input and number of outputs.

Ronneberger et al. 2015, "U-Net", arXiv:1505.04597: an encoder halves the sides and doubles the
channels; a decoder goes back, and at each level sees the encoder's features beside its own. Here
with GroupNorm (arXiv:1803.08494), which no batch changes, sides halved by strided convolutions and
doubled by repetition, and padding in every convolution, so that outputs have the input's size.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from hardy.models.segmenters.padded import padded

LEVELS = 4
GROUPS = 8


class UNet(nn.Module):
    """Maps normalised images (B, 3, H, W) to a plane for each output (B, outputs, H, W).

    Args:
        outputs: Channels of the answer.
        width: Channels of the finest level; a multiple of 8.
    """

    def __init__(self, outputs: int, width: int = 16) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS)]
        self.stem = _Block(3, width)
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(_Block(fine, coarse, stride=2) for fine, coarse in pairs)
        self.up = nn.ModuleList(_Block(coarse + fine, fine) for fine, coarse in reversed(pairs))
        self.head = nn.Conv2d(width, outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to planes (B, outputs, H, W)."""
        height, width = images.shape[2:]
        features = self.stem(padded(images, 2 ** (LEVELS - 1)))
        skipped = []
        for down in self.down:
            skipped.append(features)
            features = down(features)
        for up in self.up:
            larger = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = up(torch.cat([larger, skipped.pop()], 1))
        planes: Tensor = self.head(features)[..., :height, :width]
        return planes


class _Block(nn.Module):
    """Two convolutions, each with its normalisation; the first may halve the sides."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(GROUPS, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(GROUPS, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        x = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(x)))
