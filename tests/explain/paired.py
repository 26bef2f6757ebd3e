"""Samples in memory, clean and shifted, before a small vision transformer."""

from contextlib import nullcontext

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from hardy.data.item import Prepared, Targets
from hardy.data.preprocess import Preprocess
from hardy.explain.pairs import Pairs
from hardy.models.model import Model

SIDE = 16
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def transformer(*, tokens=True) -> VisionTransformer:
    """Depth 3, so that the last block is `blocks.2`; nothing of it is at its initial zeros."""
    torch.manual_seed(0)
    pool = {} if tokens else {"class_token": False, "global_pool": "avg"}
    sizes = {"img_size": SIDE, "patch_size": 8, "embed_dim": 12, "depth": 3, "num_heads": 3}
    network = VisionTransformer(num_classes=3, **sizes, **pool)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network


def model(network: nn.Module) -> Model:
    return Model(network.eval(), Preprocess(SIDE, SIDE, "bilinear", MEAN, STD))


def pixels(count=40, seed=0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    clean = rng.integers(256, size=(count, 3, SIDE, SIDE)).astype(np.float32)
    noise = 60 * rng.standard_normal(clean.shape, np.float32)
    return torch.from_numpy(clean), torch.from_numpy(clean + noise)


def pairs(
    network: nn.Module, count=40, *, labels=True, classes=("a", "b", "c"), device="cpu"
) -> Pairs:
    whole, (clean, shifted) = model(network).to(device), pixels(count)

    def read(noisy, places):
        for place in places:
            label = torch.tensor([place % len(classes)]) if labels else None
            one = (shifted if noisy else clean)[place : place + 1]
            yield Prepared(place, f"s{place}", Targets(label), one, [[]], 0.0)

    def images(items):
        return whole.preprocess.normalise(torch.cat([item.pixels for item in items]).to(device))

    order = np.random.default_rng(1).permutation(count).tolist()
    named = classes if labels else ()
    return Pairs(whole, read, images, nullcontext, order, "noise-1", named, 0)
