"""`--jobs`: units side by side, on a store in SQLite: the same bits, deaths, stops, resumes."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from hardy.measure.records import read_parquet
from tests.contracts.records import same
from tests.e2e.conftest import ROOT, left_of

# Larger than 64 pixels: operations have all cores by default, and round by their number.
SPEC = """\
name: beside
data: {dataset: shapes, split: test, shapes: {count: 60, size: 32}, subset: {count: 4}}
model:
  {kind: hardy, name: resnet26-gn8, weights: random, classes: 6, input: {size: 72, fit: squeeze}}
method: {kind: memo, views: {kind: cut, count: 3}, optimizer: {kind: sgd, lr: 0.1}}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu}
matrix: {seed: [0, 1]}
"""
# A training of which two units take the weights.
TRAINED = """\
name: trained
data: {dataset: shapes, split: train, shapes: {count: 60, size: 72}, subset: {count: 12}}
model: {kind: hardy, name: resnet26-gn8, weights: random, classes: 6}
method: {kind: supervised, validate_on: {split: test, samples: 6}, epochs: 1, batch: 6}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu}
"""
NEEDY = """\
name: needy
data: {dataset: shapes, split: test, shapes: {count: 60, size: 72}, subset: {count: 4}}
model: {kind: hardy, name: resnet26-gn8, classes: 6, weights: "experiment:trained"}
method: {kind: evaluate}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu}
matrix: {data.shift: [{kind: contrast}, {kind: gaussian_noise}]}
"""


@pytest.fixture
def spec(tmp_path):
    file = tmp_path / "beside.yaml"
    file.write_text(SPEC)
    return str(file)


def client(home):
    return MlflowClient(f"sqlite:///{home}/mlflow.db")


def runs(home):
    """Return parents and units, each in the order of their start."""
    store = client(home)
    experiment = store.get_experiment_by_name("hardy")
    ids = [experiment.experiment_id] if experiment else []
    found = store.search_runs(ids, order_by=["start_time ASC"]) if ids else []
    return [[run for run in found if run.data.tags["hardy.role"] == role] for role in ROLES]


ROLES = ("parent", "unit")


def records(home, run):
    path = client(home).download_artifacts(run.info.run_id, "records/records.parquet")
    return read_parquet(Path(path))


def twice(home):
    """Return the units of a matrix's two runs, by name: the second went on in the same parent."""
    (parent,), units = runs(home)
    assert {unit.data.tags["mlflow.parentRunId"] for unit in units} == {parent.info.run_id}
    half = len(units) // 2
    found = [{unit.info.run_name: unit for unit in part} for part in (units[:half], units[half:])]
    assert sorted(found[0]) == sorted(found[1])
    assert len(found[0]) == half
    return found


