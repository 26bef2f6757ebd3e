"""SegNet: what was pooled is put back where it came from (Badrinarayanan et al. 2017).

arXiv:1511.00561, as the seed COMP0197 has it (SegNet/SegNetMSE.py): a batch norm of the input, four
levels of 2, 2, 3 and 3 convolutions without bias, each with a batch norm and a ReLU, halved by a
pooling whose places are kept; the way back alike. Any size: pooling rounds odd sides down, and
the places say what the larger size was.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Size, Tensor, nn
from torch.nn import functional

# Convolutions of each level, the finest first.
_DEPTHS = (2, 2, 3, 3)
# Outputs that are all negative stay zero, where the seed's become 0 / 0.
_LEAST = 1e-12

Pooled = list[tuple[Tensor, Size]]
"""Of each level, the places of what pooling kept, and the size before."""


class SegNet(nn.Module):
    """Maps images (B, 3, H, W) to planes (B, outputs, H, W), linear unless capped.

    Args:
        outputs: Channels of the answer.
        width: Channels of the finest level; each coarser one has twice as many.
        cap: Whether negative outputs become zero and all are divided by the batch's largest.
    """

    def __init__(self, outputs: int, width: int = 64, *, cap: bool = False) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(len(_DEPTHS))]
        self.encoder = _Encoder([3, *widths])
        self.decoder = _Decoder([outputs, *widths])
        self.cap = cap

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to planes (B, outputs, H, W)."""
        planes: Tensor = self.decoder(*self.encoder(images))
        if not self.cap:
            return planes
        planes = functional.relu(planes)
        return planes / planes.max().clamp_min(_LEAST)


class _Encoder(nn.Module):
    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(widths[0])
        self.levels = nn.ModuleList(
            _convolutions([fine, *[coarse] * depth])
            for (fine, coarse), depth in zip(pairwise(widths), _DEPTHS, strict=True)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Pooled]:
        """Return the coarsest features, and what pooling left."""
        features, pooled = self.norm(images), []
        for level in self.levels:
            features = level(features)
            size = features.shape
            features, places = functional.max_pool2d(features, 2, return_indices=True)
            pooled.append((places, size))
        return features, pooled


class _Decoder(nn.Module):
    """The last layer is linear: its ReLU is the seed's cap."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        levels = [
            _convolutions([*[coarse] * depth, fine])
            for (fine, coarse), depth in zip(pairwise(widths), _DEPTHS, strict=True)
        ]
        levels[0] = levels[0][:-1]
        self.levels = nn.ModuleList(reversed(levels))

    def forward(self, features: Tensor, pooled: Pooled) -> Tensor:
        """Return planes of the images' size."""
        for level, (places, size) in zip(self.levels, reversed(pooled), strict=True):
            features = functional.max_unpool2d(features, places, (2, 2), output_size=size)
            features = level(features)
        return features


def _convolutions(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
