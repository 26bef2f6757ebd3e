"""A network that learns in no time, and samples in memory: for tests of the training loop."""

import torch
from lightning_fabric import Fabric
from torch import nn

from hardy.data.item import Batch, Targets
from hardy.engine.checkpoint import Checkpoint
from hardy.engine.progress import Reporter
from hardy.engine.train import Training, train
from hardy.methods.learner import Learner
from hardy.methods.training_spec import TrainingSpec
from hardy.tasks.build import build_task
from hardy.tasks.classify.spec import ClassifySpec
from tests.engine.runs import KeptRun

PRINT = "f" * 32
CLASSES, WIDTH = 3, 4


class ToySpec(TrainingSpec):
    kind: str = "toy"


def spec(**changes):
    given = {"epochs": 3, "batch": 4, "keep": "last", "optimizer": {"kind": "adam", "lr": 0.05}}
    return ToySpec.model_validate(given | changes)


def network(*, norm=False, dropout=0.0, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        middle = [nn.BatchNorm1d(8)] if norm else []
        return nn.Sequential(
            nn.Linear(WIDTH, 8), *middle, nn.Dropout(dropout), nn.Tanh(), nn.Linear(8, CLASSES)
        )


class Toy(Learner):
    """Tells classes apart by cross-entropy."""

    def forward(self, batch):
        logits = self.network(batch.inputs)
        loss = nn.functional.cross_entropy(logits, batch.targets.label)
        right = (logits.argmax(-1) == batch.targets.label).float().mean()
        return {"loss": loss, "right": right.detach()}

    @torch.no_grad()
    def measure(self, batch):
        answers = self.network(batch.inputs).float().log_softmax(-1)
        return super().measure(batch)[0], answers.cpu()


class Rows:
    """Samples in memory; keeps which batches were asked for."""

    def __init__(self, count=10, seed=0):
        drawn = torch.Generator().manual_seed(count)
        self.inputs = torch.randn(count, WIDTH, generator=drawn)
        self.labels = (self.inputs[:, 0] > 0).long() + (self.inputs[:, 1] > 0.5).long()
        self.seed = seed
        self.given = []

    def __len__(self):
        return len(self.inputs)

    def batches(self, order, size, epoch, *, first=0, rank=0, ranks=1):
        for number, start in enumerate(range(first * size, len(order), size), start=first):
            places = list(order[start : start + size])[rank::ranks]
            self.given.append((epoch, number, tuple(places)))
            ids = tuple(map(str, places))
            label = Targets(self.labels[places])
            yield Batch(self.inputs[places], label, ids, self.seed, epoch)


def training(learner, run=None, *, fit=None, validate=None, reporter=None, precision="32-true"):
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    task = build_task(ClassifySpec(), tuple("abc"))
    parts = (fit or Rows(), validate or Rows(6), task, fabric, run or KeptRun())
    return Training(learner, *parts, reporter or Reporter(), "toy", "toy · supervised · no shift")


def trained(given, run_id="toy", run=None, learner=None, **parts):
    """Train; return the run and the learner."""
    learner, run = learner or Toy(network(), given), run or KeptRun(run_id)
    train(training(learner, run, **parts), Checkpoint(run_id, PRINT))
    return run, learner
