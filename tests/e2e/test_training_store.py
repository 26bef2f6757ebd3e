"""A training and its store: what others see of it while it runs; a disk that is full."""

import os
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hardy.plan.tracker import Status
from hardy.tracking.mlflow_tracker import MlflowTracker
from tests.engine.toys import Toy, network, spec, trained

SPEC = """\
name: filling
data: {dataset: shapes, split: train, shapes: {count: 24, size: 32}}
model: {kind: hardy, weights: random, classes: 6}
method: {kind: supervised, epochs: 3, batch: 12, validate_on: {split: test, samples: 6}}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu, processes: 1}
"""


def test_an_epoch_s_measures_are_seen_while_the_next_one_runs(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    # What else is told within ten seconds is told at once.
    monkeypatch.setattr("hardy.tracking.mlflow_run._FLUSH_SECONDS", 0.0)
    run = MlflowTracker().start("live", tags={})
    other = MlflowClient(f"sqlite:///{store}")
    seen = {}

    def points(name):
        return [(p.step, p.value) for p in other.get_metric_history(run.run_id, name)]

    class Watching(Toy):
        def start_epoch(self, epoch):
            names = ("train/loss", "validation/accuracy", "learning_rate", "step/loss")
            seen[epoch] = {name: points(name) for name in names}
            seen[epoch]["status"] = other.get_run(run.run_id).info.status
            return {}

    given = spec()  # 3 epochs of 3 steps
    trained(given, run=run, learner=Watching(network(), given))
    run.end(Status.FINISHED)
    for epoch in (1, 2, 3):
        assert seen[epoch]["status"] == "RUNNING"
        for name in ("train/loss", "validation/accuracy", "learning_rate"):
            assert seen[epoch][name] == points(name)[: epoch - 1]
        assert seen[epoch]["step/loss"] == points("step/loss")[: 3 * (epoch - 1)]
    assert [step for step, _ in points("train/loss")] == [1, 2, 3]
    assert [step for step, _ in points("step/loss")] == list(range(1, 10))


@pytest.mark.usefixtures("store")
def test_a_full_disk_is_told_of_and_the_training_goes_on_from_the_state_before(
    inside, isolated_home, tmp_path, monkeypatch
):
    from hardy.engine.checkpoint import Checkpoint

    monkeypatch.setattr("hardy.engine.train._KEEPING", float("inf"))
    (tmp_path / "filling.yaml").write_text(SPEC)
    folder, plain, written = isolated_home / ".hardy" / "checkpoints", os.fsync, []

    def full(file):
        if Path(f"/proc/self/fd/{file}").readlink().is_relative_to(folder):
            written.append(file)
            if len(written) > 3:
                raise OSError(28, "No space left on device")
        plain(file)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        told = inside("run", str(tmp_path / "filling.yaml"), status=1).stderr.splitlines()
    assert "cannot be written: No space left on device" in told[-3]
    assert told[-2].startswith("hint: Make room in")
    assert told[-1].startswith("Then go on: ")
    kept = {file.name.partition(".")[2] for file in folder.iterdir()}
    assert "safetensors" in kept  # the state before, whole
    assert not any(name.endswith(".tmp") for name in kept)
    states = []
    load = Checkpoint.load
    monkeypatch.setattr(Checkpoint, "load", lambda self: states.append(load(self)) or states[-1])
    inside("run", str(tmp_path / "filling.yaml"))
    assert len(states[0].epochs) >= 1
