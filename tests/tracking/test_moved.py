"""A home that was copied or moved reads and writes its own files, never those of the old place."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from time import time
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

from hardy.core.errors import TrackingError
from hardy.plan.tracker import Status
from hardy.registry.bundle import CARD
from hardy.registry.versions import fetched
from hardy.tracking import moved
from hardy.tracking.heartbeat import HEARTBEAT_TAG
from hardy.tracking.mlflow_tracker import MlflowTracker
from hardy.tracking.moved import HOME_TAG, beside
from hardy.tracking.store import connect, tracking_uri


@pytest.fixture
def first(store: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Leave an unfinished run with an artifact, and a model, in the home."""
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    tracker = MlflowTracker()
    run = tracker.start("unit", tags={"hardy.fingerprint": "f" * 32})
    run.text("old", "kept.txt")
    run.end(Status.KILLED)
    return run.run_id


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def places(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return "\n".join(connection.iterdump())


@pytest.mark.parametrize("tagged", [True, False])
def test_a_copied_home_goes_on_in_itself(
    first: str,
    tagged: bool,
    isolated_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not tagged:  # as earlier versions of hardy left it
        with closing(sqlite3.connect(isolated_home / "mlflow.db")) as old, old:
            old.execute("DELETE FROM experiment_tags WHERE key = ?", (HOME_TAG,))
    copy = tmp_path / "a copy's home"
    shutil.copytree(isolated_home, copy)
    before = content(isolated_home)
    _artifact_repos_cache.clear()  # as in a process of its own
    monkeypatch.setenv("HARDY_HOME", str(copy))
    tracker = MlflowTracker()
    past = tracker.find("f" * 32)
    assert past is not None
    assert tracker.artifact(first, "kept.txt").is_relative_to(copy)
    assert f"made in {isolated_home}; its runs' files are in {copy} now" in capsys.readouterr().err
    run = tracker.start("unit", tags={}, resume=past.run_id)
    run.text("new", "kept.txt")
    run.end(Status.FINISHED)
    other = tracker.start("other", tags={})
    other.text("new", "more.txt")
    other.end(Status.FINISHED)
    assert content(isolated_home) == before
    assert tracker.artifact(first, "kept.txt").read_text() == "new"
    assert len(list(copy.glob("mlruns/hardy/*/artifacts/*.txt"))) == 2
    MlflowTracker().get(first)
    assert "made in" not in capsys.readouterr().err  # said once


def test_a_moved_home_is_settled_with_its_models(
    first: str, isolated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(tracking_uri())
    experiment = client.get_run(first).info.experiment_id
    model = client.create_logged_model(experiment, name="model")
    client.create_registered_model("m")
    client.create_model_version("m", model.artifact_location, first, model_id=model.model_id)
    new = tmp_path / "moved"
    isolated_home.rename(new)
    monkeypatch.setenv("HARDY_HOME", str(new))
    client = connect()
    assert client.get_run(first).info.artifact_uri.startswith((new / "mlruns").as_uri())
    assert str(isolated_home) not in places(new / "mlflow.db").replace(
        f"{isolated_home.as_uri()}/mlruns/0", ""
    )
    version = client.get_model_version("m", "1")
    assert str(new) in client.get_model_version_download_uri("m", version.version)


def test_a_store_without_its_files_is_refused_with_the_way_out(
    first: str, isolated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copyfile(isolated_home / "mlflow.db", alone / "mlflow.db")
    monkeypatch.setenv("HARDY_HOME", str(alone))
    with pytest.raises(TrackingError, match="was made in") as caught:
        connect()
    assert caught.value.hint == f"Copy them too: cp -a {isolated_home}/mlruns {alone}/mlruns"


def test_a_home_in_which_another_process_writes_keeps_its_places(
    store: Path, isolated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it is mounted at two places: the other process goes on with the old names."""
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    run = MlflowTracker().start("unit", tags={})
    new = tmp_path / "mounted"
    (isolated_home / "mlruns").mkdir(exist_ok=True)
    shutil.copytree(isolated_home, new)
    client = MlflowClient(f"sqlite:///{new}/mlflow.db")
    before = places(new / "mlflow.db")
    monkeypatch.setenv("HARDY_HOME", str(new))
    for beat, refused in ((f"{time():.0f} another-host 7", True), ("1000 another-host 7", False)):
        client.set_tag(run.run_id, HEARTBEAT_TAG, beat)
        if refused:
            with pytest.raises(TrackingError, match="a process is writing a run there"):
                connect()
            assert places(new / "mlflow.db").count(str(new)) == before.count(str(new))
        else:
            connect()
            assert str(isolated_home) not in places(new / "mlflow.db")
    run.end(Status.KILLED)


def test_artifacts_that_mlflow_put_elsewhere_stay_there(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mlflow run` puts them into the current folder, with the number of the experiment."""
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    elsewhere = (tmp_path / "project" / "mlruns" / "1").as_uri()
    MlflowClient(tracking_uri()).create_experiment("hardy", artifact_location=elsewhere)
    MlflowTracker().start("unit", tags={}).end(Status.FINISHED)
    connect()
    experiment = MlflowClient(tracking_uri()).get_experiment_by_name("hardy")
    assert experiment.artifact_location == elsewhere


def test_a_home_through_a_link_is_the_same(
    first: str, isolated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(isolated_home)
    before = places(isolated_home / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/link/mlflow.db")
    connect()
    assert places(isolated_home / "mlflow.db") == before


def test_a_moved_store_that_cannot_be_written_is_read(
    first: str, isolated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = isolated_home / "mlruns" / "hardy" / "models" / "m-1" / "artifacts" / "artifacts"
    bundle.mkdir(parents=True)
    (bundle / CARD).write_text("{}")
    new = tmp_path / "moved"
    isolated_home.rename(new)
    monkeypatch.setenv("HARDY_HOME", str(new))

    def refuse(*_: object) -> None:
        message = "attempt to write a readonly database"
        raise sqlite3.OperationalError(message)

    monkeypatch.setattr(moved, "_rename", refuse)
    tracker = MlflowTracker()
    assert tracker.artifact(first, "kept.txt").read_text() == "old"
    stated = f"{isolated_home.as_uri()}/mlruns/hardy/models/m-1/artifacts"
    client = SimpleNamespace(
        tracking_uri=tracking_uri(), get_model_version_download_uri=lambda *_: stated
    )
    with fetched(client, SimpleNamespace(name="m", version="1")) as folder:
        assert (folder / CARD).read_text() == "{}"
    assert beside("s3://bucket/mlruns/a", new / "mlflow.db") == "s3://bucket/mlruns/a"
