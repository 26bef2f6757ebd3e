"""The training loop, on a network that learns in no time."""

import copy
import json
import math
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from hardy.core.errors import MethodError, SpecError
from hardy.core.seeding import generator
from hardy.engine.budget import Budget
from hardy.engine.checkpoint import Checkpoint
from hardy.engine.train import Training, train
from tests.engine.runs import KeptRun, untimed
from tests.engine.toys import PRINT, Rows, Toy, network, spec, trained, training


@pytest.fixture(autouse=True)
def states_are_kept_often(monkeypatch):
    monkeypatch.setattr("hardy.engine.train._KEEPING", float("inf"))
    monkeypatch.setattr("hardy.engine.train._WITHIN_SECONDS", 0.0)
    monkeypatch.setattr("hardy.engine.train._NEWS_SECONDS", 0.0)
    # Drawing takes longer than training does here.
    monkeypatch.setattr("hardy.engine.train.log_curves", lambda *_: None)


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_training_is_plain_torch_written_out():
    """Three epochs of Adam under warm-up and half a cosine, against a loop of torch's own."""
    given, rows = spec(), Rows()
    run, learner = trained(given, fit=rows)
    net = network()
    matrices, vectors = ([p for p in net.parameters() if (p.ndim > 1) is m] for m in (True, False))
    optimizer = torch.optim.Adam([{"params": matrices}, {"params": vectors}], lr=0.05)
    losses, rates, steps = [], [], 9
    for step in range(steps):
        epoch, number = divmod(step, 3)
        order = generator(0, "order", epoch + 1).permutation(10).tolist()
        places = order[4 * number : 4 * number + 4]
        rate = 1.0 if step < 1 else 0.5 * (1 + math.cos(math.pi * (step - 1) / 8))
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * rate
        loss = nn.functional.cross_entropy(net(rows.inputs[places]), rows.labels[places])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append((float(loss.detach()), len(places)))
        rates.append(0.05 * rate)
    assert same(learner.weights(), net.state_dict())
    for epoch in range(3):
        mean = sum(value * count for value, count in losses[3 * epoch : 3 * epoch + 3]) / 10
        assert run.steps[epoch + 1]["train/loss"] == pytest.approx(mean, rel=1e-12)
        assert run.steps[epoch + 1]["learning_rate"] == pytest.approx(rates[3 * epoch + 2])
    assert [run.points[n + 1]["step/loss"] for n in range(9)] == [loss for loss, _ in losses]


def test_the_task_judges_the_validation_samples():
    run, learner = trained(spec(), validate=(rows := Rows(6)))
    with torch.no_grad():
        right = learner.network(rows.inputs).argmax(-1) == rows.labels
    assert run.steps[3]["validation/accuracy"] == pytest.approx(float(right.float().mean()))
    assert run.steps[3]["validation/nll"] == pytest.approx(run.steps[3]["validation/loss"])
    assert run.steps[3]["train/right"] > 0


class Killed(BaseException):
    """Ends a training anywhere, as a signal would."""


class Fatal(Toy):
    """Dies at its Nth forward pass."""

    left = 0

    def forward(self, batch):
        if self.training:
            self.left -= 1
            if self.left == 0:
                raise Killed
        return super().forward(batch)


LONG = {
    "plain": {},
    "accumulated": {"accumulate": 2, "clip": 0.5},
    "mean": {"ema": 0.7, "keep": "best", "scheduler": {"kind": "plateau", "patience": 0}},
    "cycle": {"scheduler": {"kind": "one_cycle"}, "optimizer": {"kind": "radam", "lr": 0.03}},
    "falls": {"scheduler": {"kind": "step", "every": 1}, "optimizer": {"kind": "sgd", "lr": 0.1}},
    "steps": {"steps": 8, "drop_last": True, "max_batches": 2},
}


