"""Answers from several views without any adaptation."""

import torch
from torch import Tensor

from hardy.methods.marginal import log_marginal


def view_ensemble(logits: Tensor) -> Tensor:
    """Return the log of views' mean probability: logits (B, C, ...) to (C, ...), on the CPU."""
    return log_marginal(logits.detach()).cpu()


def majority_vote(logits: Tensor) -> Tensor:
    """Return the log of each class's share of the views' votes, on the CPU, for each pixel if any.

    ZERO (Farina et al. 2024, arXiv:2405.18330): the marginal at temperature zero. Where classes
    share the most votes, the one of higher mean probability wins by half a vote's hundredth, so
    that the answer is one class.

    Args:
        logits: (B, C, ...).

    Returns:
        (C, ...).
    """
    logits = logits.detach().float().cpu()
    mean = log_marginal(logits).exp()
    choices = logits.argmax(dim=1)
    # Each view adds its votes: as many zeros as there are logits would be held otherwise.
    votes, one = torch.zeros_like(mean), torch.ones_like(mean[:1])
    for choice in choices:
        votes.scatter_add_(0, choice[None], one)
    tied = votes == votes.amax(0)
    winner = torch.where(tied, mean, torch.full_like(mean, -1.0)).argmax(0, keepdim=True)
    votes.scatter_add_(0, winner, 0.005 * (tied.sum(0, keepdim=True) > 1))
    return (votes / votes.sum(0)).log()
