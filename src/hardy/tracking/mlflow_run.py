"""One MLflow run that is being written."""

import io
import json
import math
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities import Run as RunRecord

from hardy.core.errors import TrackingError
from hardy.plan.tracker import FAILURE_TAG, Scalar, Status
from hardy.tracking.heartbeat import HEARTBEAT_SECONDS, HEARTBEAT_TAG, Heartbeat, stamp
from hardy.tracking.patience import Patience
from hardy.tracking.store import translated
from hardy.tracking.system import SystemSampler

T = TypeVar("T")

_FLUSH_ENTRIES = 500
_FLUSH_SECONDS = 10.0
_BEAT_SECONDS = 5.0
# MLflow's limits: a longer value is refused, or cut without a word.
_PARAMS_A_BATCH = 100
_METRICS_A_BATCH = 1000
_PARAM_CHARACTERS = 6000
_TAG_CHARACTERS = 8000
_DIGEST_CHARACTERS = 36


class MlflowRun:
    """A run that is being written: see `hardy.plan.tracker.Run` for what each method promises.

    Args:
        client: A client of the run's store.
        patience: Waits for the store's server where that goes away.
        record: The run as the store knows it, RUNNING.
        resumed: Whether it was begun before; system metrics then go on after their last step.
    """

    def __init__(
        self, client: MlflowClient, patience: Patience, record: RunRecord, *, resumed: bool
    ) -> None:
        self._direct = client
        self._patience = patience
        self._client = patience.around(client)
        self._run_id = str(record.info.run_id)
        self._uri = str(client.tracking_uri)
        self._logged = set(record.data.params)
        self._buffer: list[Metric] = []
        # The heartbeat and the run's own thread take turns at writing; the buffer's own lock is
        # held for no longer than a list takes, whatever the store does meanwhile.
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._last_flush = self._last_beat = time.monotonic()
        self._ended = False
        with translated(self._uri):
            self._client.set_tag(self._run_id, HEARTBEAT_TAG, stamp())
            self._system = SystemSampler(self._run_id, self._uri, resumed=resumed)
        self._heartbeat = Heartbeat(self._beat, _BEAT_SECONDS)
        self._heartbeat.start()

    @property
    def run_id(self) -> str:
        """The store's id."""
        return self._run_id

    def params(self, values: Mapping[str, Scalar]) -> None:
        """Log parameters, written as YAML would; a value logged before is left as it is."""
        new = [
            Param(key, _cut(_scalar_text(key, value), _PARAM_CHARACTERS))
            for key, value in values.items()
            if key not in self._logged
        ]
        with translated(self._uri):
            for batch in _batches(new, _PARAMS_A_BATCH):
                self._client.log_batch(self._run_id, params=batch)
        self._logged.update(values)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags; a value over MLflow's 8,000 characters ends in an ellipsis."""
        tags = [RunTag(key, _cut(value, _TAG_CHARACTERS)) for key, value in values.items()]
        with translated(self._uri):
            for batch in _batches(tags, _PARAMS_A_BATCH):
                self._client.log_batch(self._run_id, tags=batch)

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Buffer metrics; they are written at 500 entries, after 10 s, or at the end.

        While a server does not answer they stay in the buffer, and nothing waits for it.
        """
        for name, value in values.items():
            _check_finite(name, value, step)
        now = int(time.time() * 1000)
        with self._lock:
            self._buffer += [Metric(n, float(v), now, step) for n, v in values.items()]
            full = len(self._buffer) > _FLUSH_ENTRIES
        self._patience.check()
        if full or self._flush_is_due():
            self.flush(wait=False)

    def last_step(self, metric: str) -> int:
        """Return the last step at which the store has a metric; 0 where it has none."""
        with translated(self._uri):
            history = self._client.get_metric_history(self._run_id, metric)
        return max((int(point.step) for point in history), default=0)

    def dataset(self, name: str, digest: str, source: Mapping[str, Any], context: str) -> None:
        """Link the run to the data it saw, by name and digest; no pixel is read."""
        if len(digest) > _DIGEST_CHARACTERS:
            message = f"dataset {name!r}: the digest has {len(digest)} characters"
            raise TrackingError(message, hint=f"MLflow takes {_DIGEST_CHARACTERS} at most.")
        origin = CodeDatasetSource(dict(source))
        entity = Dataset(name, digest, origin._get_source_type(), origin.to_json())
        linked = DatasetInput(entity, [InputTag("mlflow.data.context", context)])
        with translated(self._uri):
            self._client.log_inputs(self._run_id, [linked])

    def text(self, content: str, path: str) -> None:
        """Write a text artifact in UTF-8."""
        with translated(self._uri):
            stream = io.BytesIO(content.encode())
            self._client.log_stream(self._run_id, stream, artifact_path(path))

    def artifact(self, file: Path, path: str) -> None:
        """Copy a finished local file to the artifact `path`."""
        target = PurePosixPath(artifact_path(path))
        if not file.is_file():
            message = f"artifact {path}: there is no file {file}"
            raise TrackingError(message, hint="Write the file before it is logged.")
        folder = str(target.parent) if target.parent.name else None
        with translated(self._uri):
            # MLflow's local store writes beside the target and renames: whole or absent.
            if file.name == target.name:
                self._client.log_artifact(self._run_id, str(file), folder)
            else:
                with file.open("rb") as stream:
                    self._client.log_stream(self._run_id, stream, str(target))

    def note(self, markdown: str) -> None:
        """Set the description that the UI shows, cut at a line's end if it is too long."""
        if len(markdown) > _TAG_CHARACTERS:
            markdown = markdown[: _TAG_CHARACTERS - 2].rpartition("\n")[0] + "\n…"
        self.tags({"mlflow.note.content": markdown})

    def end(self, status: Status, reason: str = "") -> None:
        """Stop the threads, flush, and end the run; a second call does nothing.

        If the store fails, the threads are stopped all the same, and `end` may be called again.
        """
        if self._ended:
            return
        if status == Status.KILLED and reason:  # a pruned one's process goes on
            self._patience.hurry()
        self._heartbeat.stop()
        with translated(self._uri):
            self._patience(self._system.stop)
            self.flush()
            if reason:
                self.tags({FAILURE_TAG: reason})
            self._client.set_terminated(self._run_id, status.value)
        self._ended = True

    def _beat(self) -> None:
        if self._flush_is_due():
            with translated(self._uri):
                self._patience.once(self._write)
        if time.monotonic() - self._last_beat >= HEARTBEAT_SECONDS:
            self._last_beat = time.monotonic()
            beat = partial(self._direct.set_tag, self._run_id, HEARTBEAT_TAG, stamp())
            with translated(self._uri):
                answered, _ = self._patience.once(beat)
            if answered:
                self._system.keep_on()

    def _flush_is_due(self) -> bool:
        return time.monotonic() - self._last_flush >= _FLUSH_SECONDS

    def flush(self, *, wait: bool = True) -> bool:
        """Write the buffer; what the store did not take stays for the next attempt.

        Args:
            wait: Whether to wait for a server that does not answer.

        Returns:
            Whether the store has it all.
        """
        if not wait and self._patience.away:
            return False  # the heartbeat asks whether it is back
        with translated(self._uri):
            if not wait:
                return self._patience.meanwhile(self._write)
            self._patience(self._write)
            return True

    def _write(self) -> None:
        with self._writing:
            self._last_flush = time.monotonic()
            while batch := self._buffer[:_METRICS_A_BATCH]:
                self._direct.log_batch(self._run_id, metrics=batch)
                with self._lock:
                    del self._buffer[: len(batch)]


def artifact_path(path: str) -> str:
    """Return a relative path with forward slashes, unchanged.

    Raises:
        TrackingError: If it is empty, absolute, or leads out of the run's folder.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or ":" in path:
        message = f"{path!r} cannot be an artifact's path"
        raise TrackingError(message, hint="Use a relative path with forward slashes.")
    return path


def _check_finite(name: str, value: float, step: int) -> None:
    if not math.isfinite(value):
        message = f"metric {name!r} is {value} at step {step}"
        hint = "Lower the learning rate, or look at the samples before that step."
        raise TrackingError(message, hint=hint)


def _scalar_text(key: str, value: Scalar) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    message = f"parameter {key!r} is a {type(value).__name__}, not a scalar"
    raise TrackingError(message, hint="Log each leaf under its own dotted key.")


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _batches(entries: list[T], size: int) -> list[list[T]]:
    return [entries[start : start + size] for start in range(0, len(entries), size)]