@pytest.mark.parametrize("name", LONG)
def test_a_training_killed_anywhere_ends_with_the_same_bits(name):
    given = spec(**LONG[name])

    def build():
        return Fatal(network(norm=True, dropout=0.3), given)

    expected, learner = trained(given, "straight", learner=build())
    for at in (1, 2, 3, 5, 7):
        run = KeptRun()
        dying = build()
        dying.left = at
        with pytest.raises(Killed):
            trained(given, f"killed{at}", run, dying)
        torch.manual_seed(at)  # whatever the global generators did meanwhile
        rows = Rows()
        trained(given, f"killed{at}", run, resumed := build(), fit=rows)
        assert same(resumed.weights(), learner.weights())
        assert untimed(run.steps) == untimed(expected.steps)
        assert run.points == expected.points
        if at > 2:
            assert rows.given[0][:2] != (1, 0)  # what was done is not read again


@pytest.mark.parametrize("at", ["points", "epochs"])
def test_what_a_run_has_that_no_state_knows_of_is_not_logged_again(at):
    """Killed after the metrics reached the store, and before the first state did."""
    given = spec()
    expected, _ = trained(given, "whole")
    run = Once()
    kept = expected.points if at == "points" else expected.steps
    run.points, run.steps = dict(expected.points), dict(kept if at == "epochs" else {})
    trained(given, "anew", run)
    assert untimed(run.steps) == untimed(expected.steps)


class Once(KeptRun):
    """Takes no metric twice for the same step."""

    def metrics(self, values, step=0):
        there = self.points if "step/loss" in values else self.steps
        assert not step or step not in there
        super().metrics(values, step)


def test_dropout_is_drawn_anew_in_every_step():
    given = spec(epochs=1, batch=10, optimizer={"kind": "sgd", "lr": 1e-9})
    first = trained(given, "a", learner=Toy(network(dropout=0.5), given))[0]
    two = spec(epochs=2, batch=10, optimizer={"kind": "sgd", "lr": 1e-9})
    second = trained(two, "b", learner=Toy(network(dropout=0.5), two))[0]
    assert second.steps[1]["train/loss"] == first.steps[1]["train/loss"]
    assert abs(second.steps[2]["train/loss"] - second.steps[1]["train/loss"]) > 1e-3


def test_accumulated_batches_are_one_of_their_samples():
    """Without batch norm, 2 batches of 3 and 1 of the rest are steps of 6 and 4 samples."""
    one = spec(batch=6)
    two = spec(batch=3, accumulate=2)
    whole, parts = trained(one, "one")[1].weights(), trained(two, "two")[1].weights()
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=1e-5, atol=1e-6)


def test_gradients_are_clipped():
    given = spec(clip=1e-3, optimizer={"kind": "sgd", "lr": 1.0}, epochs=1, batch=10)
    run, learner = trained(given)
    start = network().state_dict()
    moved = sum(float((t - start[n]).square().sum()) for n, t in learner.weights().items())
    assert math.sqrt(moved) == pytest.approx(1e-3, rel=1e-3)
    assert run.steps[1]["train/gradient_norm"] > 0.01  # as it was before


def test_a_mean_of_the_weights_is_validated_and_kept():
    given, rows = spec(ema=0.5, epochs=1, batch=4), Rows(6)
    learner = Toy(network(), given)
    seen = []
    learner.end_step = lambda step: seen.append(copy.deepcopy(learner.weights()))
    run, _ = trained(given, learner=learner, validate=rows)
    mean = seen[0]
    for weights in seen[1:]:
        mean = {n: 0.5 * mean[n] + 0.5 * weights[n] for n in mean}
    for name, tensor in learner.weights().items():
        torch.testing.assert_close(tensor, mean[name])
    with torch.no_grad():
        loss = nn.functional.cross_entropy(learner.network(rows.inputs), rows.labels)
    assert run.steps[1]["validation/loss"] == pytest.approx(float(loss), rel=1e-6)


class Scripted(Toy):
    """Has the validation losses that it is told to have."""

    script = ()
    epoch = 0

    def start_epoch(self, epoch):
        self.epoch = epoch
        return {"sigma": epoch / 10}

    def measure(self, batch):
        return {"loss": self.script[self.epoch - 1], "other": self.epoch}, None


