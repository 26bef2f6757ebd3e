"""Answers by nearest neighbours among labelled features."""

import torch
from torch import Tensor
from torch.nn import functional


def votes(
    features: Tensor, bank: Tensor, labels: Tensor, classes: int, *, k: int, temperature: float
) -> Tensor:
    """Return log-probabilities (B, C) of classes, float32, by the k nearest features of a bank.

    With cosines s_1 ≥ ... ≥ s_k and their labels y_i, a class has the share
    p_c = Σ_i exp(s_i / τ) [y_i = c] / Σ_i exp(s_i / τ) (Wu et al. 2018, arXiv:1805.01978). One more
    neighbour, which is of all classes alike, keeps a class without any from probability 0: it is
    (k p_c + 1/C) / (k + 1).

    Args:
        features: (B, D), of any length.
        bank: (N, D), each of length 1.
        labels: (N,), int64.
        classes: C.
        k: Neighbours that count; all of a smaller bank.
        temperature: τ.
    """
    with torch.autocast(features.device.type, enabled=False):
        alike = functional.normalize(features.float(), dim=1) @ bank.T
        near, places = alike.topk(min(k, len(bank)), dim=1)
        weights = torch.softmax(near / temperature, 1)
        # No scatter: on a GPU it adds in an order of its own.
        belongs = functional.one_hot(labels[places], classes).to(weights.dtype)
        shares = torch.bmm(weights[:, None], belongs)[:, 0]
        count = near.shape[1]
        return ((count * shares + 1 / classes) / (count + 1)).log()
