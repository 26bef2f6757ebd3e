"""The terms of segmentation's loss, each a number a sample.

Of a sample with kept pixels i, truth g (1 for a pixel's class, else 0), weights w of classes and
probabilities p. A pixel's weight is that of its true class; p is softmax in `cross_entropy` and
`focal`, and what the task answers with in the rest.

- `cross_entropy`: mean over pixels of -w log p(truth), in nats, with torch's smoothing;
- `focal`: mean over pixels of -w (1 - p(truth))² log p(truth) (Lin et al. 2017, arXiv:1708.02002);
- `dice`: 1 - mean over the truth's classes of (2 Σ g p + ε) / (Σ g + Σ p + ε), weighed by w;
- `iou`: 1 - the same of (Σ g p + ε) / (Σ g + Σ p - Σ g p + ε);
- `sigmoid_cross_entropy`: cross-entropy of a softmax over sigmoids of the outputs, as COMP0197's
  VQ-VAE has it: among three classes it is never below -log(e / (e + 2)) = 0.551;
- `mse`: mean over pixels and channels of w (output - g)², as COMP0197's SegNet has it;
- `pseudo_dice`, `pseudo_iou`: `dice` and `iou` against the most probable class of the outputs
  themselves, of all pixels; they see no truth.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -1
"""Channel of pixels that count for nothing."""

_EPS, _GAMMA = 1e-5, 2
_NONE = 1e-12  # below any sum of weights


@dataclass(frozen=True)
class Planes:
    """What a loss is of.

    Attributes:
        raw: The network's outputs (B, K, h, w) in float32.
        logits: One for each class (B, C, h, w); of a single output z, 0 and z.
        channels: The true channels (B, h, w); -1 for what counts for nothing.
        log_p: From logits to the logarithms of the task's probabilities.
        counted: Which classes are part of means over classes (C,).
        weights: Of classes (C,); none for 1 each.
        smoothing: Share of the truth that cross-entropies spread over all classes.
    """

    raw: Tensor
    logits: Tensor
    channels: Tensor
    log_p: Callable[[Tensor], Tensor]
    counted: Tensor
    weights: Tensor | None = None
    smoothing: float = 0.0

    @property
    def kept(self) -> Tensor:
        """Pixels that count (B, h, w)."""
        return self.channels != IGNORED

    @property
    def truth(self) -> Tensor:
        """1 for a pixel's class, else 0 (B, C, h, w), float32; 0 for what counts for nothing."""
        found = torch.zeros_like(self.logits)
        found.scatter_(1, self.channels.clamp(min=0)[:, None], 1.0)
        return found * self.kept[:, None]

    def pixel_weights(self) -> Tensor:
        """Return each pixel's weight (B, h, w); 0 for what counts for nothing."""
        kept = self.kept.float()
        return kept if self.weights is None else kept * self.weights[self.channels.clamp(min=0)]

    def mean(self, each: Tensor) -> Tensor:
        """Return the mean over a sample's pixels that count (B,); 0 where there is none."""
        return each.sum((1, 2)) / self.kept.sum((1, 2)).clamp(min=1)


def weighed(terms: Mapping[str, float], planes: Planes) -> Tensor:
    """Return the weighed sum of terms (B,)."""
    return torch.stack([weight * _TERMS[name](planes) for name, weight in terms.items()]).sum(0)


def _cross_entropy(planes: Planes) -> Tensor:
    return planes.mean(_entropies(planes, planes.logits))


def _sigmoid_cross_entropy(planes: Planes) -> Tensor:
    return planes.mean(_entropies(planes, planes.logits.sigmoid()))


def _entropies(planes: Planes, logits: Tensor) -> Tensor:
    return functional.cross_entropy(
        logits,
        planes.channels,
        planes.weights,
        ignore_index=IGNORED,
        reduction="none",
        label_smoothing=planes.smoothing,
    )


def _focal(planes: Planes) -> Tensor:
    places = planes.channels.clamp(min=0)[:, None]
    log_p = planes.logits.log_softmax(1).gather(1, places)[:, 0]
    return planes.mean(-planes.pixel_weights() * (1 - log_p.exp()) ** _GAMMA * log_p)


def _mse(planes: Planes) -> Tensor:
    truth = planes.truth[:, -planes.raw.shape[1] :]  # of one output, the second class alone
    return planes.mean((planes.raw - truth).square().mean(1) * planes.pixel_weights())


def _dice(planes: Planes) -> Tensor:
    both, said, true = _areas(planes)
    return _over_classes(planes, true, (2 * both + _EPS) / (said + true + _EPS))


def _iou(planes: Planes) -> Tensor:
    both, said, true = _areas(planes)
    return _over_classes(planes, true, (both + _EPS) / (said + true - both + _EPS))


def _areas(planes: Planes) -> tuple[Tensor, Tensor, Tensor]:
    """Return Σ g p, Σ p and Σ g of each sample and class, (B, C) each."""
    truth = planes.truth
    said = planes.log_p(planes.logits).exp() * planes.kept[:, None]
    return (truth * said).sum((2, 3)), said.sum((2, 3)), truth.sum((2, 3))


def _over_classes(planes: Planes, true: Tensor, ratios: Tensor) -> Tensor:
    """Return 1 - the mean ratio (B,) over the classes that a sample's truth has."""
    weights = ((true > 0) & planes.counted).float()
    if planes.weights is not None:
        weights = weights * planes.weights
    return (weights * (1 - ratios)).sum(1) / weights.sum(1).clamp(min=_NONE)


def _of_own(term: Callable[[Planes], Tensor]) -> Callable[[Planes], Tensor]:
    """Return a term that takes the most probable class of the outputs for the truth."""
    return lambda planes: term(replace(planes, channels=planes.logits.detach().max(1).indices))


_TERMS: Mapping[str, Callable[[Planes], Tensor]] = {
    "cross_entropy": _cross_entropy,
    "dice": _dice,
    "iou": _iou,
    "focal": _focal,
    "sigmoid_cross_entropy": _sigmoid_cross_entropy,
    "mse": _mse,
    "pseudo_dice": _of_own(_dice),
    "pseudo_iou": _of_own(_iou),
}
