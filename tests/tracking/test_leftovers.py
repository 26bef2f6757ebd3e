"""A process that was killed without a word leaves things; the next one finds and ends them."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hardy.cli.main import run as cli
from hardy.core.files import is_abandoned, write_whole
from hardy.core.processes import is_gone
from hardy.plan.tracker import Status
from hardy.tracking import leftovers as module
from hardy.tracking.heartbeat import HEARTBEAT_TAG, stamp
from hardy.tracking.leftovers import clean, leftovers, tidy
from hardy.tracking.mlflow_tracker import MlflowTracker
from hardy.tracking.recent import last_runs
from hardy.tracking.store import experiment_id, tracking_uri

ABSENT = 2**22 + 1  # above Linux's largest process id


def beat(age: float = 90, host: str = "", process: int = ABSENT) -> str:
    return f"{time.time() - age:.0f} {host or socket.gethostname()} {process}"


@pytest.fixture
def client(store: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    return MlflowClient(tracking_uri())


def running(client: MlflowClient, heartbeat: str | None) -> str:
    tags = {"hardy.spec": "quickstart", **({HEARTBEAT_TAG: heartbeat} if heartbeat else {})}
    made = client.create_run(experiment_id(client, "hardy"), tags=tags, run_name="unit")
    return str(made.info.run_id)


def status(client: MlflowClient, run_id: str) -> str:
    return str(client.get_run(run_id).info.status)


def test_a_process_that_is_gone() -> None:
    assert not is_gone(os.getpid(), time.time())
    assert is_gone(ABSENT, time.time())
    assert is_gone(os.getpid(), time.time() - 10**6)  # another one had the id then


def test_runs_of_dead_processes_of_this_machine_are_ended(client: MlflowClient) -> None:
    dead = running(client, beat())
    others = [
        running(client, stamp()),
        running(client, beat(age=0, process=os.getppid())),
        running(client, beat(age=0)),  # of another container, perhaps
        running(client, beat(age=0, host="elsewhere")),
        running(client, beat(host="elsewhere", age=4000)),
        running(client, None),  # a moment before its first heartbeat
    ]
    (line,) = tidy()
    assert line == (
        f"run {dead} (unit) is RUNNING, but its process {ABSENT} is gone: ended as KILLED"
    )
    record = client.get_run(dead)
    assert record.info.status == "KILLED"
    assert record.info.end_time < time.time() * 1000 - 15_000  # when it was last heard of
    assert "is gone" in record.data.tags["hardy.failure"]
    assert {status(client, run) for run in others} == {"RUNNING"}
    assert list(tidy()) == []


def test_a_run_that_was_ended_so_goes_on(client: MlflowClient) -> None:
    dead = running(client, beat())
    assert len(list(tidy())) == 1
    again = MlflowTracker().start("unit", tags={}, resume=dead)
    again.end(Status.FINISHED)
    record = client.get_run(dead)
    assert record.info.status == "FINISHED"
    assert "hardy.failure" not in record.data.tags


def test_a_run_that_another_process_goes_on_with_is_left_alone(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two starts after a kill: one ends what it listed while the other is at it again."""
    dead = running(client, beat())
    listed = leftovers()
    seen = []

    def update_run(self: MlflowClient, run_id: str, **given: object) -> None:
        seen.append(leftovers())
        return real(self, run_id, **given)

    real = MlflowClient.update_run
    monkeypatch.setattr(MlflowClient, "update_run", update_run)
    again = MlflowTracker().start("unit", tags={}, resume=dead)
    assert seen == [[]]  # it is never RUNNING with a dead process's heartbeat
    list(clean(listed))
    assert status(client, dead) == "RUNNING"
    again.end(Status.FINISHED)
    list(clean(listed))
    assert status(client, dead) == "FINISHED"


