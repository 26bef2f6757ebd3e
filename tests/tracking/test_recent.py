"""What the light reader says of a store is what MLflow says of it."""

import time
from pathlib import Path

import pytest

from hardy.plan.tracker import Status
from hardy.tracking.mlflow_tracker import MlflowTracker
from hardy.tracking.recent import last_runs, local_store, recent_runs, remote_last_runs


@pytest.fixture
def runs(store: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Two runs of one spec, one with a unit below; one of another; one that stands aside."""
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    tracker = MlflowTracker()
    made = {}

    def make(name: str, spec: str, status: Status, accuracy: float, **tags: str) -> str:
        identity = {"hardy.spec": spec, "hardy.role": "unit", **tags}
        run = tracker.start(name, tags=identity, parent=made.get(tags.get("above", "")))
        run.metrics({"accuracy": accuracy})
        run.end(status)
        time.sleep(0.002)
        made[name] = run.run_id
        return run.run_id

    make("first", "memo/a", Status.FINISHED, 0.25)
    make("second", "memo/a", Status.KILLED, 0.5)
    make("below", "memo/a", Status.FINISHED, 0.75, above="second")
    make("other", "b", Status.FAILED, 0.125)
    make("smoke", "b", Status.FINISHED, 1.0, **{"hardy.aside": "smoke"})
    return made


def test_the_last_run_of_each_spec(runs: dict[str, str], store: Path) -> None:
    assert local_store() == store
    last = last_runs(store)
    assert set(last) == {"memo/a", "b"}
    assert (last["memo/a"].run_id, last["memo/a"].status) == (runs["second"], "KILLED")
    assert dict(last["memo/a"].metrics) == {"accuracy": 0.5}
    assert (last["b"].run_id, last["b"].status) == (runs["other"], "FAILED")


def test_mlflow_says_the_same(runs: dict[str, str], store: Path) -> None:
    assert remote_last_runs() == last_runs(store)


def test_recent_runs_by_the_beginning_of_their_ids(runs: dict[str, str], store: Path) -> None:
    newest = [run for run, _, _ in recent_runs(store, "", 3)]
    assert newest == [runs["smoke"], runs["other"], runs["below"]]
    (found,) = recent_runs(store, runs["first"], 9)
    assert found == (runs["first"], "first", "FINISHED")


def test_no_store_and_a_broken_one(isolated_home: Path) -> None:
    assert local_store() is None
    assert remote_last_runs() == {}
    broken = isolated_home / "mlflow.db"
    broken.write_bytes(b"not a database, but long enough to be taken for one by its size")
    assert last_runs(broken) == {}
    assert recent_runs(broken, "", 5) == []


def test_a_server_is_no_local_store(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert local_store() is None
