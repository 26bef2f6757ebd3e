"""What is trained: one module whose forward pass is the loss of a batch.

One module has one state, one wrapper for several devices, and one forward pass, through which these
must go. What a method needs beside it (a target network, a codebook) is a submodule or a buffer.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hardy.core.errors import SpecError
from hardy.data.item import Batch
from hardy.methods.optim import build_optimizer
from hardy.methods.training_spec import TrainingSpec
from hardy.methods.tuned import rests
from hardy.models.state import bare, copied

Means = Mapping[str, Tensor | float]
"""Means over a batch, by name."""


class Learner(nn.Module, ABC):
    """A network and its loss.

    Args:
        network: Trained in place.
        spec: The schedule.
    """

    def __init__(self, network: nn.Module, spec: TrainingSpec) -> None:
        super().__init__()
        self.network = network
        self.spec = spec

    @abstractmethod
    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mean loss of a batch as `loss`, differentiable, and more scalars to log."""

    @torch.no_grad()
    def measure(self, batch: Batch) -> tuple[Means, Tensor | None]:
        """Return means over a validation batch, and its answers where the task is to judge them.

        The network is in evaluation mode.
        """
        return self(batch), None

    def optimizers(self) -> list[Optimizer]:
        """Return the optimizers, which all step together: one by default, over all that learns."""
        groups = parameter_groups(bare(self.network), self.spec)
        known = {id(p) for group in groups for p in group["params"]}
        rest = [p for p in self.parameters() if p.requires_grad and id(p) not in known]
        return [build_optimizer(self.spec.optimizer, [*groups, *_by_decay(rest)])]

    def start_epoch(self, epoch: int) -> dict[str, float]:
        """Prepare for an epoch, counted from 1; return what is to be logged of it."""
        return {}

    def end_step(self, step: int) -> None:
        """Follow a step of the optimizers, counted from 1: keep bounds, move a target network."""

    def end_steps(self, epoch: int) -> dict[str, float]:
        """Return what the epoch's steps came to, and count anew.

        With the weights that were trained, where others (`ema`) are measured and kept.
        """
        return {}

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Return further measures of an epoch."""
        return {}

    def refresh(self) -> None:
        """Compute anew what the network derives from its weights, once they have changed."""

    def merit(self, measures: Mapping[str, float]) -> float:
        """Return how good the means over all validation samples are; higher is better."""
        return -measures["loss"]

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode; what is frozen stays in evaluation."""
        super().train(mode)
        if mode:
            _rest_frozen(self)
        return self

    def weights(self) -> dict[str, Tensor]:
        """Return the trained network's tensors on the CPU, as a weights file holds them."""
        return copied(bare(self.network).state_dict())

    def load_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Put tensors that `weights` gave back into the network."""
        bare(self.network).load_state_dict(dict(tensors))
        self.refresh()


def _rest_frozen(module: nn.Module) -> None:
    """Set parts none of whose parameters learn to evaluation: their batch norms count nothing.

    A part without parameters goes with what it is in, unless it was told to rest.
    """
    for child in module.children():
        parameters = list(child.parameters())
        still = bool(parameters) and not any(p.requires_grad for p in parameters)
        if still or rests(child):
            child.eval()
        else:
            _rest_frozen(child)


def parameter_groups(network: nn.Module, spec: TrainingSpec) -> list[dict[str, Any]]:
    """Return the parameters that learn, in groups; gains and biases do not decay.

    With `layer_decay`, each layer has groups of its own, as timm divides a network.

    Raises:
        SpecError: If the network has no layers that timm can tell.
    """
    if spec.layer_decay is None:
        return _by_decay(p for p in network.parameters() if p.requires_grad)
    if not hasattr(network, "group_matcher"):
        message = f"layer_decay needs layers that timm can tell; {type(network).__name__} has none"
        raise SpecError(message, hint="Take a model of kind timm, or leave layer_decay out.")
    from timm.optim import param_groups_layer_decay

    groups = param_groups_layer_decay(
        network, spec.optimizer.weight_decay, layer_decay=spec.layer_decay
    )
    return [
        {
            "params": group["params"],
            "lr": spec.optimizer.lr * group["lr_scale"],
            "weight_decay": group["weight_decay"],
        }
        for group in groups
    ]


def _by_decay(parameters: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
    every = list(parameters)
    groups: list[dict[str, Any]] = [{"params": [p for p in every if p.ndim > 1]}]
    groups += [{"params": [p for p in every if p.ndim <= 1], "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
