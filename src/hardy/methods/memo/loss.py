"""MEMO's loss, and the choice of the views that enter it.

Marginal: p̄(y|x) = (1/B) Σ_i p_θ(y|x_i). Loss: H(p̄) = -Σ_y p̄(y|x) log p̄(y|x).
Zhang, Levine & Finn 2022, arXiv:2110.09506, equations 1 and 2.
"""

import math

import torch
from torch import Tensor


def marginal_entropy(logits: Tensor) -> Tensor:
    """Return the entropy in nats of the mean prediction over B views.

    Args:
        logits: (B, C), any scale; computed in float32 at least.

    Returns:
        A scalar in [0, log C], differentiable.
    """
    log_p = torch.log_softmax(logits.float(), dim=-1)
    log_marginal = torch.logsumexp(log_p, dim=0) - math.log(len(logits))
    # A class of probability zero would give 0 * -inf; the clamp makes it 0, its limit.
    log_marginal = log_marginal.clamp(min=torch.finfo(log_marginal.dtype).min)
    return -(log_marginal.exp() * log_marginal).sum()


def select_confident(logits: Tensor, share: float) -> Tensor:
    """Return the indices of the most confident views, the most confident first.

    Confidence is low entropy of a view's own prediction (TPT, arXiv:2209.07511, section 3.2).
    ⌊share · B⌋ views are kept as in the published code, but never none; ties keep the lower index.

    Args:
        logits: (B, C).
        share: In (0, 1].

    Returns:
        Indices (K,), int64, on the logits' device.
    """
    log_p = torch.log_softmax(logits.detach().float(), dim=-1)
    entropy = -(log_p.exp() * log_p).nan_to_num(0.0).sum(dim=-1)
    # The small addend undoes rounding such as 0.29 * 100 = 28.999999999999996.
    keep = max(1, math.floor(share * len(logits) + 1e-9))
    return torch.argsort(entropy, stable=True)[:keep]
