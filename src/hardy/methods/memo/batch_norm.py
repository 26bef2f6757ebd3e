"""Batch normalisation whose training statistics are a prior for those of the test point.

μ = ρ μ_train + (1 - ρ) μ_test and likewise σ², with ρ = N / (N + 1).
Schneider et al. 2020, arXiv:2006.16971; used by MEMO with N = 16 on single test points.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from hardy.core.errors import MethodError

# Devices on which torch gives the statistics of a batch without normalising it.
_STATISTICS_ALONE = ("cpu", "cuda")


@dataclass
class Phase:
    """What all swapped layers do with the statistics of the batch that they see.

    `blend` uses them; `record` uses and keeps them; `replay` uses those kept, not the batch's. The
    last two let a pass over a few selected views normalise exactly as the pass over all views did.
    """

    name: Literal["blend", "record", "replay"] = "blend"


class PriorBatchNorm2d(nn.Module):
    """Normalise with a blend of an existing layer's statistics and the batch's.

    The batch's statistics carry no gradient, as in the published code. An activation that timm
    fuses into its layers (`BatchNormAct2d`) is applied as before.

    Args:
        norm: The layer stood in for; its parameters and running statistics are used, not copied.
        share: ρ, the training statistics' share, in [0, 1].
        phase: Shared by all layers of a network.
    """

    def __init__(self, norm: nn.BatchNorm2d, share: float, phase: Phase) -> None:
        super().__init__()
        self.norm = norm
        self.share = share
        self.phase = phase
        fused = (norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else ()
        self.after = nn.Sequential(*cast("tuple[nn.Module, ...]", fused))
        self.kept: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (B, C, H, W).

        Raises:
            MethodError: If there is but one value a channel, whose variance is undefined.
        """
        norm = self.norm
        mean, variance = self._statistics(x)
        out = F.batch_norm(x, mean, variance, norm.weight, norm.bias, False, 0.0, norm.eps)
        return cast("Tensor", self.after(out))

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        norm = self.norm
        if self.phase.name == "replay" and self.kept is not None:
            return self.kept
        if x.numel() == x.shape[1]:
            message = f"batch normalisation over one value a channel, input {tuple(x.shape)}"
            raise MethodError(message, hint="Set method.bn_prior to null, or use larger images.")
        mean = cast("Tensor", norm.running_mean).clone()
        variance = cast("Tensor", norm.running_var).clone()
        _blend(x.detach().float(), mean, variance, 1 - self.share)
        if self.phase.name == "record":
            self.kept = mean, variance
        return mean, variance


def _blend(x: Tensor, mean: Tensor, variance: Tensor, share: float) -> None:
    """Move statistics (C,) in place by a share towards those of x, its variance unbiased."""
    # torch.var_mean takes six times as long in the channels-last layout.
    if x.device.type in _STATISTICS_ALONE:
        torch.batch_norm_update_stats(x, mean, variance, share)
    else:
        F.batch_norm(x, mean, variance, None, None, True, share)


@contextmanager
def batch_norm_prior(network: nn.Module, share: float | None) -> Iterator[Phase]:
    """Swap every BatchNorm2d for one with a prior, and back at the end.

    Args:
        network: Changed in place while the context lasts.
        share: ρ, the training statistics' share; None leaves the network as it is.

    Yields:
        The phase, to be set by the caller.
    """
    phase = Phase()
    places = [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if share is not None and isinstance(child, nn.BatchNorm2d) and child.track_running_stats
    ]
    for parent, name, child in places:
        setattr(parent, name, PriorBatchNorm2d(child, cast("float", share), phase))
    try:
        yield phase
    finally:
        for parent, name, child in places:
            setattr(parent, name, child)
