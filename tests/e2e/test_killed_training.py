"""Trainings killed by SIGKILL again and again, by the real command line: the same bits."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hardy.core.hashing import file_sha256
from hardy.measure.drift import is_time
from hardy.measure.records import read_parquet
from tests.contracts.records import same
from tests.e2e.conftest import ROOT, left_of
from tests.e2e.killing import PLACES

BY_EPOCHS = """\
name: killed
data: {dataset: shapes, split: train, shapes: {count: 60, size: 32}}
model: {kind: hardy, weights: random, classes: 6}
method:
  kind: supervised
  epochs: 4
  batch: 8
  accumulate: 2
  optimizer: {kind: adam, lr: 1.0e-3}
  clip: 1.0
  ema: 0.8
  augment: [{kind: crop, area: [0.5, 1.0]}, {kind: flip}, {kind: jitter}]
  mixup: 0.2
  label_smoothing: 0.1
  keep_every: 2
  monitor: loss
  validate_on: {split: test, samples: 20}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu, processes: 2}
"""
# Batch norms; paths dropped by torch's own generator.
BY_STEPS = """\
name: killed
data: {dataset: shapes, split: train, shapes: {count: 60, size: 32}}
model:
  {kind: timm, name: test_resnet, weights: random, input: {size: 32, fit: squeeze}, drop_path: 0.3}
method:
  kind: supervised
  steps: 17
  batch: 12
  drop_last: true
  optimizer: {kind: sgd, lr: 0.05, momentum: 0.9}
  scheduler: {kind: one_cycle}
  class_weights: balanced
  keep: last
  validate_on: {split: test, samples: 20}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu, processes: 1}
"""
# Two views of noise and crops, a target that follows, a probe that learns beside, a bank.
BYOL = """\
name: killed
data: {dataset: shapes, split: train, shapes: {count: 60, size: 32}}
model:
  {kind: hardy, name: vit, patch: 8, dim: 24, depth: 2, heads: 2, mlp: 32, dropout: 0.1}
method:
  kind: byol
  epochs: 4
  batch: 12
  noise: {sigma: 0.1, to: 0.4}
  augment: [{kind: crop, area: [0.5, 1.0]}, {kind: flip}]
  momentum: 0.9
  momentum_to: 1.0
  neighbours: {bank: 30}
  optimizer: {kind: adam, lr: 1.0e-3}
  validate_on: {split: test, samples: 20}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu, processes: 1}
"""


def kills(seed: int) -> dict[str, list[tuple[str, int]]]:
    """Return where each training dies, one time after the other; each process counts anew."""
    drawn = random.Random(seed)
    return {
        BY_EPOCHS: [
            ("batch", drawn.randint(1, 2)),  # before there is any state
            ("best", 1),
            ("copy", 1),
            ("draft", drawn.randint(1, 4)),
            ("metrics", drawn.randint(2, 5)),
            ("fitted", 1),
            ("answer", drawn.randint(5, 15)),
        ],
        BY_STEPS: [
            ("step", drawn.randint(1, 3)),
            ("state", drawn.randint(1, 3)),
            ("validation", 1),
            ("manifest", 1),
            ("end", 1),
        ],
        BYOL: [
            ("step", drawn.randint(1, 4)),
            ("state", drawn.randint(1, 2)),
            ("answer", drawn.randint(1, 15)),
        ],
    }


@pytest.fixture
def client(store) -> MlflowClient:
    return MlflowClient(f"sqlite:///{store}")


def runs(client: MlflowClient) -> list:
    experiment = client.get_experiment_by_name("hardy")
    return client.search_runs([experiment.experiment_id], order_by=["start_time ASC"])


def curves(client: MlflowClient, run) -> dict[str, list[tuple[int, float]]]:
    """Return the points of each curve, timings aside, in the order in which they were logged."""
    names = [n for n in run.data.metrics if n.startswith(("train/", "validation/", "step/"))]
    return {
        name: [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, name)]
        for name in (*names, "learning_rate")
        if not is_time(name)
    }


def artifacts(client: MlflowClient, run) -> dict[str, Path]:
    root = Path(client.download_artifacts(run.info.run_id, ""))
    return {str(f.relative_to(root)): f for f in root.rglob("*") if f.is_file()}


def killed(environment: dict[str, str], place: str, count: int, *arguments: str) -> None:
    """Run hardy until it dies at a place; nothing that it started outlives it."""
    process = subprocess.Popen(
        [sys.executable, "tests/e2e/killing.py", place, str(count), *arguments],
        env=environment | {"PYTHONPATH": str(ROOT / "src")},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    told, _ = process.communicate(timeout=300)
    assert process.returncode == -9, f"{place} {count} was never reached:\n{told}"
    assert not left_of(process)


@pytest.mark.slow
@pytest.mark.parametrize("spec", kills(1), ids=["epochs", "steps", "byol"])
def test_a_training_killed_again_and_again_ends_with_the_same_bits(
    spec, client, inside, environment, isolated_home, tmp_path
):
    file = tmp_path / "killed.yaml"
    file.write_text(spec)
    quiet = environment | {"MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false"}
    moments = kills(1)[spec]
    for number, (place, count) in enumerate(moments):
        again = ("run", str(file))
        if number % 2:
            again = ("resume", runs(client)[0].info.run_id)
        killed(quiet, place, count, *again)
        (run,) = runs(client)
        assert run.info.status == "RUNNING"  # nobody could write that it is not
        if place == "draft":
            left = [f.name for f in (isolated_home / ".hardy" / "checkpoints").iterdir()]
            assert any(name.endswith(".tmp") for name in left)
    inside("list", "experiments")
    inside("resume", run.info.run_id)
    (finished,) = runs(client)
    assert finished.info.status == "FINISHED"
    for folder in ("checkpoints", "fitted", "journals"):
        assert not [*(isolated_home / ".hardy" / folder).iterdir()]

    inside("run", str(file), "--again")
    _, whole = runs(client)
    ours, theirs = curves(client, finished), curves(client, whole)
    assert {"train/loss", "train/gradient_norm", "validation/accuracy", "step/loss"} <= set(ours)
    assert ours == theirs
    assert all(len({step for step, _ in points}) == len(points) for points in ours.values())
    ours, theirs = artifacts(client, finished), artifacts(client, whole)
    assert ours.keys() == theirs.keys()
    tensors = [name for name in ours if name.endswith(".safetensors")]
    assert len(tensors) == {BY_EPOCHS: 3, BY_STEPS: 1, BYOL: 2}[spec]
    for name in tensors:
        assert file_sha256(ours[name]) == file_sha256(theirs[name]), name
    path = "records/records.parquet"
    assert same(read_parquet(ours[path]), read_parquet(theirs[path])) == []
    assert finished.data.metrics["accuracy"] == whole.data.metrics["accuracy"]


def test_every_place_to_die_is_there():
    assert {place for each in kills(1).values() for place, _ in each} == {*PLACES, "draft"}