def scripted(given, losses, run_id="scripted"):
    learner = Scripted(network(), given)
    learner.script = losses
    kept = {}
    learner.end_epoch = lambda epoch: kept.update({epoch: learner.weights()}) or {}
    run, _ = trained(given, run_id, learner=learner)
    return run, learner, kept


def test_the_best_epoch_is_kept_by_the_monitored_measure():
    losses = (0.5, 0.2, 0.2, 0.4)
    _, learner, kept = scripted(spec(epochs=4, keep="best"), losses)
    assert same(learner.weights(), kept[2])
    _, learner, kept = scripted(
        spec(epochs=4, keep="best", monitor="loss", direction="max"), losses, "max"
    )
    assert same(learner.weights(), kept[1])
    _, learner, kept = scripted(spec(epochs=4, keep="best", monitor="other"), losses, "low")
    assert same(learner.weights(), kept[1])
    _, learner, kept = scripted(spec(epochs=4), losses, "last")
    assert same(learner.weights(), kept[4])


def test_what_a_learner_has_beside_its_network_is_the_best_epoch_s_too():
    given = spec(epochs=4, keep="best")
    learner = Scripted(network(), given)
    learner.script = (0.5, 0.2, 0.3, 0.4)
    learner.register_buffer("codes", torch.zeros(()))
    learner.end_step = lambda step: learner.codes.add_(1)
    trained(given, learner=learner)
    assert learner.codes == 6  # after the second of four epochs of 3 steps


def test_a_task_s_metric_has_its_own_direction():
    given = spec(epochs=4, keep="best", monitor="accuracy")
    learner = Toy(network(), given)
    kept = {}
    learner.end_epoch = lambda epoch: kept.update({epoch: learner.weights()}) or {}
    run, _ = trained(given, learner=learner)
    accuracies = [run.steps[n]["validation/accuracy"] for n in range(1, 5)]
    assert same(learner.weights(), kept[1 + int(np.argmax(accuracies))])


def test_a_measure_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(SpecError, match=r"monitor is miou") as caught:
        trained(spec(monitor="miou"))
    assert "accuracy" in caught.value.hint


def test_it_stops_early_when_nothing_becomes_better():
    run, _, _ = scripted(spec(epochs=9, early_stop=2), (0.5, 0.4, 0.6, 0.4, 0.1))
    assert list(run.steps) == [1, 2, 3, 4]
    assert run.steps[3]["sigma"] == pytest.approx(0.3)


def test_every_kth_epoch_is_stored():
    run, _, kept = scripted(spec(epochs=4, keep_every=2), (1, 1, 1, 1))
    stored = {n: f for n, f in run.files.items() if n.startswith("checkpoints/")}
    assert list(stored) == [
        "checkpoints/epoch-0002.safetensors",
        "checkpoints/epoch-0004.safetensors",
    ]
    assert same(stored["checkpoints/epoch-0002.safetensors"], kept[2])


def test_a_stored_copy_may_be_read_by_others(monkeypatch, tmp_path):
    modes = []
    monkeypatch.setattr(KeptRun, "artifact", lambda _, file, __: modes.append(file.stat().st_mode))
    (tmp_path / "plain").write_bytes(b"")
    scripted(spec(epochs=2, keep_every=1), (1, 1))
    assert modes == [(tmp_path / "plain").stat().st_mode] * 2


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (3, 3, 9, 3)),
        ({"drop_last": True}, (2, 2, 6, 3)),
        ({"max_batches": 1}, (1, 1, 3, 3)),
        ({"accumulate": 2}, (3, 2, 6, 3)),
        ({"steps": 4}, (3, 3, 4, 2)),
        ({"steps": 3, "accumulate": 2}, (3, 2, 3, 2)),
    ],
)
def test_a_budget(changes, expected):
    budget = Budget.of(spec(**changes), 10)
    assert (budget.batches, budget.epoch_steps, budget.steps, budget.epochs) == expected