def test_doctor_lists_what_was_left_elsewhere_and_cleans_it_when_told(
    client: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = running(client, beat(host="elsewhere", age=3 * 3600))
    dead = running(client, beat(age=0))
    assert cli(["doctor"]) == 1
    shown = capsys.readouterr()
    assert f"process {ABSENT} of elsewhere was last heard of 3 hours ago" in shown.out
    assert dead in shown.out
    assert shown.err == "hint: hardy doctor --clean\n"
    assert status(client, silent) == "RUNNING"
    assert cli(["doctor", "--clean"]) == 0
    assert capsys.readouterr().out.count("ended as KILLED") == 2
    assert (status(client, silent), status(client, dead)) == ("KILLED", "KILLED")
    assert cli(["doctor"]) == 0
    assert capsys.readouterr().out == "nothing is left over\n"


def test_models_that_were_never_finished_are_deleted(client: MlflowClient) -> None:
    experiment = experiment_id(client, "hardy")
    own, dead, ready = (
        client.create_logged_model(experiment, name="model", tags={HEARTBEAT_TAG: tag}).model_id
        for tag in (stamp(), beat(), beat())
    )
    client.finalize_logged_model(ready, "READY")
    (line,) = tidy()
    assert line == f"model {dead} of run None is PENDING, but its process {ABSENT} is gone: deleted"
    left = {model.model_id for model in client.search_logged_models([experiment])}
    assert left == {own, ready}


def test_drafts_of_dead_processes_are_deleted(
    isolated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draft(path: Path) -> Path:
        """Be killed while a file is written."""
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", lambda *_, **__: None)
            patch.setattr(Path, "replace", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                write_whole(path, b"torn")
        (found,) = path.parent.glob(".*.tmp")
        return found

    state = isolated_home / ".hardy"
    mine = draft(state / "checkpoints" / "run.safetensors")
    assert not is_abandoned(mine)
    assert leftovers() == []
    dead = [
        draft(state / place / "file")
        for place in ("fitted/run", "fitted/run/weights", "cache/views")
    ]
    names = [path.with_name(path.name.replace(f"-{os.getpid()}-", f"-{ABSENT}-")) for path in dead]
    for path, name in zip(dead, names, strict=True):
        path.rename(name)
    assert list(tidy()) == []  # of another container, perhaps
    for name in names:
        os.utime(name, (time.time() - 90,) * 2)
    lines = list(tidy())
    assert len(lines) == 3
    assert all("4 bytes, was never completed: deleted" in line for line in lines)
    assert mine.exists()
    assert not any(name.exists() for name in names)
    old = state / "checkpoints" / ".run.safetensors.ab.tmp"  # of an earlier hardy
    old.write_bytes(b"")
    assert not is_abandoned(old)
    os.utime(old, (0, 0))
    assert is_abandoned(old)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_nothing_left_costs_no_mlflow(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "connect", lambda: pytest.fail("MLflow was met"))
    assert leftovers() == []
    store.unlink()
    assert leftovers() == []


def test_a_listing_says_that_a_process_is_gone(client: MlflowClient, store: Path) -> None:
    running(client, beat(age=0, process=os.getppid()))
    assert last_runs(store)["quickstart"].status == "RUNNING"
    time.sleep(0.002)
    running(client, beat(age=0))
    assert last_runs(store)["quickstart"].status == "STOPPED"
    time.sleep(0.002)
    running(client, beat(host="elsewhere", age=61))
    assert last_runs(store)["quickstart"].status == "STOPPED"


_KILLED = """
import os, signal
from pathlib import Path
from hardy.core import files
from hardy.core.paths import state_dir
from hardy.tracking.heartbeat import HEARTBEAT_TAG, stamp
from hardy.tracking.mlflow_tracker import MlflowTracker
tracker = MlflowTracker()
run = tracker.start("unit", tags={})
experiment = tracker._record(run.run_id).info.experiment_id
tracker._direct.create_logged_model(experiment, name="m", tags={HEARTBEAT_TAG: stamp()})
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
files.write_whole(state_dir() / "checkpoints" / "run.safetensors", b"torn")
"""


def test_all_that_a_killed_process_left_is_found(
    client: MlflowClient, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = subprocess.run([sys.executable, "-c", _KILLED], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    monkeypatch.setattr(module, "FRESH_SECONDS", -1)  # a stamp is in whole seconds, rounded
    monkeypatch.setattr("hardy.core.files._YOUNG_SECONDS", 0)
    lines = list(tidy())
    assert [line.split()[0] for line in lines] == ["file", "run", "model"]
    assert leftovers() == []
