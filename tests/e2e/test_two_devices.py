"""One training in two processes, by `compute.devices` and by torchrun, on the CPU."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from safetensors.torch import load_file

from hardy.engine.ranks import free_address
from tests.e2e.conftest import ROOT, flags, left_of

# 20 steps; LayerNorm, so that rows do not see each other, and no kink (ReLU): a last digit that
# turns one of its units over is a thousand times larger some steps later.
SPEC = """\
name: shared
data: {dataset: shapes, split: train, shapes: {count: 32, size: 32}}
model: {kind: timm, name: test_vit, weights: random}
method:
  kind: supervised
  epochs: 5
  batch: 8
  optimizer: {kind: sgd, lr: 0.02, momentum: 0.9}
  augment: [{kind: crop, area: [0.6, 1.0]}, {kind: flip}]
  ema: 0.9
  validate_on: {split: test, samples: 9}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu, processes: 1}
"""
TWO = "compute.devices=2"


@pytest.fixture
def spec(tmp_path) -> str:
    (tmp_path / "shared.yaml").write_text(SPEC)
    return str(tmp_path / "shared.yaml")


@pytest.fixture
def client(store) -> MlflowClient:
    return MlflowClient(f"sqlite:///{store}")


@pytest.fixture
def start(environment):
    """Start hardy in a session of its own, alone or by torchrun."""

    def started(*arguments: str, torchrun: bool = False) -> subprocess.Popen[str]:
        port = str(free_address()[1])
        ranks = ("torch.distributed.run", "--nproc-per-node", "2", "--master-port", port, "-m")
        return subprocess.Popen(
            [sys.executable, "-m", *(ranks if torchrun else ()), "hardy", *arguments],
            env=environment
            | {
                "PYTHONPATH": str(ROOT / "src"),
                "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
                "OMP_NUM_THREADS": "1",
            },
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return started


def ended(process: subprocess.Popen[str], status: int) -> str:
    """Return what a process said, once it has ended and nothing that it started is left."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == status, out + err
    assert not left_of(process)
    return out + err


def runs(client: MlflowClient) -> list:
    experiment = client.get_experiment_by_name("hardy")
    if experiment is None:
        return []
    return client.search_runs([experiment.experiment_id], order_by=["start_time ASC"])


def weights(client: MlflowClient, run) -> dict:
    path = "weights/weights.safetensors"
    return load_file(Path(client.download_artifacts(run.info.run_id, path)))


@pytest.mark.slow
def test_two_processes_train_as_one(spec, client, start, inside):
    told = ended(start("run", spec, "--set", TWO), 0)
    assert told.count("shared: 20 steps") == 1
    assert "Traceback" not in told
    assert "rank" not in told
    (two,) = runs(client)
    assert two.info.status == "FINISHED"
    assert "reuses run" in inside("run", spec, "--set", TWO).stderr
    # One device has another fingerprint: a batch norm would see whole batches.
    assert "reuses run" not in inside("run", spec).stderr
    told = ended(start("run", spec, "--again", "--set", TWO, torchrun=True), 0)
    assert told.count("shared: 20 steps") == 1
    assert "Traceback" not in told
    _, one, launched = runs(client)
    assert launched.info.status == "FINISHED"
    expected, both = weights(client, one), weights(client, two)
    for name, tensor in weights(client, launched).items():
        assert (tensor == both[name]).all()  # however the two were started
        assert float((tensor - expected[name]).norm()) <= 1e-5 * float(expected[name].norm()), name
    for metric in ("train/loss", "train/gradient_norm", "validation/loss", "validation/accuracy"):
        one_s, two_s = (
            [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, metric)]
            for run in (one, two)
        )
        assert len(two_s) == 5
        assert two_s == [(step, pytest.approx(value, rel=1e-5)) for step, value in one_s]


@pytest.mark.slow
@pytest.mark.parametrize("torchrun", [False, True], ids=["alone", "torchrun"])
def test_what_goes_wrong_is_told_once_and_nothing_is_left(spec, client, start, torchrun):
    """By torchrun the status is its own, and so is a traceback of its own launcher below."""
    broken = start("run", spec, "--set", "method.batch=x", torchrun=torchrun)
    told = ended(broken, 1 if torchrun else 2)
    assert told.count("this value is not accepted") == 1
    assert not runs(client)
    wild = flags(TWO, "method.optimizer.lr=1e30", "method.ema=null")
    told = ended(start("run", spec, *wild, torchrun=torchrun), 1)
    assert told.count("the loss of supervised is") == 1
    assert told.count("hint: ") == 1
    assert told.count("Traceback") == int(torchrun)
    (failed,) = runs(client)
    assert failed.info.status == "FAILED"
    assert "the loss of supervised is" in failed.data.tags["hardy.failure"]


@pytest.mark.slow
def test_two_processes_that_were_stopped_go_on(spec, client, start, isolated_home):
    """Killed, then interrupted as from a terminal, which tells all of them."""
    longer = flags(TWO, "method.epochs=12")
    folder = isolated_home / ".hardy" / "checkpoints"
    process = start("run", spec, *longer)
    before = new_state(folder, {})
    process.kill()
    ended(process, -9)
    (run,) = runs(client)
    assert run.info.status == "RUNNING"  # nobody could write that it is not
    process = start("run", spec, *longer)
    new_state(folder, before)
    os.killpg(process.pid, signal.SIGINT)
    told = ended(process, 128 + signal.SIGINT)
    assert "carried over" in told
    assert told.count("stopped by SIGINT") == 1
    assert "Traceback" not in told
    (run,) = runs(client)
    assert run.info.status == "KILLED"
    assert "carried over" in ended(start("run", spec, *longer), 0)
    (run,) = runs(client)
    assert run.info.status == "FINISHED"
    steps = [p.step for p in client.get_metric_history(run.info.run_id, "train/loss")]
    assert steps == list(range(1, 13))
    ended(start("run", spec, *longer, "--again"), 0)
    ours, theirs = (weights(client, each) for each in runs(client))
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def new_state(folder: Path, before: dict[Path, int]) -> dict[Path, int]:
    """Wait until a training's state is written, or written anew; return when it was."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        files = [file for file in folder.glob("*.safetensors") if ".best-" not in file.name]
        found = {file: file.stat().st_mtime_ns for file in files}
        if found and found != before:
            return found
        time.sleep(0.02)
    raise AssertionError(before)
