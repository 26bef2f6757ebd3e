"""A linear head on features that are first brought to length 1, or normalised by a batch norm.

It stands where the library has its head, under the same names. What it does before the linear layer
is told by the names of its tensors, so that a weights file alone rebuilds it (`head.like`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_LENGTH, _NORM = "normalise", "norm"


@dataclass(frozen=True)
class Before:
    """What is done to features before a linear layer.

    Attributes:
        normalise: Whether they are divided by their length.
        batch_norm: Whether a batch norm without gains and biases follows.
    """

    normalise: bool = False
    batch_norm: bool = False

    def __bool__(self) -> bool:
        return self.normalise or self.batch_norm


PLAIN = Before()


class Probe(nn.Linear):
    """A linear layer with what is done before it.

    Args:
        inputs: Features.
        outputs: Classes.
        before: What is done before.
        bias: Whether there is a bias.
    """

    def __init__(self, inputs: int, outputs: int, before: Before, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.before = before
        if before.normalise:  # a mark in weights files, which nothing reads but its name
            self.register_buffer(_LENGTH, torch.ones((), dtype=torch.bool))
        if before.batch_norm:
            self.norm = nn.BatchNorm1d(inputs, affine=False)

    def forward(self, input: Tensor) -> Tensor:
        """Map features (B, D) to logits (B, C)."""
        features = functional.normalize(input, dim=-1) if self.before.normalise else input
        return super().forward(self.norm(features) if self.before.batch_norm else features)


def before_of(layer: nn.Module) -> Before:
    """Return what a layer does before it is linear."""
    return layer.before if isinstance(layer, Probe) else PLAIN


def stated(names: Iterable[str], head: str) -> Before:
    """Return what the tensors' names of a file say of the head of that name."""
    found = {name.removeprefix(f"{head}.") for name in names if name.startswith(f"{head}.")}
    return Before(_LENGTH in found, f"{_NORM}.running_mean" in found)
