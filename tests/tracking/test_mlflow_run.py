import json
import math
import threading
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hardy.core.errors import TrackingError
from hardy.plan.tracker import Run, Status
from hardy.tracking import mlflow_run
from hardy.tracking.mlflow_run import MlflowRun, artifact_path
from hardy.tracking.mlflow_tracker import MlflowTracker
from hardy.tracking.store import tracking_uri

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def tracker() -> MlflowTracker:
    return MlflowTracker()


@pytest.fixture
def run(tracker: MlflowTracker):  # a generator
    started = tracker.start("unit", tags={"hardy.fingerprint": "f1"})
    yield started
    started.end(Status.FINISHED)


@pytest.fixture
def client() -> MlflowClient:
    return MlflowClient(tracking_uri())


def test_run_fits_the_protocol(run: MlflowRun) -> None:
    protocol: Run = run
    assert protocol.run_id


def test_params_are_yaml_scalars_and_the_first_value_stays(
    run: MlflowRun, client: MlflowClient
) -> None:
    run.params({"a.none": None, "a.yes": True, "a.rate": 1e-3, "a.name": "x"})
    run.params({"a.name": "y", "a.count": 3})
    expected = {
        "a.none": "null",
        "a.yes": "true",
        "a.rate": "0.001",
        "a.name": "x",
        "a.count": "3",
    }
    assert client.get_run(run.run_id).data.params == expected


def test_many_and_long_params(run: MlflowRun, client: MlflowClient) -> None:
    run.params({f"p{n}": n for n in range(250)} | {"long": "x" * 7000})
    params = client.get_run(run.run_id).data.params
    assert len(params) == 251
    assert params["long"] == "x" * 5999 + "…"


def test_param_that_is_no_scalar_is_refused(run: MlflowRun) -> None:
    with pytest.raises(TrackingError, match=r"'a\.list' is a list"):
        run.params({"a.list": [1, 2]})  # type: ignore[dict-item]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_metric_that_is_not_finite_is_refused_by_name(
    run: MlflowRun, client: MlflowClient, value: float
) -> None:
    with pytest.raises(TrackingError, match=r"'train/loss' is .* at step 7"):
        run.metrics({"accuracy": 0.5, "train/loss": value}, step=7)
    run.end(Status.FAILED)
    assert "accuracy" not in client.get_run(run.run_id).data.metrics


def test_metrics_are_buffered_until_full(run: MlflowRun, client: MlflowClient) -> None:
    for step in range(500):
        run.metrics({"loss": step}, step)
    assert client.get_metric_history(run.run_id, "loss") == []
    run.metrics({"loss": 500}, 500)
    assert len(client.get_metric_history(run.run_id, "loss")) == 501


def test_old_buffer_is_written(
    run: MlflowRun, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_run, "_FLUSH_SECONDS", 0.0)
    run.metrics({"loss": 1.0}, 3)
    (entry,) = client.get_metric_history(run.run_id, "loss")
    assert (entry.value, entry.step) == (1.0, 3)


def test_pulse_writes_the_buffer_and_the_heartbeat(
    tracker: MlflowTracker, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_run, "_BEAT_SECONDS", 0.01)
    monkeypatch.setattr(mlflow_run, "HEARTBEAT_SECONDS", 0.0)
    monkeypatch.setattr(mlflow_run, "stamp", lambda: "beaten")
    run = tracker.start("unit", tags={})
    client.set_tag(run.run_id, "hardy.heartbeat", "old")
    run.metrics({"loss": 1.0})
    monkeypatch.setattr(mlflow_run, "_FLUSH_SECONDS", 0.0)
    written = threading.Event()
    for _ in range(500):
        record = client.get_run(run.run_id).data
        if record.tags["hardy.heartbeat"] == "beaten" and "loss" in record.metrics:
            written.set()
            break
        threading.Event().wait(0.01)
    run.end(Status.FINISHED)
    assert written.is_set()


