"""Answers from several views without any adaptation."""

import torch
from torch import Tensor

from hardy.methods.marginal import log_marginal


def view_ensemble(logits: Tensor) -> Tensor:
    """Return the log of the mean probability over views: logits (B, C) to (C,), on the CPU."""
    return log_marginal(logits.detach()).cpu()


def majority_vote(logits: Tensor) -> Tensor:
    """Return the log of each class's share of the views' votes: logits (B, C) to (C,), on the CPU.

    ZERO (Farina et al. 2024, arXiv:2405.18330): the marginal at temperature zero. Where classes
    share the most votes, the one of higher mean probability wins by half a vote's hundredth, so
    that the answer is one class.
    """
    logits = logits.detach().float().cpu()
    votes = torch.bincount(logits.argmax(dim=-1), minlength=logits.shape[-1]).float()
    tied = votes == votes.max()
    mean = log_marginal(logits).exp()
    winner = torch.where(tied, mean, torch.full_like(mean, -1.0)).argmax()
    votes[winner] += 0.005 * (tied.sum() > 1)
    return (votes / votes.sum()).log()
