"""How several views of one image become one prediction, and which of them are used.

Marginal: p̄(y|x) = (1/B) Σ_i p_θ(y|x_i). Loss: H(p̄) = -Σ_y p̄(y|x) log p̄(y|x).
Zhang, Levine & Finn 2022, arXiv:2110.09506, equations 1 and 2. Where answers are planes, all of it
holds for each pixel by itself, and the loss is the mean over pixels.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hardy.methods.select_spec import Marginal


def log_marginal(logits: Tensor, marginal: Marginal = "probability_mean") -> Tensor:
    """Return the log of the views' joint prediction, computed in float32 at least.

    Args:
        logits: (B, C, ...), any scale.
        marginal: `probability_mean` is the paper's, log (1/B) Σ softmax(z_i). Two others stand in
            published re-implementations: `logit_mean`, log softmax((1/B) Σ z_i), and
            `raw_log_mean_exp`, log softmax(log (1/B) Σ exp z_i), which weighs a view by the scale
            of its logits.

    Returns:
        (C, ...), differentiable.
    """
    return _MARGINALS[marginal](logits.float())


def _probability_mean(logits: Tensor) -> Tensor:
    log_p = torch.log_softmax(logits, dim=1)
    return torch.logsumexp(log_p, dim=0) - math.log(len(logits))


def _logit_mean(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits.mean(dim=0), dim=0)


def _raw_log_mean_exp(logits: Tensor) -> Tensor:
    # The constant -log B that the published code adds leaves the softmax as it is.
    return torch.log_softmax(torch.logsumexp(logits, dim=0), dim=0)


_MARGINALS: dict[Marginal, Callable[[Tensor], Tensor]] = {
    "probability_mean": _probability_mean,
    "logit_mean": _logit_mean,
    "raw_log_mean_exp": _raw_log_mean_exp,
}


def entropy(log_p: Tensor, dim: int = -1) -> Tensor:
    """Return the entropy in nats over an axis of log-probabilities, differentiable."""
    # A class of probability zero would give 0 * -inf; the clamp makes it 0, its limit.
    log_p = log_p.clamp(min=torch.finfo(log_p.dtype).min)
    return -(log_p.exp() * log_p).sum(dim=dim)


def marginal_entropy(logits: Tensor, marginal: Marginal = "probability_mean") -> Tensor:
    """Return the entropy in nats of the joint prediction of B views, the mean over pixels if any.

    Args:
        logits: (B, C, ...), any scale.
        marginal: How the views are joined; see `log_marginal`.

    Returns:
        A scalar in [0, log C], differentiable.
    """
    return entropy(log_marginal(logits, marginal), dim=0).mean()


def select_confident(logits: Tensor, count: int) -> Tensor:
    """Return the indices of the most confident views, the most confident first.

    Confidence is low entropy of a view's own prediction (TPT, arXiv:2209.07511, section 3.2), the
    mean over its pixels if any; ties keep the lower index.

    Args:
        logits: (B, C, ...).
        count: Views to keep, at least 1.

    Returns:
        Indices (min(count, B),), int64, on the logits' device.
    """
    log_p = torch.log_softmax(logits.detach().float(), dim=1)
    doubt = entropy(log_p, dim=1).reshape(len(logits), -1).mean(1)
    return torch.argsort(doubt, stable=True)[:count]


def upright(outputs: Tensor, mirrored: Sequence[bool]) -> Tensor:
    """Return views' planes (B, C, h, w) with those of mirrored views mirrored back.

    What has no positions (B, C) is left as it is.

    Args:
        outputs: One a view.
        mirrored: Which views are; empty for none.
    """
    if outputs.dim() < 4 or not any(mirrored):
        return outputs
    swap = torch.tensor(mirrored, device=outputs.device).view(-1, 1, 1, 1)
    return torch.where(swap, outputs.flip(-1), outputs)
