"""Batch normalisation whose training statistics are a prior for those of the test point.

μ = ρ μ_train + (1 - ρ) μ_test and likewise σ², with ρ = N / (N + 1).
Schneider et al. 2020, arXiv:2006.16971; used by MEMO with N = 16 on single test points.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
import torch.nn.functional as F
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from hardy.core.errors import MethodError


class PriorBatchNorm2d(nn.Module):
    """Normalise with a blend of an existing layer's statistics and the batch's.

    The batch's statistics carry no gradient, as in the published code. An activation that timm
    fuses into its layers (`BatchNormAct2d`) is applied as before.

    Args:
        norm: The layer stood in for; its parameters and running statistics are used, not copied.
        share: ρ, the training statistics' share, in [0, 1].
    """

    def __init__(self, norm: nn.BatchNorm2d, share: float) -> None:
        super().__init__()
        self.norm = norm
        self.share = share
        fused = (norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else ()
        self.after = nn.Sequential(*cast("tuple[nn.Module, ...]", fused))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (B, C, H, W).

        Raises:
            MethodError: If there is but one value a channel, whose variance is undefined.
        """
        norm = self.norm
        if x.numel() == x.shape[1]:
            message = f"batch normalisation over one value a channel, input {tuple(x.shape)}"
            raise MethodError(message, hint="Set method.bn_prior to null, or use larger images.")
        variance, mean = torch.var_mean(x.detach().float(), dim=(0, 2, 3))  # unbiased
        mean = torch.lerp(mean, cast("Tensor", norm.running_mean), self.share)
        variance = torch.lerp(variance, cast("Tensor", norm.running_var), self.share)
        out = F.batch_norm(x, mean, variance, norm.weight, norm.bias, False, 0.0, norm.eps)
        return cast("Tensor", self.after(out))


@contextmanager
def batch_norm_prior(network: nn.Module, strength: float | None) -> Iterator[None]:
    """Swap every BatchNorm2d for one with a prior, and back at the end.

    Args:
        network: Changed in place while the context lasts.
        strength: N, in samples; None leaves the network as it is.
    """
    if strength is None:
        yield
        return
    share = strength / (strength + 1)
    places = [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.BatchNorm2d) and child.track_running_stats
    ]
    for parent, name, child in places:
        setattr(parent, name, PriorBatchNorm2d(child, share))
    try:
        yield
    finally:
        for parent, name, child in places:
            setattr(parent, name, child)