def test_steps_are_the_budget_and_the_last_epoch_is_cut_short():
    rows = Rows()
    run, _ = trained(spec(steps=4), fit=rows)
    assert [(epoch, number) for epoch, number, _ in rows.given] == [(1, 0), (1, 1), (1, 2), (2, 0)]
    assert list(run.points) == [1, 2, 3, 4]


def test_an_epoch_without_a_batch_is_refused():
    with pytest.raises(SpecError, match="drop_last leaves nothing of 10 samples"):
        trained(spec(batch=16, drop_last=True))


RATES = {
    "constant": ({"kind": "constant"}, [1, 1, 1, 1, 1, 1]),
    "step": ({"kind": "step", "every": 1, "factor": 0.5}, [1, 1, 0.5, 0.5, 0.25, 0.25]),
    "cosine": (
        {"kind": "cosine", "warmup": 0, "final": 0.2},
        [0.2 + 0.8 * (1 + math.cos(math.pi * n / 6)) / 2 for n in range(6)],
    ),
}


@pytest.mark.parametrize("name", RATES)
def test_rates_follow_their_schedule(name):
    given, expected = RATES[name]
    run, _ = trained(spec(batch=5, scheduler=given, optimizer={"kind": "sgd", "lr": 0.01}))
    rates = [run.points[n]["step/learning_rate"] for n in range(1, 7)]
    assert rates == pytest.approx([0.01 * share for share in expected])


def test_the_rate_rises_and_falls_in_one_cycle():
    one = {"kind": "one_cycle", "rise": 0.5, "start": 10, "end": 100}
    run, _ = trained(spec(batch=5, scheduler=one, optimizer={"kind": "sgd", "lr": 0.01}))
    rates = [run.points[n]["step/learning_rate"] for n in range(1, 7)]
    assert rates[0] == pytest.approx(0.001)
    assert max(rates) == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(1e-5)


def test_the_rate_falls_on_a_plateau():
    given = spec(epochs=4, scheduler={"kind": "plateau", "patience": 0, "factor": 0.5})
    run, _, _ = scripted(given, (0.5, 0.6, 0.4, 0.4))
    rates = [run.steps[n]["learning_rate"] for n in range(1, 5)]
    assert rates == pytest.approx([0.05, 0.05, 0.025, 0.025])


def test_a_frozen_part_stays_in_evaluation():
    given = spec(epochs=1)
    net = nn.Sequential(
        nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5)), nn.Linear(8, 3)
    )
    net[0].requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    learner = Toy(net, given)
    seen = []
    learner.end_step = lambda step: seen.append([module.training for module in (net[0][2], net[1])])
    trained(given, learner=learner)
    after = net.state_dict()
    assert seen[0] == [False, True]
    assert all(torch.equal(after[n], before[n]) for n in before if n.startswith("0."))
    assert not torch.equal(after["1.weight"], before["1.weight"])


def test_a_loss_that_is_not_finite_says_where_and_what_to_do():
    rows = Rows()
    rows.inputs[:] = float("nan")
    with pytest.raises(MethodError, match=r"the loss of toy is nan in epoch 1, batch 1") as caught:
        trained(spec(), fit=rows)
    assert "method.optimizer.lr" in caught.value.hint


def test_gradients_that_are_not_finite_are_told_of():
    """A root at 0 has a loss of 0 and no slope."""

    class Root(Toy):
        def forward(self, batch):
            return {"loss": (self.network(batch.inputs) * 0).abs().sum().sqrt()}

    given = spec()
    with pytest.raises(MethodError, match=r"gradients of toy are not finite in epoch 1, batch 1"):
        trained(given, learner=Root(network(), given))


def test_scalars_of_any_device_type_are_read_together():
    class Odd(Toy):
        def forward(self, batch):
            found = super().forward(batch)
            return {**found, "half": found["loss"].detach().bfloat16(), "count": torch.tensor(3)}

    given = spec(epochs=1)
    run, _ = trained(given, learner=Odd(network(), given))
    assert run.steps[1]["train/count"] == 3
    assert run.steps[1]["train/half"] == pytest.approx(run.steps[1]["train/loss"], rel=1e-2)


