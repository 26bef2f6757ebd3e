"""Where a training stands after its last whole epoch, on disk, so that a killed run goes on there.

One safetensors file a run: the tensors, and the scalars as JSON in its header. It is whole or
absent: a temporary file beside it, fsync, rename.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hardy.core.errors import TrackingError
from hardy.core.files import write_whole
from hardy.core.paths import safe_name, state_dir

Measures = dict[str, float]

_HEADER = "hardy"
_STATE, _BEST = "state.", "best."


@dataclass(frozen=True)
class TrainState:
    """Where a training stands.

    Attributes:
        epochs: The measures of each epoch so far.
        learner: Its state after the last of them.
        best: The network's tensors after the best epoch; empty before the first.
    """

    epochs: tuple[Measures, ...] = ()
    learner: Mapping[str, Tensor] = field(default_factory=dict)
    best: Mapping[str, Tensor] = field(default_factory=dict)


class Checkpoint:
    """A run's file under `<home>/.hardy/checkpoints`.

    Args:
        run_id: The MLflow run; names the file.
        fingerprint: The unit's; a checkpoint of another fingerprint is refused.
    """

    def __init__(self, run_id: str, fingerprint: str) -> None:
        self.path = _path(run_id)
        self._fingerprint = fingerprint

    def load(self) -> TrainState:
        """Return where the training stands: at its beginning if there is no file.

        Raises:
            TrackingError: If the file is damaged or belongs to another unit.
        """
        if not self.path.exists():
            return TrainState()
        try:
            with safe_open(self.path, framework="pt") as file:
                header = json.loads(file.metadata()[_HEADER])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            message = f"checkpoint {self.path} is damaged: {error}"
            raise TrackingError(message, hint="Delete the file; the unit starts anew.") from error
        if header["fingerprint"] != self._fingerprint:
            message = f"checkpoint {self.path} belongs to another unit"
            raise TrackingError(message, hint="Delete the file; the unit starts anew.")
        return TrainState(tuple(header["epochs"]), _below(tensors, _STATE), _below(tensors, _BEST))

    def save(self, state: TrainState) -> None:
        """Replace the file."""
        header = {"fingerprint": self._fingerprint, "epochs": state.epochs}
        tensors = {f"{_STATE}{name}": tensor for name, tensor in state.learner.items()}
        tensors |= {f"{_BEST}{name}": tensor for name, tensor in state.best.items()}
        # Python writes floats so that they read back bit for bit.
        write_whole(self.path, save(tensors, {_HEADER: json.dumps(header)}))

    def discard(self) -> None:
        """Delete the file, once the weights are safe in a finished run."""
        self.path.unlink(missing_ok=True)


def _path(run_id: str) -> Path:
    return state_dir() / "checkpoints" / f"{safe_name(run_id, what='run id')}.safetensors"


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
