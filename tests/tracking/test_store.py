import errno
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hardy.core.errors import TrackingError
from hardy.plan.tracker import Status
from hardy.tracking import default_finder
from hardy.tracking.leftovers import leftovers
from hardy.tracking.mlflow_tracker import MlflowTracker
from hardy.tracking.recent import last_runs
from hardy.tracking.store import (
    artifact_root,
    connect,
    experiment_id,
    is_absent,
    local_database,
    public,
    tracking_uri,
)


def test_default_store_lies_at_home_whatever_the_current_directory(
    isolated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tracking_uri() == f"sqlite:///{isolated_home}/mlflow.db"
    assert artifact_root(tracking_uri()) == (isolated_home / "mlruns").as_uri()
    assert is_absent(tracking_uri())


def test_stated_uri_wins_and_a_relative_one_is_relative_to_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///sub/runs.db?timeout=5")
    assert tracking_uri() == f"sqlite:///{tmp_path}/sub/runs.db?timeout=5"
    assert local_database(tracking_uri()) == tmp_path / "sub" / "runs.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://runs.example.org")
    assert tracking_uri() == "https://runs.example.org"
    assert artifact_root(tracking_uri()) is None
    assert not is_absent(tracking_uri())


def test_experiment_has_an_absolute_artifact_location(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect()
    first = experiment_id(client, "hardy")
    monkeypatch.chdir(tmp_path)
    assert experiment_id(client, "hardy") == first
    location = client.get_experiment(first).artifact_location
    assert location == (store.parent / "mlruns" / "hardy").as_uri()


def test_deleted_experiment_is_refused_with_the_way_back(store: Path) -> None:
    client = connect()
    client.delete_experiment(experiment_id(client, "hardy"))
    with pytest.raises(TrackingError, match="was deleted") as caught:
        experiment_id(client, "hardy")
    assert "mlflow experiments restore" in caught.value.hint


def test_damaged_database_is_an_error_at_once(isolated_home: Path) -> None:
    (isolated_home / "mlflow.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(TrackingError, match="not a database") as caught:
        connect()
    assert str(isolated_home / "mlflow.db") in caught.value.hint


def test_old_schema_names_the_upgrade(store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    with pytest.raises(TrackingError, match="out-of-date") as caught:
        connect()
    assert "mlflow db upgrade sqlite:///" in caught.value.hint


def test_refused_connection_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # Port 9 (discard) of this machine has no listener.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:secret@127.0.0.1:9")
    with pytest.raises(TrackingError) as caught:
        connect()
    assert "secret" not in caught.value.message + caught.value.hint
    assert "MLFLOW_TRACKING_URI" in caught.value.hint


def test_home_that_cannot_hold_a_store_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HARDY_HOME", str(tmp_path / "file"))
    with pytest.raises(TrackingError, match="MLflow store"):
        connect()


def test_public_address_holds_no_password() -> None:
    assert public("postgresql://ann:secret@host/runs") == "postgresql://host/runs"
    assert public("postgresql://ann:s/cr@t@host/runs") == "postgresql://host/runs"
    assert public("sqlite:////home/a@b/mlflow.db") == "sqlite:////home/a@b/mlflow.db"


@pytest.mark.slow
def test_three_processes_meet_an_empty_store_at_once(isolated_home: Path) -> None:
    script = (
        "import sys; from hardy.plan.tracker import Status;"
        "from hardy.tracking.mlflow_tracker import MlflowTracker;"
        "run = MlflowTracker().start(sys.argv[1], tags={'hardy.fingerprint': sys.argv[1]});"
        "[run.metrics({'loss': float(s)}, s) for s in range(600)];"
        "run.end(Status.FINISHED)"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, f"writer{n}"], stderr=subprocess.PIPE)
        for n in range(3)
    ]
    noise = [writer.communicate(timeout=180)[1].decode() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0], noise
    assert noise == ["", "", ""]
    client = MlflowClient(tracking_uri())
    experiment = client.get_experiment_by_name("hardy")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["writer0", "writer1", "writer2"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        assert len(client.get_metric_history(run.info.run_id, "loss")) == 600
    assert not list(isolated_home.glob("*.creating"))


@pytest.mark.parametrize("way", ["patched", "mounted"])
def test_a_store_that_is_read_only_is_read_and_says_what_it_refuses(
    way: str, store: Path, isolated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database stays as it is, and nothing is made beside it."""
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    run = MlflowTracker().start("unit", tags={"hardy.fingerprint": "f" * 32, "hardy.spec": "a"})
    run.text("kept", "kept.txt")
    run.end(Status.FINISHED)
    shutil.rmtree(isolated_home / ".hardy", ignore_errors=True)
    before = store.read_bytes()
    if way == "patched":
        monkeypatch.setattr("hardy.tracking.store.state_dir", _read_only)
        _read(run.run_id)
    else:
        mount = f"mount --bind {isolated_home} {isolated_home} && "
        mount += f"mount -o remount,bind,ro {isolated_home} && ! touch {isolated_home}/x 2>&1"
        script = f"import tests.tracking.test_store as t; t._read_mounted({run.run_id!r})"
        words = ["unshare", "-m", "sh", "-c", f'{mount} && "$0" -c "$1"', sys.executable, script]
        if subprocess.run([*words[:4], mount], capture_output=True, check=False).returncode:
            pytest.skip("this user may not mount")
        subprocess.run(words, check=True, cwd=Path(__file__).parents[2], timeout=120)
    assert store.read_bytes() == before
    assert sorted(each.name for each in isolated_home.iterdir()) == ["mlflow.db", "mlruns"]


def _read(run_id: str) -> None:
    tracker = MlflowTracker()
    found = tracker.find("f" * 32)
    assert found is not None
    assert found.run_id == run_id
    assert tracker.artifact(run_id, "kept.txt").read_text() == "kept"
    assert default_finder().find_many(["f" * 32])
    assert last_runs(Path(tracking_uri().removeprefix("sqlite:///")))["a"].status == "FINISHED"
    assert leftovers() == []


def _read_mounted(run_id: str) -> None:
    _read(run_id)
    with pytest.raises(TrackingError, match="readonly database") as caught:
        MlflowTracker().start("unit", tags={})
    assert "HARDY_HOME" in caught.value.hint


def _read_only() -> Path:
    raise OSError(errno.EROFS, "Read-only file system")
