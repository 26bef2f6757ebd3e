"""What a run promises: the same numbers however it is carried out, and nothing lost when killed."""

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hardy.measure.records import read_parquet
from tests.contracts.records import same
from tests.e2e.conftest import QUICK, ROOT, flags

SAMPLES = 8
FEW = (*QUICK, f"data.subset.count={SAMPLES}")


def client(home: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{home}/mlflow.db")


def runs(home: Path) -> list:
    store = client(home)
    experiment = store.get_experiment_by_name("hardy")
    return store.search_runs([experiment.experiment_id], order_by=["start_time ASC"])


def records(home: Path, run) -> object:
    path = client(home).download_artifacts(run.info.run_id, "records/records.parquet")
    return read_parquet(Path(path))


def journal_lines(home: Path) -> int:
    return sum(len(p.read_text().splitlines()) for p in home.glob(".hardy/journals/*.jsonl"))


def start(environment: dict[str, str], *overrides: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hardy", "run", "quickstart", *flags(*overrides)],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_workers_change_no_record(inside, isolated_home):
    for workers in (0, 2):
        inside("run", "quickstart", "--again", *flags(*FEW, f"compute.workers={workers}"))
    tables = [records(isolated_home, run) for run in runs(isolated_home)]
    assert [len(table) for table in tables] == [SAMPLES] * 2
    assert same(*tables) == []


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_a_stopped_run_goes_on_where_it_was(inside, environment, isolated_home):
    process = start(environment, *FEW)
    deadline = time.monotonic() + 120
    while journal_lines(isolated_home) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)  # a training is stopped by Ctrl-C: tests/e2e/test_train.py
    _, told = process.communicate(timeout=60)
    assert process.returncode == 143, told
    assert "Traceback" not in told
    (killed,) = runs(isolated_home)
    assert killed.info.status == "KILLED"
    kept = journal_lines(isolated_home) - 1
    assert 3 <= kept < SAMPLES

    command = told.rstrip().splitlines()[-1].rpartition(": ")[2]
    words = shlex.split(command)
    assert words[:2][-1] == "run"
    went_on = inside(*words[1:])
    assert f"{kept} carried over" in went_on.stderr
    (finished,) = runs(isolated_home)
    assert finished.info.run_id == killed.info.run_id
    assert finished.info.status == "FINISHED"
    assert journal_lines(isolated_home) == 0

    inside("run", "quickstart", "--again", *flags(*FEW))
    _, uninterrupted = runs(isolated_home)
    assert same(records(isolated_home, finished), records(isolated_home, uninterrupted)) == []


@pytest.mark.usefixtures("store")
def test_a_failed_run_says_so_and_how_to_go_on(inside, isolated_home):
    told = inside(
        "run", "quickstart", *flags(*QUICK, "method.optimizer.lr=1e30", "method.steps=3"), status=1
    )
    assert "the loss of memo is" in told.stderr
    assert "hardy run quickstart" in told.stderr.rstrip().splitlines()[-1]
    (failed,) = runs(isolated_home)
    assert failed.info.status == "FAILED"
    assert "the loss of memo is" in failed.data.tags["hardy.failure"]


@pytest.mark.usefixtures("store")
def test_a_broken_image_stops_the_run_or_is_counted(inside, isolated_home, tmp_path):
    from PIL import Image

    for wnid in ("n01440764", "n02108422"):
        (tmp_path / "photos" / wnid).mkdir(parents=True)
        Image.new("RGB", (64, 64), "red").save(tmp_path / "photos" / wnid / "a.jpg")
    (tmp_path / "photos" / "n01440764" / "b.jpg").write_bytes(b"no image")
    data = ("data.dataset=folder", f"data.root={tmp_path}/photos", *QUICK)
    told = inside("run", "quickstart", *flags(*data), status=1)
    assert "b.jpg" in told.stderr
    inside("run", "quickstart", *flags(*data, "data.on_bad_sample=skip"))
    finished = runs(isolated_home)[-1]
    assert finished.data.metrics["skipped"] == 1
    assert finished.data.metrics["samples"] == 2
