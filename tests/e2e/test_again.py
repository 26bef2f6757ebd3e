"""The verbs around a run that there is: go on with it, repeat it, try it out first, compare it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file, save_file

from hardy.measure.records import read_parquet
from tests.contracts.records import same
from tests.e2e.conftest import QUICK, ROOT, flags

pytestmark = pytest.mark.slow
FEW = (*QUICK, "data.subset={count: 3}")


def client(home: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{home}/mlflow.db")


def runs(home: Path, experiment: str = "hardy") -> list:
    found = client(home).get_experiment_by_name(experiment)
    return client(home).search_runs([found.experiment_id], order_by=["start_time ASC"])


def records(home: Path, run) -> object:
    path = client(home).download_artifacts(run.info.run_id, "records/records.parquet")
    return read_parquet(Path(path))


def stop_after_some_samples(environment: dict[str, str], home: Path, *overrides: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "hardy", "run", "quickstart", *flags(*overrides)],
        env=environment,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        lines = [len(p.read_text().splitlines()) for p in home.glob(".hardy/journals/*.jsonl")]
        if sum(lines) >= 4:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told


@pytest.mark.usefixtures("store")
def test_a_stopped_matrix_is_resumed_by_its_unit_or_as_a_whole(
    hardy, inside, environment, isolated_home
):
    two = [each for each in QUICK if not each.startswith("data.shift.kind")]
    two += ["matrix={data.shift.severity: [1, 2]}", "data.shift.kind=contrast"]
    two += ["data.subset={count: 8}"]
    stop_after_some_samples(environment, isolated_home, *two)
    parent, unit = runs(isolated_home)
    assert (parent.info.status, unit.info.status) == ("KILLED", "KILLED")

    told = inside("resume", unit.info.run_id[:8])
    assert "carried over" in told.stderr
    assert f"hardy resume {parent.info.run_id}" in told.stdout
    parent, unit = runs(isolated_home)
    assert (parent.info.status, unit.info.status) == ("KILLED", "FINISHED")

    told = inside("resume", parent.info.run_id[:8])
    assert f"reuses run {unit.info.run_id}" in told.stderr
    made = runs(isolated_home)
    assert [run.info.status for run in made] == ["FINISHED"] * 3
    assert made[0].info.run_id == parent.info.run_id
    assert made[0].data.metrics["units"] == 2

    for run in made[:2]:
        assert "has finished" in inside("resume", run.info.run_id[:8]).stdout
    assert len(runs(isolated_home)) == 3

    told = inside("show", made[1].info.run_id, "--diff", made[2].info.run_id, status=1)
    assert "data.shift.severity\n  - 1\n  + 2\n" in told.stdout
    assert "  finished  accuracy 0." in inside("list").stdout
    told = hardy("reproduce", parent.info.run_id[:8])
    assert told.stdout.count("8 of 8 came back bit for bit") == 2
    assert told.stdout.count("no drift") == 2


@pytest.mark.usefixtures("store")
def test_a_run_is_reproduced_until_a_weight_changes(hardy, inside, isolated_home, tmp_path):
    file = tmp_path / "weights.safetensors"
    packaged(file)
    spec = flags(*FEW, f"model.weights=file:{file}", "register=null")
    inside("run", "quickstart", *spec)
    (first,) = runs(isolated_home)
    told = hardy("reproduce", first.info.run_id[:6])
    assert "3 of 3 came back bit for bit" in told.stdout
    assert "no drift" in told.stdout
    _, second = runs(isolated_home)
    assert second.data.tags["hardy.reproduces"] == first.info.run_id
    assert same(records(isolated_home, first), records(isolated_home, second)) == []

    state = load_file(file)
    state["conv_stem.weight"][0, 0, 0, 0] += 0.5
    save_file(state, file)
    told = inside("reproduce", first.info.run_id, status=1)
    assert "drift, likely cause: weights" in told.stdout
    assert "weights, file or name: sha256:" in told.stdout
    assert "weights, tensors' sha256: " in told.stdout
    assert "data, " not in told.stdout

    state["conv_stem.weight"][0, 0, 0, 0] -= 0.5 - 1e-5
    save_file(state, file)
    told = inside("reproduce", first.info.run_id, "--tolerance", "0.01")
    assert "came back within 0.01" in told.stdout
    assert "no drift, although these differ: weights" in told.stdout
    assert client(isolated_home).search_registered_models() == []


@pytest.mark.usefixtures("store")
def test_a_reproduction_is_never_reused_nor_gone_on_with(inside, isolated_home):
    inside("run", "quickstart", *flags(*FEW))
    (first,) = runs(isolated_home)
    inside("reproduce", first.info.run_id)
    _, second = runs(isolated_home)
    told = inside("run", "quickstart", *flags(*FEW))
    assert f"reuses run {first.info.run_id}" in told.stderr
    client(isolated_home).set_terminated(second.info.run_id, "KILLED")
    told = inside("resume", second.info.run_id, status=1)
    assert "is a smoke test or a reproduction" in told.stderr
    client(isolated_home).set_terminated(first.info.run_id, "KILLED")
    told = inside("reproduce", first.info.run_id, status=1)
    assert f"hint: hardy resume {first.info.run_id}" in told.stderr


@pytest.mark.usefixtures("store")
def test_a_smoke_run_goes_the_whole_way_apart_from_all_others(inside, isolated_home):
    pictures = [each for each in QUICK if not each.startswith(("explain", "register"))]
    inside("run", "quickstart", "--smoke", *flags(*pictures))
    (smoke,) = runs(isolated_home, "hardy-smoke")
    assert smoke.data.metrics["samples"] == 1
    store = client(isolated_home)
    names = {a.path for a in store.list_artifacts(smoke.info.run_id)}
    assert {"spec.yaml", "records", "confusion", "gradcam", "views"} <= names
    assert store.search_registered_models() == []

    told = inside("run", "quickstart", *flags(*QUICK, "data.subset={count: 1}"))
    assert "reuses" not in told.stderr
    (real,) = runs(isolated_home)
    assert real.data.metrics["samples"] == 1
    assert len(runs(isolated_home, "hardy-smoke")) == 1


def packaged(file: Path) -> None:
    """Write the quickstart's weights as a file of tensors under timm's names."""
    from hardy.models.build import build_model
    from hardy.spec import resolve

    model = resolve("quickstart").units[0].experiment.model
    state = build_model(model).network.state_dict()
    save_file({key: value.contiguous().to(torch.float32) for key, value in state.items()}, file)
