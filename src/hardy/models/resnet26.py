"""The pre-activation ResNet-26 for CIFAR of MEMO's and TTT's published code.

He et al. 2016, "Identity Mappings in Deep Residual Networks", arXiv:1603.05027:
x_{l+1} = h(x_l) + F(x_l), F = conv(σ(norm(conv(σ(norm(x_l)))))), with 6n + 2 layers, n = 4, and
16, 32 and 64 channels. Normalised in groups of 8 (arXiv:1803.08494), which no test batch changes.
Where the shape changes, h is average pooling and channels of zeros: it has no weights.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCKS = 4
WIDTHS = (16, 32, 64)
GROUPS = 8


class ResNet26(nn.Module):
    """Maps normalised images (B, 3, 32, 32) to logits (B, classes).

    Args:
        classes: Number of outputs.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.conv1 = _conv(3, first)
        self.layer1 = _stage(first, first, stride=1)
        self.layer2 = _stage(first, second, stride=2)
        self.layer3 = _stage(second, third, stride=2)
        self.bn = nn.GroupNorm(GROUPS, third)
        self.fc = nn.Linear(third, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, 32, 32) to logits (B, classes)."""
        features = self.layer3(self.layer2(self.layer1(self.conv1(images))))
        pooled = functional.relu(self.bn(features)).mean((2, 3))
        logits: Tensor = self.fc(pooled)
        return logits


class Block(nn.Module):
    """Two convolutions behind their normalisations, added to the input."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.GroupNorm(GROUPS, inputs)
        self.conv1 = _conv(inputs, outputs, stride)
        self.bn2 = nn.GroupNorm(GROUPS, outputs)
        self.conv2 = _conv(outputs, outputs)
        self.stride = stride
        self.added = outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        residual = self.conv1(functional.relu(self.bn1(x)))
        residual = self.conv2(functional.relu(self.bn2(residual)))
        total: Tensor = self._shortcut(x) + residual
        return total

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.stride == 1 and self.added == 0:
            return x
        pooled = functional.avg_pool2d(x, self.stride)
        zeros = torch.zeros_like(pooled[:, :1]).expand(-1, self.added, -1, -1)
        return torch.cat([pooled, zeros], 1)


def _stage(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    first = Block(inputs, outputs, stride)
    return nn.Sequential(first, *(Block(outputs, outputs, 1) for _ in range(BLOCKS - 1)))


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
