"""From an optimizer's schema to torch's optimizer."""

from collections.abc import Iterable

import torch
from torch import nn

from hardy.methods.optim_spec import OptimizerSpec, Sgd


def build_optimizer(
    spec: OptimizerSpec, parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """Build the optimizer over the given parameters."""
    if isinstance(spec, Sgd):
        return torch.optim.SGD(
            parameters, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay
        )
    return torch.optim.AdamW(parameters, lr=spec.lr, weight_decay=spec.weight_decay)
