"""Vector quantisation: each vector becomes the nearest of K codes (van den Oord et al. 2017).

"Neural Discrete Representation Learning", arXiv:1711.00937. Of N vectors z with nearest codes e,
the gradient passes straight through (q = z + sg(e - z)); the terms of a loss are

    commitment = mean (z - sg(e))^2        dictionary = mean (sg(z) - e)^2

Codes follow the gradient of `dictionary`, or moving means that are corrected for their start at
zero, as Sonnet has them (sonnet/src/nets/vqvae.py, moving_averages.py). With n_k vectors that took
code k in step t, s_k their sum, γ the decay and ε = 1e-5:

    h <- h - (h - n) (1 - γ),  N = h / (1 - γ^t);   m likewise of s
    e_k = m_k / ((N_k + ε) / (ΣN + Kε) ΣN)
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from hardy.core.seeding import torch_generator

_EPSILON = 1e-5


@runtime_checkable
class Coded(Protocol):
    """A network with a codebook."""

    def aux_losses(self) -> Mapping[str, Tensor]:
        """Return terms of a loss, of the last forward pass: `commitment`, `dictionary`."""

    def epoch_measures(self) -> dict[str, float]:
        """Return measures of the training steps since the last call, and count anew."""

    def codes(self, images: Tensor) -> Tensor:
        """Return which code each place takes (B, h, w), int64."""

    def latents(self, images: Tensor) -> Tensor:
        """Return the codes themselves (B, D, h, w)."""


class Codebook(nn.Module):
    """K codes of D dimensions. All that moves is in the state: it goes on where it was saved.

    Args:
        count: K.
        dim: D.
        learned: Whether codes are a parameter; else they follow moving means.
        decay: γ.
        restart: A code that no vector took for so many steps becomes a vector of the batch, with a
            mean count of 1. None: never.
    """

    codes: Tensor
    """(D, K), float32."""
    counts: Tensor
    """(K,): the moving mean of vectors a code, uncorrected."""
    sums: Tensor
    """(D, K): of their sums."""
    steps_tracked: Tensor
    """t, int64; so called that a file without it loads, as one without batch norms' counts does."""
    idle: Tensor
    """(K,), int64: steps since a vector took the code."""
    used: Tensor
    """(K,), int64: vectors that took the code since `epoch_measures`."""

    def __init__(
        self,
        count: int,
        dim: int,
        *,
        learned: bool = False,
        decay: float = 0.99,
        restart: int | None = None,
    ) -> None:
        super().__init__()
        self.learned, self.decay, self.restart = learned, decay, restart
        limit = 3**0.5
        codes = torch.empty(dim, count).uniform_(-limit, limit)
        if learned:
            self.codes = nn.Parameter(codes)
        else:
            self.register_buffer("codes", codes)
            self.register_buffer("counts", torch.zeros(count))
            self.register_buffer("sums", torch.zeros(dim, count))
        self.register_buffer("steps_tracked", torch.zeros((), dtype=torch.int64))
        self.register_buffer("idle", torch.zeros(count, dtype=torch.int64))
        self.register_buffer("used", torch.zeros(count, dtype=torch.int64))
        self.losses: dict[str, Tensor] = {}

    def forward(self, vectors: Tensor) -> Tensor:
        """Quantise vectors (B, D, h, w); in training, move the codes then.

        In 32 bits, whatever the precision of the rest: distances of near codes are small.
        """
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.float()
            places = self.nearest(vectors)
            found = self.at(places)
            self.losses = {"commitment": functional.mse_loss(vectors, found.detach())}
            if self.learned:
                self.losses["dictionary"] = functional.mse_loss(found, vectors.detach())
            if self.training:
                self._count(vectors.detach(), places)
            return vectors + (found - vectors).detach()

    @torch.no_grad()
    def nearest(self, vectors: Tensor) -> Tensor:
        """Return the nearest code's place for vectors (B, D, h, w): (B, h, w), int64."""
        with torch.autocast(vectors.device.type, enabled=False):
            rows = vectors.float().permute(0, 2, 3, 1)
            # Squared distances but for the vector's own, which is the same to all codes.
            return (self.codes.square().sum(0) - 2 * rows @ self.codes).argmin(-1)

    def at(self, places: Tensor) -> Tensor:
        """Return the codes (B, D, h, w) at places (B, h, w)."""
        return functional.embedding(places, self.codes.t()).permute(0, 3, 1, 2)

    @torch.no_grad()
    def epoch_measures(self) -> dict[str, float]:
        """Return the share of codes taken since the last call, and their perplexity exp(H).

        Nothing, where no vector was counted: all steps were in evaluation.
        """
        used, self.used = self.used.clone(), torch.zeros_like(self.used)
        if not used.any():
            return {}
        shares = used / used.sum()
        entropy = -torch.xlogy(shares, shares).sum()
        return {
            "codebook_usage": float((used > 0).float().mean()),
            "perplexity": float(entropy.exp()),
        }

    @torch.no_grad()
    def _count(self, vectors: Tensor, places: Tensor) -> None:
        """Take a step: counts, and the codes where they follow means."""
        rows = vectors.permute(0, 2, 3, 1).flatten(0, 2)
        # Products, since sums by place do not repeat bit for bit on a GPU.
        taken = functional.one_hot(places.flatten(), self.codes.shape[1]).to(rows.dtype)
        counts, sums = taken.sum(0), rows.t() @ taken
        if _several():
            distributed.all_reduce(counts)
            distributed.all_reduce(sums)
        self.steps_tracked += 1
        self.used += counts.long()
        self.idle.copy_(torch.where(counts > 0, 0, self.idle + 1))
        if not self.learned:
            self.counts.lerp_(counts, 1 - self.decay)
            self.sums.lerp_(sums, 1 - self.decay)
            correction = self._correction()
            mean = self.counts / correction
            total = mean.sum()
            stable = (mean + _EPSILON) / (total + len(mean) * _EPSILON) * total
            self.codes.copy_(self.sums / correction / stable)
        if self.restart is not None:
            self._restart_dead(rows, self.restart)

    def _correction(self) -> Tensor:
        """Return 1 - γ^t, what a moving mean that began with zero is too small by."""
        return 1 - self.decay ** self.steps_tracked.float()

    def _restart_dead(self, rows: Tensor, steps: int) -> None:
        dead = self.idle >= steps
        draw = torch_generator(0, "codebook", int(self.steps_tracked))
        places = torch.randint(len(rows), (len(dead),), generator=draw)
        fresh = rows[places.to(rows.device)].t().contiguous()
        if _several():
            distributed.broadcast(fresh, 0)  # each process drew from rows of its own
        self.codes.copy_(torch.where(dead, fresh, self.codes))
        if not self.learned:
            correction = self._correction()
            self.counts.copy_(torch.where(dead, correction, self.counts))
            self.sums.copy_(torch.where(dead, fresh * correction, self.sums))
        self.idle.copy_(torch.where(dead, 0, self.idle))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the last pass's losses out of copies: their graph cannot be copied."""
        return {**self.__dict__, "losses": {}}


def _several() -> bool:
    """Say whether several processes share each batch."""
    there = distributed.is_available() and distributed.is_initialized()
    return there and distributed.get_world_size() > 1
