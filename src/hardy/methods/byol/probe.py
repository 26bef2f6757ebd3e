"""A linear classifier that learns beside a training, without any influence on it."""

import torch
from torch import Tensor, nn
from torch.nn import functional

_RATE, _BETAS, _TINY = 3e-3, (0.9, 0.999), 1e-8


class OnlineProbe(nn.Module):
    """Logistic regression on batch-normalised unit-length features, by Adam's steps.

    Its weights are buffers and its gradient is written out, so that the training's loss, gradients,
    their norm and the optimizer's rate are the same with it and without. It computes in float32,
    whatever the training's precision.

    Args:
        width: D, of the features.
        classes: C.
    """

    weight: Tensor
    first: Tensor
    second: Tensor
    steps: Tensor

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width, affine=False)
        for name in ("weight", "first", "second"):  # the last column is the bias
            self.register_buffer(name, torch.zeros(classes, width + 1))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, C) of features (B, D) of any length."""
        with torch.autocast(features.device.type, enabled=False):
            return self._inputs(features) @ self.weight.T

    @torch.no_grad()
    def learn(self, features: Tensor, labels: Tensor) -> None:
        """Take a step on a batch; the cross-entropy's gradient is (p - y)ᵀ x / B."""
        with torch.autocast(features.device.type, enabled=False):
            inputs = self._inputs(features)
            wrong = (inputs @ self.weight.T).softmax(1)
            wrong -= functional.one_hot(labels, len(self.weight))
            gradient = wrong.T @ inputs / len(inputs)
        self.steps += 1
        self.first.lerp_(gradient, 1 - _BETAS[0])
        self.second.lerp_(gradient.square(), 1 - _BETAS[1])
        mean = self.first / (1 - _BETAS[0] ** self.steps)
        size = (self.second / (1 - _BETAS[1] ** self.steps)).sqrt_()
        self.weight -= _RATE * mean / (size + _TINY)

    def _inputs(self, features: Tensor) -> Tensor:
        found: Tensor = self.norm(functional.normalize(features.float(), dim=1))
        return functional.pad(found, (0, 1), value=1.0)
