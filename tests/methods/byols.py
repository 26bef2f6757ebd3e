"""Small networks, drawn shapes in memory, and BYOL on them: for its tests."""

import json
from functools import cache

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from hardy.data.item import Batch, Targets
from hardy.data.open import open_dataset
from hardy.data.preprocess import Preprocess
from hardy.data.spec import DataSpec
from hardy.methods.byol.learner import ByolLearner
from hardy.methods.byol.spec import ByolSpec
from hardy.models.model import Model
from hardy.tasks.build import build_task
from hardy.tasks.classify.spec import ClassifySpec

SIDE, CLASSES = 32, 6
HALF = (0.5, 0.5, 0.5)
SHAPED = Preprocess(size=SIDE, resize=SIDE, interpolation="bilinear", mean=HALF, std=HALF)
NAMES = tuple(f"class {n}" for n in range(CLASSES))


class Pixels:
    """Samples in memory; keeps which batches were asked for."""

    def __init__(self, pixels, labels=None, seed=0, device="cpu"):
        self.pixels, self.labels = pixels.to(device), labels
        self.seed = seed
        self.labels = None if labels is None else labels.to(device)

    def __len__(self):
        return len(self.pixels)

    def batches(self, order, size, epoch, *, first=0, rank=0, ranks=1):
        for number, start in enumerate(range(first * size, len(order), size), start=first):
            places = list(order[start : start + size])[rank::ranks]
            label = None if self.labels is None else self.labels[places]
            ids = tuple(map(str, places))
            yield Batch(self.pixels[places], Targets(label), ids, self.seed, epoch, number)


@cache
def shapes(count, split="train"):
    """Return drawn shapes (N, 3, 32, 32) and their classes (N,)."""
    given = {"dataset": "shapes", "split": split, "shapes": {"count": count, "size": SIDE}}
    dataset = open_dataset(DataSpec.model_validate(given))
    drawn = np.stack([np.asarray(dataset.read(sample)) for sample in dataset.samples])
    labels = torch.tensor([sample.label for sample in dataset.samples])
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).contiguous(), labels


def vit(seed=0, dropout=0.0, dim=96, depth=3):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VisionTransformer(
            img_size=SIDE,
            patch_size=8,
            num_classes=CLASSES,
            embed_dim=dim,
            depth=depth,
            num_heads=3,
            mlp_ratio=2,
            proj_drop_rate=dropout,
        )


def cnn(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = []
        for before, after in ((3, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES))


def spec(**changes):
    given = {
        "kind": "byol",
        "validate_on": {"split": "test"},
        "epochs": 3,
        "batch": 8,
        "drop_last": True,
        "optimizer": {"kind": "adam", "lr": 1e-3},
        "projector": {"hidden": 32, "size": 16},
        "predictor": {"hidden": 32, "size": 16},
        "neighbours": {"k": 5, "bank": 24},
    }
    return ByolSpec.model_validate_json(json.dumps(given | changes))


def task():
    return build_task(ClassifySpec(), NAMES)


def learner(network=None, source=None, **changes):
    """Return a learner of a small network on 32 shapes."""
    told = {name: changes.pop(name) for name in ("say", "picture") if name in changes}
    source = source or Pixels(*shapes(32))
    model = Model(network or cnn(), SHAPED)
    return ByolLearner(model, spec(**changes), task(), source, **told)
