"""Classes by the nearest neighbours in a bank of features, each weighed by how near it is.

Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination",
arXiv:1805.01978. With s_n the cosine between a sample and row n of the bank, of class y_n, and N_k
the k rows of the largest, the share of class c is

    p_c = Σ_{n ∈ N_k, y_n = c} exp(s_n / τ) / Σ_{n ∈ N_k} exp(s_n / τ).

One more neighbour, which is of all C classes alike, keeps a class that none is of from probability
0: it is (k p_c + 1/C) / (k + 1).
"""

import torch
from torch import Tensor
from torch.nn import functional


def neighbour_shares(
    features: Tensor, bank: Tensor, labels: Tensor, classes: int, k: int, temperature: float
) -> Tensor:
    """Return shares p of the classes (B, C), float32.

    Args:
        features: Of B samples (B, D), of any length.
        bank: Features (N, D) of length 1.
        labels: Their classes (N,), int64.
        classes: C.
        k: Neighbours that count; all where the bank has fewer.
        temperature: τ.
    """
    # In half precision many cosines would be the same.
    with torch.autocast(features.device.type, enabled=False):
        cosines = functional.normalize(features.float(), dim=-1) @ bank.float().T
        nearest = cosines.topk(min(k, len(bank)), dim=-1)
        weights = torch.softmax(nearest.values / temperature, dim=-1)
        # No scatter: on a GPU it adds in an order of its own.
        belongs = functional.one_hot(labels[nearest.indices], classes).to(weights.dtype)
        return (weights.unsqueeze(1) @ belongs).squeeze(1)


def neighbour_log_probabilities(
    features: Tensor, bank: Tensor, labels: Tensor, classes: int, k: int, temperature: float
) -> Tensor:
    """Return log-probabilities of the classes (B, C), float32; see `neighbour_shares`."""
    shares = neighbour_shares(features, bank, labels, classes, k, temperature)
    count = min(k, len(bank))
    return ((count * shares + 1 / classes) / (count + 1)).log()
