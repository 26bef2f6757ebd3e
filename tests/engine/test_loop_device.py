"""The training loop on a pretended device, where its tensors and the CPU's refuse to meet."""

import pytest
import torch

from hardy.engine.checkpoint import Checkpoint
from hardy.engine.train import train
from hardy.methods.supervised.learner import SupervisedLearner
from hardy.methods.supervised.spec import SupervisedSpec
from hardy.tasks.build import build_task
from hardy.tasks.classify.spec import ClassifySpec
from tests.contracts.device import another_device
from tests.contracts.learner import on
from tests.contracts.method import small_model
from tests.engine.runs import KeptRun, untimed
from tests.engine.toys import PRINT, Rows, Toy, network, spec, training

# Whatever a training may hold: moments, a mean of weights and of statistics, sums over batches.
ALL = {"accumulate": 2, "clip": 0.5, "ema": 0.7, "keep": "best", "keep_every": 2}
OPTIMIZERS = (
    {"kind": "sgd", "lr": 0.05, "momentum": 0.9},
    {"kind": "adam", "lr": 0.05},
    {"kind": "adamw", "lr": 0.05},
    {"kind": "radam", "lr": 0.05},
)


class There(Rows):
    """Samples whose batches come to a device."""

    def __init__(self, device, count=10):
        super().__init__(count)
        self.device = device

    def batches(self, order, size, epoch, **shares):
        for batch in super().batches(order, size, epoch, **shares):
            yield on(batch, self.device)


class Watched(Toy):
    """Says something of a batch that lies on the CPU, as a learner may; stops where it is told."""

    stop_at = 0

    def forward(self, batch):
        return {**super().forward(batch), "rows": torch.tensor(float(len(batch.ids)))}

    def end_epoch(self, epoch):
        if epoch == self.stop_at:
            raise KeyboardInterrupt
        return {}


def on_device(device, given, run, stop_at=0):
    learner = Watched(network(norm=True), given).to(device)
    learner.stop_at = stop_at
    parts = training(learner, run, fit=There(device), validate=There(device, 6))
    train(parts, Checkpoint(run.run_id, PRINT))
    return learner.weights()


@pytest.fixture(autouse=True)
def states_are_kept_often(monkeypatch):
    monkeypatch.setattr("hardy.engine.train._KEEPING", float("inf"))
    monkeypatch.setattr("hardy.engine.train._WITHIN_SECONDS", 0.0)
    monkeypatch.setattr("hardy.engine.train._NEWS_SECONDS", 0.0)
    monkeypatch.setattr("hardy.engine.train.log_curves", lambda *_: None)
    # Fabric takes the pretended device, whose type is `meta`, for one that holds no numbers.
    monkeypatch.setattr(
        "lightning_fabric.fabric._has_meta_device_parameters_or_buffers", lambda _: False
    )


# And so does torch, which copies its numbers all the same.
@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter:UserWarning")
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda given: given["kind"])
def test_a_training_is_the_same_there_and_goes_on_there(optimizer):
    given = spec(optimizer=optimizer, **ALL)
    expected = on_device(torch.device("cpu"), given, here := KeptRun("here"))
    with another_device() as device:
        with pytest.raises(KeyboardInterrupt):
            on_device(device, given, there := KeptRun("there"), stop_at=2)
        found = on_device(device, given, there)
    assert all(type(tensor) is torch.Tensor for tensor in found.values())
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6)
    for epoch, measures in untimed(here.steps).items():
        assert untimed(there.steps)[epoch] == pytest.approx(measures, rel=1e-4)


def test_weights_of_classes_go_along():
    """A buffer that no state holds."""
    given = SupervisedSpec.model_validate({"kind": "supervised", "validate_on": {"split": "test"}})
    task = build_task(ClassifySpec(), tuple("abcde"))
    with another_device() as device:
        learner = SupervisedLearner(small_model(), given, task, torch.ones(5)).to(device)
        assert learner.class_weights.device == device
    assert "class_weights" not in learner.state_dict()
