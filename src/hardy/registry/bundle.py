"""What a registered version is made of: weights, a card that says what they are, the evidence.

weights.safetensors   every tensor of the source network, buffers included
model.json            the card: architecture, method, task, names, transform, digests
evidence.parquet      the per-sample records that the version is judged by
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field, ValidationError, model_validator
from safetensors.torch import save
from torch import nn

from hardy._version import __version__
from hardy.core.errors import RegistryError
from hardy.core.files import write_whole
from hardy.core.hashing import digest, file_sha256
from hardy.core.spec import Spec
from hardy.data.preprocess import Preprocess
from hardy.measure.records import write_parquet
from hardy.methods import MethodSpec
from hardy.models.spec import ModelSpec
from hardy.models.state import bare
from hardy.spec.experiment import PLAIN_TASK
from hardy.tasks import TaskSpec
from hardy.tasks.base import Task
from hardy.tasks.build import build_task

WEIGHTS, CARD, EVIDENCE = "weights.safetensors", "model.json", "evidence.parquet"


class Card(Spec):
    """All that is needed, beside the weights, to build the model anew and to say what it is."""

    format: Annotated[Literal[2], Field(description="Version of this file's layout.")] = 2
    experiment: Annotated[str, Field(description="Experiment that the version comes from.")]
    model: ModelSpec
    method: MethodSpec
    main: Annotated[str, Field(description="Answer of the records that the version is judged by.")]
    # The first task was the only one when cards had format 1.
    task: Annotated[TaskSpec, Field(description="What an answer is.")] = PLAIN_TASK
    names: Annotated[
        tuple[str, ...], Field(description="Names of the classes, or of a mask's, in their order.")
    ]
    void: Annotated[
        int | None, Field(description="Label of pixels that count for nothing; none: all count.")
    ] = None
    model_indices: Annotated[
        tuple[int, ...] | None, Field(description="For each class, its index among the outputs.")
    ]
    class_texts: Annotated[
        tuple[str, ...] | None,
        Field(description="What an image-text model calls the classes; None for other models."),
    ] = None
    preprocess: Preprocess
    seed: Annotated[int, Field(ge=0, description="Seed of the experiment.")]
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    hardy_version: str = __version__
    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    data_digests: Annotated[tuple[str, ...], Field(description="Digests of the samples.")]
    fingerprints: Annotated[tuple[str, ...], Field(description="Of the runs it is judged by.")]

    @model_validator(mode="before")
    @classmethod
    def _of_format_1(cls, values: Any) -> Any:  # noqa: ANN401 - not validated yet
        """Read the layout that had `classes` where `task` and `names` are now."""
        if not isinstance(values, dict) or values.get("format") != 1:
            return values
        renamed = {"classes": "names"}
        return {renamed.get(key, key): v for key, v in values.items() if key != "format"}

    def build_task(self) -> Task:
        """Return the task with the version's names."""
        return build_task(self.task, self.names, self.void)

    @property
    def fingerprint(self) -> str:
        """Digest of the runs' fingerprints, whatever their order: what a version is known by."""
        return joint_fingerprint(self.fingerprints)

    @property
    def data_digest(self) -> str:
        """The samples' digest; one digest over all of them where the runs saw several sets."""
        only, *more = self.data_digests
        return digest(list(self.data_digests)) if more else only


def joint_fingerprint(fingerprints: Sequence[str]) -> str:
    """Return what a version is known by: a digest of its runs' fingerprints in sorted order."""
    return digest(["version", *sorted(fingerprints)])


def write_weights(network: nn.Module, folder: Path) -> str:
    """Write all parameters and buffers; return the file's SHA-256."""
    # Clones part tensors that share memory, which safetensors refuses.
    state = bare(network).state_dict()
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in state.items()}
    path = folder / WEIGHTS
    write_whole(path, save(tensors))
    return file_sha256(path)


def write_bundle(folder: Path, card: Card, evidence: pd.DataFrame) -> None:
    """Write the card and the evidence beside the weights; each file is whole or absent."""
    write_whole(folder / CARD, card.model_dump_json(indent=2).encode())
    write_parquet(evidence, folder / EVIDENCE)


def read_card(path: Path) -> Card:
    """Read a card.

    Raises:
        RegistryError: If it is absent, damaged, or of another layout.
    """
    try:
        return Card.model_validate_json(path.read_bytes())
    except OSError as error:
        message = f"{path.name} of the registered model cannot be read: {error.strerror}"
        raise RegistryError(message, hint="Register the version anew.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        message = f"{path.name} of the registered model: {where}: {first['msg']}"
        hint = f"This is hardy {__version__}; the version may have been written by another one."
        raise RegistryError(message, hint=hint) from error
