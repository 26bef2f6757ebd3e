"""From an optimizer's schema to torch's optimizer."""

from collections.abc import Iterable

import torch
from torch import nn

from hardy.methods.optim_spec import OptimizerSpec, Sgd


def build_optimizer(
    spec: OptimizerSpec, parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """Build the optimizer over the parameters that require a gradient."""
    tuned = [parameter for parameter in parameters if parameter.requires_grad]
    if isinstance(spec, Sgd):
        return torch.optim.SGD(
            tuned, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay
        )
    return torch.optim.AdamW(tuned, lr=spec.lr, weight_decay=spec.weight_decay)
