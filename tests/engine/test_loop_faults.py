"""What goes wrong in a training: memory, single values, measures that are none."""

import copy
import math
from types import MethodType

import pytest
import torch
from torch import nn

from hardy.core.errors import MethodError
from hardy.engine.budget import Budget
from hardy.engine.memory import first
from hardy.engine.train import _POINTS
from tests.engine.runs import KeptRun
from tests.engine.toys import Rows, Toy, network, spec, trained


class Scripted(Toy):
    """Has the validation measures that it is told to have."""

    script = ()
    epoch = 0

    def start_epoch(self, epoch):
        self.epoch = epoch
        return {}

    def measure(self, batch):
        return {"loss": self.script[self.epoch - 1], "accuracy": self.script[self.epoch - 1]}, None


def kept_of(given, script, run_id):
    learner = Scripted(network(), given)
    learner.script = script
    weights = {}
    learner.end_epoch = lambda epoch: weights.update({epoch: learner.weights()}) or {}
    run, _ = trained(given, run_id, learner=learner)
    last = learner.weights()
    kept = [n for n, w in weights.items() if all(torch.equal(w[k], last[k]) for k in last)]
    return kept, run


@pytest.mark.parametrize("name", ["accuracy", "validation/accuracy"])
def test_a_metric_has_its_direction_under_both_its_names(name):
    given = spec(epochs=3, keep="best", monitor=name)
    assert kept_of(given, (0.5, 0.9, 0.7), name.replace("/", "-"))[0] == [2]


def test_a_measure_that_is_no_number_is_worse_than_all():
    nan = math.nan
    given = spec(epochs=3, keep="best", early_stop=2)
    kept, run = kept_of(given, (nan, 1.0, 0.5), "nan")
    assert kept == [3]
    assert list(run.steps) == [1, 2, 3]


class Greedy(Toy):
    """An optimizer that needs too much memory for more than two samples."""

    seen = 0

    def forward(self, batch):
        self.seen = len(batch.ids)
        return super().forward(batch)

    def optimizers(self):
        found = super().optimizers()
        plain = type(found[0]).step

        def step(optimizer, *args, **kwargs):
            if self.seen > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return plain(optimizer, *args, **kwargs)

        found[0].step = MethodType(step, found[0])
        return found


def test_memory_that_does_not_suffice_for_a_step_says_which_batch_fits():
    given = spec(batch=8)
    with pytest.raises(MethodError, match="batch of 8 does not fit") as caught:
        trained(given, "greedy", learner=Greedy(network(), given))
    assert "set method.batch to 2" in caught.value.hint


def test_the_first_samples_of_a_batch_draw_rows_of_their_own():
    rows = Rows(8)
    (batch,) = rows.batches(range(8), 8, 1)
    whole = batch._replace(rank=1, ranks=2, whole=16)
    part = first(whole, 3)
    assert part.uniform("mixup", 2).shape == (3, 2)
    assert len(part.ids) == len(part.inputs) == len(part.targets.label) == 3


def test_a_batch_norm_that_sees_one_value_says_what_to_do():
    given = spec(batch=9)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    with pytest.raises(MethodError, match="a batch norm of the network sees one value") as caught:
        trained(given, "single", learner=Toy(net, given), fit=Rows(10))
    assert "method.drop_last" in caught.value.hint


@pytest.mark.parametrize(("rise", "steps"), [(0.5, 2), (0.25, 4), (0.1, 10), (0.3, 1)])
def test_one_cycle_of_few_steps(rise, steps):
    given = spec(steps=steps, batch=10, scheduler={"kind": "one_cycle", "rise": rise})
    run, _ = trained(given, f"cycle{steps}")
    assert len(run.points) == steps


@pytest.mark.parametrize("steps", [19, 20, 39, 59])
def test_an_epoch_has_so_many_points_at_most(steps):
    run, _ = trained(spec(epochs=1, batch=1), "points", fit=Rows(steps))
    assert Budget.of(spec(batch=1), steps).epoch_steps == steps
    assert steps / 4 <= len(run.points) <= _POINTS


def test_the_mean_of_the_weights_has_the_mean_of_the_batch_norms_statistics():
    given = spec(epochs=1, ema=0.5)
    learner = Toy(network(norm=True), given)
    seen = []
    learner.end_step = lambda step: seen.append(copy.deepcopy(learner.network[1].running_mean))
    trained(given, "norms", learner=learner)
    mean = seen[0]
    for each in seen[1:]:
        mean = 0.5 * mean + 0.5 * each
    torch.testing.assert_close(learner.weights()["1.running_mean"], mean)


def test_what_follows_from_the_weights_is_computed_anew_before_they_are_measured():
    told = []

    class Deriving(Toy):
        def end_step(self, step):
            told.append("step")

        def refresh(self):
            told.append("refresh")

        def measure(self, batch):
            told.append("measure")
            return super().measure(batch)

    given = spec(epochs=1, batch=10)
    trained(given, "derived", learner=Deriving(network(), given), validate=Rows(3))
    assert told[:3] == ["step", "refresh", "measure"]


def test_points_reach_the_store_before_a_state_that_is_past_them(monkeypatch):
    monkeypatch.setattr("hardy.engine.train._KEEPING", float("inf"))
    told = []

    class Told(KeptRun):
        def flush(self, *, wait=True):
            told.append("flush")
            return True

    monkeypatch.setattr("hardy.engine.checkpoint.Checkpoint.save", lambda *_: told.append("save"))
    trained(spec(epochs=2), "flushed", Told())
    assert told == ["flush", "save"] * 2