def test_metrics_survive_a_store_that_fails_for_a_while(
    run: MlflowRun, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        message = "the disk is full"
        raise OSError(message)

    monkeypatch.setattr(mlflow_run, "_FLUSH_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", refuse)
        with pytest.raises(TrackingError, match="the disk is full"):
            run.metrics({"loss": 1.0})
    run.end(Status.FINISHED)
    assert client.get_run(run.run_id).data.metrics["loss"] == 1.0


def test_end_is_written_once_and_leaves_no_thread(
    tracker: MlflowTracker, client: MlflowClient
) -> None:
    before = set(threading.enumerate())
    run = tracker.start("unit", tags={})
    assert set(threading.enumerate()) > before
    run.end(Status.KILLED, reason="stopped by SIGTERM")
    run.end(Status.FINISHED)
    record = client.get_run(run.run_id)
    assert record.info.status == "KILLED"
    assert record.info.end_time >= record.info.start_time
    assert record.data.tags["hardy.failure"] == "stopped by SIGTERM"
    assert set(threading.enumerate()) == before


def test_end_that_failed_may_be_called_again(
    run: MlflowRun, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", refuse)
        with pytest.raises(TrackingError, match="ConnectionRefusedError"):
            run.end(Status.FINISHED)
    run.end(Status.FINISHED)
    assert client.get_run(run.run_id).info.status == "FINISHED"


def test_short_run_holds_system_metrics_and_a_resumed_one_goes_on(
    tracker: MlflowTracker, client: MlflowClient
) -> None:
    name = "system/cpu_utilization_percentage"
    run = tracker.start("unit", tags={})
    run.end(Status.FAILED)
    tracker.start("unit", tags={}, resume=run.run_id).end(Status.FINISHED)
    assert [m.step for m in client.get_metric_history(run.run_id, name)] == [0, 1]


def test_system_metrics_can_be_turned_off(
    tracker: MlflowTracker, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    run = tracker.start("unit", tags={})
    run.end(Status.FINISHED)
    assert client.get_run(run.run_id).data.metrics == {}


def test_artifacts_come_back(run: MlflowRun, tracker: MlflowTracker, tmp_path: Path) -> None:
    file = tmp_path / "records.parquet"
    file.write_bytes(bytes(range(256)))
    run.artifact(file, "records.parquet")
    run.artifact(file, "epochs/3/weights.safetensors")
    run.text("état: ok\n", "notes/état.txt")
    assert tracker.artifact(run.run_id, "records.parquet").read_bytes() == file.read_bytes()
    renamed = tracker.artifact(run.run_id, "epochs/3/weights.safetensors")
    assert renamed.read_bytes() == file.read_bytes()
    assert tracker.artifact(run.run_id, "notes/état.txt").read_text("utf-8") == "état: ok\n"


def test_broken_copy_leaves_no_artifact(
    run: MlflowRun, tracker: MlflowTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(source: object, target, length: int = 0) -> None:
        target.write(b"half")
        message = "No space left on device"
        raise OSError(message)

    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"whole")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfileobj", half)
        with pytest.raises(TrackingError, match="the disk is full"):
            run.artifact(file, "weights.safetensors")
    with pytest.raises(TrackingError, match="no artifact file"):
        tracker.artifact(run.run_id, "weights.safetensors")


def test_absent_file_is_named(run: MlflowRun, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"absent\.bin"):
        run.artifact(tmp_path / "absent.bin", "absent.bin")


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a\\b", "C:/x"])
def test_artifact_path_that_leads_out_is_refused(path: str) -> None:
    with pytest.raises(TrackingError, match="artifact's path"):
        artifact_path(path)


def test_dataset_is_linked_by_digest(run: MlflowRun, client: MlflowClient) -> None:
    run.dataset("imagenet-sample", "0" * 32, {"kind": "package", "name": "foolbox"}, "eval")
    (linked,) = client.get_run(run.run_id).inputs.dataset_inputs
    assert (linked.dataset.name, linked.dataset.digest) == ("imagenet-sample", "0" * 32)
    assert json.loads(linked.dataset.source) == {"tags": {"kind": "package", "name": "foolbox"}}
    assert [(tag.key, tag.value) for tag in linked.tags] == [("mlflow.data.context", "eval")]


def test_digest_that_mlflow_would_cut_is_refused(run: MlflowRun) -> None:
    with pytest.raises(TrackingError, match="37 characters"):
        run.dataset("d", "0" * 37, {}, "eval")


def test_long_note_ends_with_a_line(run: MlflowRun, client: MlflowClient) -> None:
    run.note("| a | b |\n" * 1000)
    note = client.get_run(run.run_id).data.tags["mlflow.note.content"]
    assert len(note) <= 8000
    assert note.endswith("| a | b |\n…")
