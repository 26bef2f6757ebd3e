"""Reading the SQLite file gives what MLflow gives."""

import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hardy.plan.tracker import Status
from hardy.tracking import default_finder
from hardy.tracking.mlflow_tracker import MlflowTracker
from hardy.tracking.sqlite_finder import SqliteFinder
from hardy.tracking.store import tracking_uri
from tests.tracking.test_mlflow_tracker import live_elsewhere


def never() -> MlflowTracker:
    raise AssertionError


@pytest.fixture
def tracker(store: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowTracker:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    return MlflowTracker()


@pytest.fixture
def marks(tracker: MlflowTracker) -> list[str]:
    """Fill a store with runs of every status, several a fingerprint, some deleted or strange."""
    client = MlflowClient(tracking_uri())
    marks = [f"{number:032x}" for number in range(20)]
    dice = random.Random(0)
    statuses = [*Status, None]
    for number in range(40):
        tags = {"hardy.fingerprint": dice.choice(marks[:16]), "hardy.work": f"w{number % 3}"}
        run = MlflowTracker(dice.choice(["hardy", "other"])).start("unit", tags=tags)
        run.metrics({"seconds_per_sample": number / 10})
        status = dice.choice(statuses)
        run.end(status or Status.KILLED)
        if status is None:
            client.update_run(run.run_id, status="RUNNING")
            client.set_tag(run.run_id, "hardy.heartbeat", live_elsewhere())
        elif number % 7 == 0:
            client.delete_run(run.run_id)
        time.sleep(0.002)
    strange = client.create_run("0", tags={"hardy.fingerprint": marks[19]})
    client.set_terminated(strange.info.run_id)
    return marks


@pytest.mark.slow
def test_both_ways_find_the_same_runs(tracker, marks, store):
    light = SqliteFinder(store, never)
    one_by_one = {mark: run for mark in marks if (run := tracker.find(mark)) is not None}
    assert len(one_by_one) > 8
    assert {run.busy for run in one_by_one.values()} == {True, False}
    assert light.find_many(marks) == one_by_one
    assert tracker.find_many(marks) == one_by_one
    assert tracker.find_many(marks[:5]) == light.find_many(marks[:5])
    assert marks[19] not in one_by_one
    check_means(tracker, light)


def check_means(tracker, light):
    for label in ("w0", "w1", "none"):
        tags = {"hardy.work": label}
        found = tracker.mean("seconds_per_sample", tags)
        assert light.mean("seconds_per_sample", tags) == pytest.approx(found)
        assert (found is None) == (label == "none")
    assert tracker.mean("absent", {"hardy.work": "w0"}) is None
    assert light.mean("absent", {"hardy.work": "w0"}) is None


def test_a_mean_is_over_finished_runs_with_all_tags(tracker, store):
    for seconds, other, status in (
        (1.0, "a", Status.FINISHED),
        (2.0, "a", Status.FINISHED),
        (9.0, "b", Status.FINISHED),
        (9.0, "a", Status.FAILED),
    ):
        run = tracker.start("unit", tags={"hardy.work": "w", "hardy.model": other})
        run.metrics({"seconds_per_sample": seconds})
        run.end(status)
    wanted = {"hardy.work": "w", "hardy.model": "a"}
    for finder in (tracker, SqliteFinder(store, never)):
        assert finder.mean("seconds_per_sample", wanted) == (pytest.approx(1.5), 2)


def test_an_absent_store_holds_nothing_and_is_not_made(isolated_home):
    finder = SqliteFinder(isolated_home / "mlflow.db", never)
    assert finder.find_many(["a" * 32]) == {}
    assert finder.mean("x", {"a": "b"}) is None
    assert list(isolated_home.iterdir()) == []


def test_tables_it_does_not_know_are_left_to_mlflow(tracker, store):
    run = tracker.start("unit", tags={"hardy.fingerprint": "a" * 32})
    run.end(Status.FINISHED)
    strange = store.with_name("strange.db")
    with closing(sqlite3.connect(strange)) as connection:
        connection.execute("CREATE TABLE runs (id TEXT)")
    finder = SqliteFinder(strange, lambda: tracker)
    assert finder.find_many(["a" * 32])["a" * 32].run_id == run.run_id
    assert finder.mean("x", {"a": "b"}) is None


def test_a_remote_store_is_mlflow_s(monkeypatch):
    assert isinstance(default_finder(), SqliteFinder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert isinstance(default_finder(), MlflowTracker)


def test_looking_loads_no_mlflow(store):
    code = (
        "import sys; from hardy.tracking import default_finder;"
        "assert default_finder().find_many(['a' * 32]) == {};"
        "assert default_finder().mean('x', {'hardy.work': 'y'}) is None;"
        "assert not {'mlflow', 'torch', 'sqlalchemy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