class Large(Toy):
    """Needs too much memory for more than two samples."""

    held = None

    def forward(self, batch):
        if self.training and len(batch.ids) > 2:
            hidden = self.network[0](batch.inputs)
            type(self).held = weakref.ref(hidden)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        assert not self.training or self.held() is None  # nothing of the larger batch is left
        return super().forward(batch)


def test_out_of_memory_says_which_batch_fits():
    given = spec(batch=8)
    with pytest.raises(
        MethodError, match="a batch of 8 does not fit into the memory of cpu"
    ) as caught:
        trained(given, learner=Large(network(), given))
    assert "2 fit: set method.batch to 2, and method.accumulate to 4" in caught.value.hint


def test_a_state_is_not_kept_more_often_than_it_is_worth(monkeypatch):
    monkeypatch.setattr("hardy.engine.train._KEEPING", 1e-9)
    monkeypatch.setattr("hardy.engine.train._WITHIN_SECONDS", 30.0)
    saved = []
    plain = Checkpoint.save
    monkeypatch.setattr(
        Checkpoint, "save", lambda self, state: saved.append(state.step) or plain(self, state)
    )
    trained(spec(epochs=5))
    assert saved == [3, 15]  # after the first epoch and the last


def test_half_precision_rounds_the_network_and_not_its_input():
    from lightning_fabric import Fabric

    from hardy.engine.device import make_fabric

    class Precision:
        precision = "bf16-mixed"
        compute = type("Compute", (), {"device": "cpu"})

    seen = []

    class Watching(Toy):
        def forward(self, batch):
            logits = self.network(batch.inputs)
            seen.append((batch.inputs.dtype, logits.dtype))
            return super().forward(batch)

    given = spec(epochs=1)
    parts = training(Watching(network(), given))
    fabric = make_fabric(Precision())
    assert isinstance(fabric, Fabric)
    train(Training(**{**vars(parts), "fabric": fabric}), Checkpoint("half", PRINT))
    assert set(seen) == {(torch.float32, torch.bfloat16)}


class Overflowing(Toy):
    """Has gradients in the first steps that overflow once they are scaled; the loss is as ever."""

    steps = 0

    def forward(self, batch):
        found = super().forward(batch)
        if self.training:
            self.steps += 1
            if self.steps <= 2:
                weight = self.network[0].weight
                found["loss"] = found["loss"] + 1e35 * (weight - weight.detach()).sum()
        return found


def scaled(run, run_id, learner):
    """Train as in 16-mixed on a CUDA device, whose scaler works on the CPU too."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import MixedPrecision

    fabric = Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu"))
    parts = training(learner, run)
    train(Training(**{**vars(parts), "fabric": fabric}), Checkpoint(run_id, PRINT))
    return fabric.strategy.precision.scaler


def test_steps_that_overflow_in_half_precision_are_left_out():
    given = spec(epochs=2)
    learner = Overflowing(network(), given)
    scaler = scaled(run := KeptRun(), "scaled", learner)
    assert scaler.get_scale() == 65536 / 4  # halved for each of both
    assert 0 < run.steps[1]["train/gradient_norm"] < 10  # of the third step alone
    assert "step/gradient_norm" not in run.points[1]
    assert run.steps[2]["train/loss"] < run.steps[1]["train/loss"]
    state = Checkpoint("scaled", PRINT).load()
    assert state.parts["scaler"]["scale"] == 65536 / 4
    other = scaled(run, "scaled", Overflowing(network(), given))  # goes on with the scale
    assert other.get_scale() == 65536 / 4


def test_the_state_s_header_is_json_and_its_weights_are_tensors_alone():
    trained(spec(ema=0.9, keep="best"), "file")
    state = Checkpoint("file", PRINT).load()
    json.dumps(dict(state.parts))
    assert any(name.startswith("mean.") for name in state.tensors)
    assert any(name.startswith("optimizer.0.") for name in state.tensors)