@pytest.mark.usefixtures("store")
def test_units_side_by_side_give_the_bits_of_one_thread(inside, spec, isolated_home):
    told = inside("run", spec, "--jobs", "2").stdout
    inside("run", spec, "--again", "--set", "compute.threads=1")
    first, second = twice(isolated_home)
    assert sorted(first) == ["beside/0", "beside/1"]
    assert told.index("\n 0 ") < told.index("\n 1 ")  # in the plan's order, whichever was first
    store = client(isolated_home)
    for name, unit in first.items():
        assert same(records(isolated_home, unit), records(isolated_home, second[name])) == []
        tags = unit.data.tags
        assert (tags["hardy.threads"], tags["hardy.shared"]) == ("1", "true")
        assert second[name].data.tags["hardy.threads"] == "1"
        # A sample takes longer so: no plan is to take it for what it takes alone.
        assert tags["hardy.work"] != second[name].data.tags["hardy.work"]
        kept = store.download_artifacts(unit.info.run_id, "spec.yaml")
        assert "  threads: null\n" in Path(kept).read_text()  # the spec stays the user's
    writers = {unit.data.tags["hardy.heartbeat"].split()[-1] for unit in first.values()}
    assert writers == {str(os.getpid())}  # this process alone writes
    spans = [(u.info.start_time, u.info.end_time) for u in first.values()]
    assert max(begin for begin, _ in spans) < min(end for _, end in spans)


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_one_job_gives_the_bits_of_two_and_so_does_a_reproduction(inside, spec, isolated_home):
    for jobs in ("2", "1"):
        inside("run", spec, "--again", "--jobs", jobs)
    first, second = twice(isolated_home)
    for name, unit in first.items():
        assert same(records(isolated_home, unit), records(isolated_home, second[name])) == []
    told = inside("reproduce", first["beside/1"].info.run_id)
    assert "no drift" in told.stdout
    *_, (*_, again) = runs(isolated_home)
    assert again.data.tags["hardy.threads"] == "1"
    # A finished unit is found again by a worker's run as by any other.
    assert "reuses run" in inside("run", spec, "--jobs", "2").stderr


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a training, and an experiment that begins with its weights."""
    folder = tmp_path / "project"
    (folder / "experiments").mkdir(parents=True)
    (folder / "registry").mkdir()
    (folder / "MLproject").touch()
    for name, text in (("trained", TRAINED), ("needy", NEEDY)):
        (folder / "experiments" / f"{name}.yaml").write_text(text)
    return folder


@pytest.mark.usefixtures("store")
def test_a_training_on_several_devices_is_refused(inside, project, monkeypatch, isolated_home):
    monkeypatch.chdir(project)
    several = ("--set", "compute.devices=2")
    told = inside("run", "trained", "--jobs", "2", *several, status=2)
    assert "a training on several devices has no others beside it" in told.stderr
    assert "--jobs" in told.stderr
    assert runs(isolated_home) == [[], []]


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_what_is_needed_runs_first(inside, project, monkeypatch, isolated_home):
    monkeypatch.chdir(project)
    inside("run", "needy", "--jobs", "2")
    (parent,), units = runs(isolated_home)
    assert units[0].info.run_name == "trained"
    assert {unit.info.status for unit in (parent, *units)} == {"FINISHED"}
    assert len(units) == 3
    trained, *others = units
    assert trained.data.tags["hardy.threads"] == "1"
    assert all(other.info.start_time >= trained.info.end_time for other in others)
    inside("run", "trained", "--again", "--set", "compute.threads=1")
    *_, (*_, again) = runs(isolated_home)
    assert again.data.tags["hardy.state_sha256"] == trained.data.tags["hardy.state_sha256"]
    assert same(records(isolated_home, trained), records(isolated_home, again)) == []


def start(environment, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "hardy", "run", *arguments],
        env=environment | {"OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def workers_at_it(process, home, count=2):
    """Wait until as many workers have answered; return them."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        journals = list(home.glob(".hardy/journals/*.jsonl"))
        if sum(len(path.read_text().splitlines()) > 1 for path in journals) >= count:
            children = psutil.Process(process.pid).children()
            return [each for each in children if "spawn_main" in " ".join(each.cmdline())]
        time.sleep(0.05)
    process.kill()
    raise AssertionError(process.communicate())


# Long enough to be killed in.
MANY = ("--set", "data.subset.count=24", "--jobs", "2")


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_a_workers_death_ends_the_run_which_goes_on(inside, environment, spec, isolated_home):
    process = start(environment, spec, *MANY)
    workers = workers_at_it(process, isolated_home)
    assert len(workers) == 2
    workers[0].kill()  # other ends: tests/engine/test_pool_ends.py
    _, told = process.communicate(timeout=60)
    assert "Traceback" not in told
    assert process.returncode == 1
    assert left_of(process) == []
    (parent,), units = runs(isolated_home)
    assert "died with status -9" in told
    assert parent.info.status == "FAILED"
    assert sorted(unit.info.status for unit in units) == ["FAILED", "KILLED"]
    assert {unit.data.tags["hardy.failure"] for unit in units} == {
        "the process that ran it died with status -9",
        "stopped: another job failed",
    }
    hint = told.rstrip().splitlines()[-1].rpartition(": ")[2]
    again = shlex.split(hint)[1:]
    assert again[-2:] == ["--jobs", "2"]
    went_on = inside(*again)
    assert "carried over" in went_on.stderr
    (parent,), units = runs(isolated_home)
    assert {unit.info.status for unit in (parent, *units)} == {"FINISHED"}
    assert len(units) == 2
    inside("run", spec, *MANY[:2], "--again", "--set", "compute.threads=1")
    first, second = twice(isolated_home)
    for name, unit in first.items():
        assert same(records(isolated_home, unit), records(isolated_home, second[name])) == []
