"""Several ranks that train together: gloo on this machine's cores."""

import os
import signal
from dataclasses import dataclass
from multiprocessing import active_children

import pytest
import torch
from torch import nn

from hardy.core.errors import MethodError, SpecError
from hardy.engine.checkpoint import Checkpoint
from hardy.engine.executor import beside
from hardy.engine.ranks import (
    NoCheckpoint,
    NoRun,
    Rank,
    check_devices,
    free_address,
    meet,
    part,
    ranked_fabric,
    silent,
    wanted,
)
from hardy.engine.train import Training, train
from hardy.spec.experiment import Experiment
from tests.engine.runs import KeptRun
from tests.engine.toys import PRINT, Rows, Toy, network, spec, trained, training


def experiment(**compute):
    return Experiment.model_validate(
        {
            "name": "ranked",
            "data": {"dataset": "digits"},
            "model": {"kind": "hardy", "name": "resnet26-gn8"},
            "method": {"kind": "source"},
            "compute": {"device": "cpu"} | compute,
        }
    )


def learner(given):
    net = network()
    net.insert(1, nn.LayerNorm(8))
    return Toy(net, given)


@dataclass(frozen=True)
class ToyRank:
    """One rank of a toy's training."""

    rank: Rank
    changes: dict
    count: int = 16

    def __call__(self, send):
        torch.set_num_threads(1)
        meet(self.rank)
        try:
            self.train(NoRun(), NoCheckpoint())
        finally:
            part()

    def train(self, run, checkpoint):
        found = learner(spec(**self.changes))
        given = training(found, run, fit=Rows(self.count), validate=Rows(7), reporter=silent())
        fabric = ranked_fabric(experiment(), self.rank)
        train(Training(**{**vars(given), "fabric": fabric}), checkpoint)
        return found


def together(changes, run_id, run=None, count=16, ranks=2):
    """Train a toy on several ranks, this process the first; return the run and the learner."""
    run, address = run or KeptRun(run_id), free_address()
    others = [ToyRank(Rank(n, ranks, n, address), changes, count) for n in range(1, ranks)]
    with beside(others):
        meet(here := Rank(0, ranks, 0, address))
        try:
            return run, ToyRank(here, changes, count).train(run, Checkpoint(run_id, PRINT))
        finally:
            part()


@pytest.fixture(autouse=True)
def states_are_kept_often(monkeypatch):
    monkeypatch.setattr("hardy.engine.train._KEEPING", float("inf"))


def test_two_ranks_train_as_one():
    changes = {"epochs": 5, "batch": 4, "clip": 1.0, "ema": 0.9}
    run, found = together(changes, "two")
    alone = learner(spec(**changes))
    expected, _ = trained(spec(**changes), "one", learner=alone, fit=Rows(16), validate=Rows(7))
    assert len(expected.points) == 20
    for name, tensor in alone.weights().items():
        torch.testing.assert_close(found.weights()[name], tensor, rtol=1e-5, atol=1e-6)
    for step, point in expected.points.items():
        assert run.points[step] == pytest.approx(point, rel=1e-5)
    for epoch, measures in expected.steps.items():
        for name in ("train/loss", "validation/loss", "validation/nll", "validation/accuracy"):
            assert run.steps[epoch][name] == pytest.approx(measures[name], rel=1e-5)


def test_batches_that_do_not_divide_count_by_their_rows():
    """The last of 10 samples in batches of 4 is 2; of 4, three ranks take 2, 1 and 1."""
    changes = {"epochs": 2, "batch": 5, "accumulate": 2}
    _, found = together(changes, "odd", count=13)
    alone = learner(spec(**changes))
    trained(spec(**changes), "even", learner=alone, fit=Rows(13), validate=Rows(7))
    for name, tensor in alone.weights().items():
        torch.testing.assert_close(found.weights()[name], tensor, rtol=1e-5, atol=1e-6)


def test_ranks_go_on_where_rank_0_stands():
    class Stopping(KeptRun):
        def metrics(self, values, step=0):
            super().metrics(values, step)
            if step == 2 and "train/loss" in values:
                raise MethodError("stopped", hint="on purpose")

    run = Stopping()
    with pytest.raises(MethodError, match="stopped"):
        together({"epochs": 3}, "halted", run)
    assert len(Checkpoint("halted", PRINT).load().epochs) == 1
    other = KeptRun()
    other.steps, other.points = run.steps, run.points
    _, found = together({"epochs": 3}, "halted", other)
    _, expected = together({"epochs": 3}, "whole")
    for name, tensor in expected.weights().items():
        assert torch.equal(found.weights()[name], tensor)


@dataclass(frozen=True)
class Killed:
    """A rank that the system kills."""

    def __call__(self, send):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_rank_that_was_killed_is_told_of():
    with pytest.raises(MethodError, match="a process died with status -9") as caught:
        with_another(Killed())
    assert "compute.devices" in caught.value.hint


@dataclass(frozen=True)
class Dying:
    """A rank that fails."""

    def __call__(self, send):
        raise SpecError("the other rank's own words", hint="")


def with_another(job):
    with beside([job]):
        for process in active_children():
            process.join()
        raise RuntimeError("connection closed by peer")


def test_the_error_of_another_rank_is_what_is_told():
    with pytest.raises(SpecError, match="the other rank's own words"):
        with_another(Dying())


def test_a_last_batch_with_fewer_samples_than_ranks_is_refused():
    with pytest.raises(SpecError, match="last batch has 1 sample for 2 ranks"):
        together({"epochs": 1, "batch": 4}, "few", count=9)


def test_devices_that_are_not_there_are_refused_before_anything_runs(monkeypatch):
    check_devices(experiment(devices=2))  # processes share a CPU
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(SpecError, match="asks for 2 cuda devices, and this machine has 1"):
        check_devices(experiment(device="cuda", devices=2))


def test_what_torchrun_has_not_started_is_refused(monkeypatch):
    assert wanted(experiment()) == 1
    assert wanted(experiment(devices=2)) == 2
    with pytest.raises(SpecError, match="nodes is 2, but this process is alone") as caught:
        wanted(experiment(devices=4, nodes=2))
    assert "torchrun --nnodes 2 --nproc-per-node 4" in caught.value.hint
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "29400")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert wanted(experiment(devices=2)) == 2
    with pytest.raises(SpecError, match="started 2 processes, but compute asks for 1"):
        wanted(experiment())
    assert os.environ["RANK"] == "0"
