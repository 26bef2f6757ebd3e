"""A network with a codebook in memory: each quarter of a side is the code nearest to its mean."""

from contextlib import nullcontext

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hardy.data.item import Prepared, Targets
from hardy.data.preprocess import Preprocess
from hardy.explain.pairs import Pairs
from hardy.models.model import Model
from hardy.models.segmenters.codebook import Codebook

SIDE, CELL = 16, 4
CODES = torch.tensor(  # (K, D)
    [[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.9, 0, 0], [5, 5, 5]]
)
COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)


class Coded(nn.Module):
    """Has of a network with a codebook what analyses ask of it."""

    def __init__(self, outputs=3):
        super().__init__()
        self.codebook = Codebook(*CODES.shape)
        self.codebook.codes.copy_(CODES.T)
        self.blurred = nn.AvgPool2d(CELL)
        self.head = nn.Conv2d(3, outputs, 1)

    def codes(self, images):
        means = self.blurred(images).permute(0, 2, 3, 1).unsqueeze(3)
        return (means - self.codebook.codes.T).square().sum(-1).argmin(-1)

    def latents(self, images):
        return self.codebook.codes.T[self.codes(images)].permute(0, 3, 1, 2)

    def forward(self, images):
        large = functional.interpolate(self.latents(images), scale_factor=float(CELL))
        return self.head(large)


def cells(count=24):
    """Return which colour each cell has (N, 4, 4): samples of class 1 have more red."""
    rng = np.random.default_rng(0)
    found = rng.integers(0, 4, (count, 4, 4))
    found[1::2, :3] = 1
    return found


def coded(count=24, *, device="cpu", labels=True):
    planes = cells(count)
    pixels = COLOURS[planes.repeat(CELL, 1).repeat(CELL, 2)].transpose(0, 3, 1, 2)
    levels = torch.from_numpy(pixels.copy()).float()
    preprocess = Preprocess(SIDE, None, "bilinear", (0.0,) * 3, (1.0,) * 3, "squeeze")
    model = Model(Coded().eval(), preprocess).to(device)

    def read(shifted, places):
        for place in places:
            label = torch.tensor([place % 2]) if labels else None
            yield Prepared(place, f"s{place}", Targets(label), levels[place][None], [[]], 0.0)

    def images(items):
        return preprocess.normalise(torch.cat([item.pixels for item in items]).to(device))

    order = np.random.default_rng(1).permutation(count).tolist()
    classes = ("mixed", "red") if labels else ()
    return Pairs(model, read, images, nullcontext, order, "none", classes, 0)
