"""Inputs of unequal sides: every shift, and every view that is made for them."""

import numpy as np
import pytest
import torch
from PIL import Image

from hardy.data.preprocess import Preprocess
from hardy.data.shifts import KINDS, apply
from hardy.data.view_spec import AugMix, AugMixStep, Compose, Cut, CutStep, Identity, Operations
from hardy.data.views import make_views

SIZE = (64, 96)
GEOMETRY = Preprocess(SIZE, None, "bilinear", (0.5,) * 3, (0.5,) * 3, "pad")
EVERY = Operations(names=("memo_plus", "pixel", "spatial"), count=34, crop="random")


def photo():
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (150, 200, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_shift_keeps_the_size(kind):
    plain = GEOMETRY.geometry(photo())
    shifted = apply(plain, kind, 3, np.random.default_rng(0))
    assert shifted.size == plain.size == SIZE[::-1]


@pytest.mark.parametrize(
    "spec",
    [
        Identity(count=2),
        Cut(count=3),
        *(AugMix(count=4, variant=v) for v in ("memo", "memo-cifar", "tpt", "torchvision")),
        EVERY,
        Compose(steps=(CutStep(), AugMixStep()), count=3),
    ],
    ids=lambda spec: f"{spec.kind}-{getattr(spec, 'variant', '')}",
)
def test_views_have_the_inputs_sides(spec):
    plain = GEOMETRY.geometry(photo())
    made = make_views(photo(), spec, GEOMETRY, 0, "a", plain, point=(0.2, 0.9))
    assert made.pixels.shape == (spec.count, 3, *SIZE)
    assert torch.equal(made.pixels[0].byte(), torch.from_numpy(np.array(plain)).permute(2, 0, 1))
