"""Where a training stands, on disk, so that a killed run goes on there.

Two safetensors files a run, each whole or absent (a temporary file beside it, fsync, rename): the
state after some step, with the scalars as JSON in its header; and the learner of the best epoch so
far, with the epoch in its name: written before the state that counts it, and deleted after the
state that counts another.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hardy.core.disk import way_out
from hardy.core.errors import TrackingError
from hardy.core.files import write_whole
from hardy.core.paths import safe_name, state_dir

Measures = dict[str, float]

_HEADER = "hardy"
# Of the layout of the header and of the tensors' names.
_FORMAT = 3


@dataclass(frozen=True)
class Progress:
    """How far an epoch has come.

    Attributes:
        batches: Batches that are done.
        samples: Samples in them.
        sums: Of the losses and of what else is logged, each times the samples of its batch.
        steps: Steps that were taken: in 16-mixed, those without an overflow.
        norms: Sum of the norms of their gradients.
        rate: Learning rate of the last step.
        seconds: Time that it took.
        waited: Seconds of it that were spent waiting for samples.
    """

    batches: int = 0
    samples: int = 0
    sums: Measures = field(default_factory=dict)
    steps: int = 0
    norms: float = 0.0
    rate: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0


@dataclass(frozen=True)
class TrainState:
    """Where a training stands.

    Attributes:
        epochs: The measures of each whole epoch.
        step: Steps of the optimizers so far.
        best: The epoch that did best so far, counted from 1; 0 before the first.
        progress: Of the epoch after the last whole one.
        parts: States of schedulers, optimizers' groups and the scaler: a JSON value.
        tensors: States of the learner, its optimizers and the mean of its weights, by name.
    """

    epochs: tuple[Measures, ...] = ()
    step: int = 0
    best: int = 0
    progress: Progress = Progress()
    parts: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


class Checkpoint:
    """A run's files under `<home>/.hardy/checkpoints`.

    Args:
        run_id: The MLflow run; names the files.
        fingerprint: The unit's; a checkpoint of another fingerprint is refused.
    """

    def __init__(self, run_id: str, fingerprint: str) -> None:
        folder = state_dir() / "checkpoints"
        self.path = folder / f"{safe_name(run_id, what='run id')}.safetensors"
        self._fingerprint = fingerprint

    def load(self) -> TrainState:
        """Return where the training stands: at its beginning if there is no file.

        Raises:
            TrackingError: If the file is damaged or belongs to another unit.
        """
        if not self.path.exists():
            return TrainState()
        header, tensors = self._read(self.path)
        state = {key: header[key] for key in ("step", "best", "parts")}
        epochs, progress = tuple(header["epochs"]), Progress(**header["progress"])
        return TrainState(**state, epochs=epochs, progress=progress, tensors=tensors)

    def save(self, state: TrainState) -> None:
        """Replace the state, and delete the learners of epochs that it does not call the best.

        Raises:
            TrackingError: If the disk does not take it; the one before it stays.
        """
        header = asdict(replace(state, tensors={}))
        del header["tensors"]
        self._write(self.path, header, state.tensors)
        self._keep_only(self.path, self._best(state.best))

    def best(self, epoch: int) -> dict[str, Tensor]:
        """Return the learner's state of the best epoch.

        Raises:
            TrackingError: If the file is absent, damaged or belongs to another unit.
        """
        return self._read(self._best(epoch))[1]

    def save_best(self, epoch: int, learner: Mapping[str, Tensor]) -> None:
        """Keep the learner's state of an epoch that the next state calls the best.

        Raises:
            TrackingError: If the disk does not take it.
        """
        self._write(self._best(epoch), {}, learner)

    def discard(self) -> None:
        """Delete the files, once the weights are safe in a finished run."""
        self._keep_only()

    def _best(self, epoch: int) -> Path:
        return self.path.with_suffix(f".best-{epoch}.safetensors")

    def _keep_only(self, *wanted: Path) -> None:
        """Delete the run's other files, and what killed processes left of them."""
        folder, run = self.path.parent, self.path.stem
        there = [*folder.glob(f"{run}.*"), *folder.glob(f".{run}.*.tmp")]
        for path in set(there) - set(wanted):
            path.unlink(missing_ok=True)

    def _write(self, path: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        # Python writes floats so that they read back bit for bit.
        about = json.dumps({"format": _FORMAT, "fingerprint": self._fingerprint, **header})
        with room_for(path):
            write_whole(path, save(dict(tensors), {_HEADER: about}))

    def _read(self, path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads(file.metadata()[_HEADER])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise _refused(path, f"is damaged: {error}") from error
        if header["fingerprint"] != self._fingerprint:
            raise _refused(path, "belongs to another unit")
        if header.get("format") != _FORMAT:
            raise _refused(path, "was written by another version of hardy")
        return header, tensors


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Say of a file that cannot be written, such as for want of room, what to do about it.

    Raises:
        TrackingError: In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}"
        raise TrackingError(message, hint=way_out(path.parent)) from error


def _refused(path: Path, why: str) -> TrackingError:
    return TrackingError(f"checkpoint {path} {why}", hint="Delete the file; the unit starts anew.")
