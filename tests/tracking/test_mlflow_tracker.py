import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import FileInfo, Run
from mlflow.exceptions import MlflowException

from hardy.core.errors import ArtifactAbsent, SpecError, TrackingError
from hardy.plan.tracker import Status, Tracker
from hardy.tracking.mlflow_tracker import MlflowTracker
from hardy.tracking.store import tracking_uri

FINGERPRINT = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def tracker(store: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowTracker:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    return MlflowTracker()


@pytest.fixture
def client(store: Path) -> MlflowClient:
    return MlflowClient(tracking_uri())


def past(tracker: MlflowTracker, status: Status, tags: Mapping[str, str] | None = None) -> str:
    run = tracker.start("unit", tags={"hardy.fingerprint": FINGERPRINT, **(tags or {})})
    run.end(status)
    time.sleep(0.002)  # start times are in milliseconds
    return run.run_id


def live_elsewhere() -> str:
    return f"{time.time():.0f} {socket.gethostname()} {os.getppid()}"


def test_tracker_fits_the_protocol(tracker: MlflowTracker) -> None:
    protocol: Tracker = tracker
    assert protocol.find(FINGERPRINT) is None


def test_looking_into_a_store_that_is_not_there_makes_none(isolated_home: Path) -> None:
    assert MlflowTracker().find(FINGERPRINT) is None
    assert list(isolated_home.iterdir()) == []


def test_find_prefers_the_newest_finished_run(tracker: MlflowTracker) -> None:
    failed = past(tracker, Status.FAILED)
    found = tracker.find(FINGERPRINT)
    assert found is not None
    assert (found.run_id, found.finished, found.busy) == (failed, False, False)
    past(tracker, Status.FINISHED)
    newest = past(tracker, Status.FINISHED)
    past(tracker, Status.KILLED)
    found = tracker.find(FINGERPRINT)
    assert found is not None
    assert (found.run_id, found.finished, found.name) == (newest, True, "unit")
    assert tracker.find("f" * 32) is None


def test_find_prefers_a_busy_run_to_a_newer_failed_one(
    tracker: MlflowTracker, client: MlflowClient
) -> None:
    run = tracker.start("unit", tags={"hardy.fingerprint": FINGERPRINT})
    time.sleep(0.002)
    past(tracker, Status.FAILED)
    client.set_tag(run.run_id, "hardy.heartbeat", live_elsewhere())
    found = tracker.find(FINGERPRINT)
    run.end(Status.FINISHED)
    assert found is not None
    assert (found.run_id, found.busy) == (run.run_id, True)


def test_find_looks_into_every_hardy_experiment_and_no_other(
    tracker: MlflowTracker, client: MlflowClient
) -> None:
    strange = client.create_run("0", tags={"hardy.fingerprint": FINGERPRINT})
    client.set_terminated(strange.info.run_id)
    assert tracker.find(FINGERPRINT) is None
    elsewhere = past(MlflowTracker("other"), Status.FINISHED)
    found = tracker.find(FINGERPRINT)
    assert found is not None
    assert found.run_id == elsewhere


def test_fingerprint_cannot_carry_a_filter(tracker: MlflowTracker) -> None:
    with pytest.raises(SpecError, match="fingerprint"):
        tracker.find("x' OR tags.a = 'b")


def test_start_says_where_the_run_comes_from(tracker: MlflowTracker) -> None:
    run_id = past(tracker, Status.FINISHED, {"hardy.method": "memo"})
    tags = tracker.get(run_id).tags
    assert tags["hardy.method"] == "memo"
    assert tags["hardy.version"] == "0.1.0"
    assert tags["mlflow.user"]
    kept = json.loads(tracker.artifact(run_id, "environment.json").read_text())
    assert kept["packages"]["torch"]


def test_child_lies_under_its_parent_and_repeats_its_identity(
    tracker: MlflowTracker, client: MlflowClient
) -> None:
    tags = {"hardy.suite": "s", "hardy.kind": "suite", "hardy.fingerprint": "parent"}
    parent = MlflowTracker("other").start("suite", tags=tags)
    child = tracker.start("unit", tags={"hardy.kind": "unit"}, parent=parent.run_id)
    child.end(Status.FINISHED)
    parent.end(Status.FINISHED)
    record = client.get_run(child.run_id)
    assert record.data.tags["mlflow.parentRunId"] == parent.run_id
    assert record.data.tags["hardy.suite"] == "s"
    assert record.data.tags["hardy.kind"] == "unit"
    assert "hardy.fingerprint" not in record.data.tags
    assert record.info.experiment_id == client.get_run(parent.run_id).info.experiment_id


def test_resume_goes_on_in_the_same_run(tracker: MlflowTracker, client: MlflowClient) -> None:
    first = tracker.start("unit", tags={"hardy.fingerprint": FINGERPRINT})
    first.params({"seed": 0})
    first.end(Status.FAILED, reason="no memory")
    second = tracker.start("unit", tags={}, resume=first.run_id)
    assert client.get_run(first.run_id).info.status == "RUNNING"
    second.params({"seed": 1, "more": 2})
    second.end(Status.FINISHED)
    record = client.get_run(first.run_id)
    assert record.info.status == "FINISHED"
    assert record.data.params == {"seed": "0", "more": "2"}
    assert "hardy.failure" not in record.data.tags


def test_busy_run_is_not_resumed(tracker: MlflowTracker, client: MlflowClient) -> None:
    run = tracker.start("unit", tags={})
    client.set_tag(run.run_id, "hardy.heartbeat", live_elsewhere())
    with pytest.raises(TrackingError, match="another process"):
        tracker.start("unit", tags={}, resume=run.run_id)
    run.end(Status.FINISHED)


def test_run_that_is_not_there(tracker: MlflowTracker) -> None:
    for ask in (tracker.get, tracker.link, lambda run_id: tracker.artifact(run_id, "a")):
        with pytest.raises(TrackingError, match="absent") as caught:
            ask("absent")
        assert "Check the run's id" in caught.value.hint


def test_run_made_by_mlflow_run_is_joined_once(
    tracker: MlflowTracker, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = client.create_run("0", tags={"mlflow.source.name": "project"})
    client.log_param(made.info.run_id, "spec", "experiments/a.yaml")
    monkeypatch.setenv("MLFLOW_RUN_ID", made.info.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")

    parent = tracker.start("suite", tags={"hardy.fingerprint": FINGERPRINT})
    parent.params({"spec": "another", "seed": 0})
    child = tracker.start("unit", tags={}, parent=parent.run_id)
    # A second top-level run, even by a tracker of its own, is a new one.
    second = MlflowTracker().start("second", tags={})
    for run in (second, child, parent):
        run.end(Status.FINISHED)

    assert parent.run_id == made.info.run_id
    joined = client.get_run(parent.run_id)
    assert joined.data.params == {"spec": "experiments/a.yaml", "seed": "0"}
    assert joined.data.tags["mlflow.source.name"] == "project"
    assert joined.info.run_name == "suite"
    assert client.get_run(child.run_id).info.experiment_id == "0"
    assert client.get_run(second.run_id).info.experiment_id == "0"
    assert len({parent.run_id, child.run_id, second.run_id}) == 3
    found = tracker.find(FINGERPRINT)
    assert found is not None
    assert found.run_id == parent.run_id


def test_name_that_the_user_gave_to_mlflow_run_stays(
    tracker: MlflowTracker, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = client.create_run("0", run_name="my own name")
    monkeypatch.setenv("MLFLOW_RUN_ID", made.info.run_id)
    tracker.start("unit", tags={}).end(Status.FINISHED)
    assert client.get_run(made.info.run_id).info.run_name == "my own name"


def test_run_that_cannot_be_begun_is_failed(
    tracker: MlflowTracker, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        message = "no room for artifacts"
        raise OSError(message)

    monkeypatch.setattr(MlflowClient, "log_stream", refuse)
    with pytest.raises(TrackingError, match="no room"):
        tracker.start("unit", tags={"hardy.fingerprint": FINGERPRINT})
    found = tracker.find(FINGERPRINT)
    assert found is not None
    assert client.get_run(found.run_id).info.status == "FAILED"
    assert "no room" in found.tags["hardy.failure"]


def test_artifact_does_not_leave_the_run(tracker: MlflowTracker) -> None:
    run_id = past(tracker, Status.FINISHED)
    with pytest.raises(TrackingError, match="artifact's path"):
        tracker.artifact(run_id, "../../../mlflow.db")


class Server:
    """Gives a run's files as a server would: by download alone."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.asked = files, []

    def __call__(self, run_id: str, path: str, folder: str) -> str:
        self.asked.append(path)
        if path not in self.files:
            message = f"no such artifact: {path}"
            raise MlflowException(message)
        file = Path(folder) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.files[path])
        return str(file)


@pytest.fixture
def server(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server({"weights/w.safetensors": b"one", "other/w.safetensors": b"two"})
    monkeypatch.setattr(MlflowClient, "download_artifacts", lambda _, *given: made(*given))
    real = MlflowTracker._record

    def elsewhere(tracker: MlflowTracker, run_id: str) -> Run:
        record = real(tracker, run_id)
        record.info._artifact_uri = f"mlflow-artifacts:/0/{run_id}/artifacts"
        return record

    monkeypatch.setattr(MlflowTracker, "_record", elsewhere)
    return made


def test_a_finished_runs_files_are_fetched_once(tracker: MlflowTracker, server: Server) -> None:
    run_id = past(tracker, Status.FINISHED)
    for _ in range(2):
        found = tracker.artifact(run_id, "weights/w.safetensors")
        assert found.read_bytes() == b"one"
        assert found.name.endswith(".w.safetensors")
        assert tracker.artifact(run_id, "other/w.safetensors").read_bytes() == b"two"
    assert server.asked == ["weights/w.safetensors", "other/w.safetensors"]
    other = past(tracker, Status.FINISHED)
    assert tracker.artifact(other, "weights/w.safetensors") != found
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [Status.FAILED, Status.KILLED])
def test_a_run_that_may_go_on_is_asked_anew(
    tracker: MlflowTracker, server: Server, status: Status
) -> None:
    run_id = past(tracker, status)
    before = tracker.artifact(run_id, "weights/w.safetensors")
    server.files["weights/w.safetensors"] = b"later"
    assert tracker.artifact(run_id, "weights/w.safetensors").read_bytes() == b"later"
    assert before.read_bytes() == b"one"


def test_a_file_that_the_server_lacks(tracker: MlflowTracker, server: Server) -> None:
    run_id = past(tracker, Status.FINISHED)
    with pytest.raises(ArtifactAbsent, match=r"no artifact file absent\.bin"):
        tracker.artifact(run_id, "absent.bin")
    server.files["absent.bin"] = b"there"
    assert tracker.artifact(run_id, "absent.bin").read_bytes() == b"there"


@pytest.mark.parametrize("listed", [False, True])
def test_a_server_that_is_down_is_told_from_a_file_that_it_lacks(
    tracker: MlflowTracker, server: Server, monkeypatch: pytest.MonkeyPatch, *, listed: bool
) -> None:
    def listing(client: MlflowClient, run_id: str, folder: str) -> list[FileInfo]:
        if listed:  # it is there, and was not handed out
            return [FileInfo(f"{folder}/m.json", is_dir=False, file_size=1)]
        message = "connection refused"
        raise MlflowException(message)

    monkeypatch.setattr(MlflowClient, "list_artifacts", listing)
    with pytest.raises(TrackingError) as found:
        tracker.artifact(past(tracker, Status.FINISHED), "weights/m.json")
    assert not isinstance(found.value, ArtifactAbsent)
    assert ("no such artifact" if listed else "connection refused") in found.value.message


def test_link_names_the_verb_and_the_page(tracker: MlflowTracker) -> None:
    run_id = past(tracker, Status.FINISHED)
    link = tracker.link(run_id)
    assert link.startswith("hardy ui")
    assert link.endswith(f"/runs/{run_id}")


def test_nothing_is_printed(tracker: MlflowTracker, capfd: pytest.CaptureFixture[str]) -> None:
    past(tracker, Status.FINISHED)
    assert capfd.readouterr() == ("", "")
