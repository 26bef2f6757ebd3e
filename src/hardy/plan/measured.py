"""What a model was measured to cost on this machine, kept between plans."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from hardy.core.files import write_whole
from hardy.core.hashing import digest
from hardy.core.paths import state_dir
from hardy.models.reference import Library, Random
from hardy.plan.machine import machine
from hardy.spec.experiment import Experiment

# Raised when what is measured changes, so that older measurements are made again.
_FORMAT = 3


@dataclass(frozen=True)
class ModelCost:
    """One image through one model on one machine.

    Attributes:
        machine: Where it was measured.
        size: Side of the square input, in pixels.
        forward_flops: Floating-point operations of a forward pass, two a multiplication and
            addition, as `torch.utils.flop_counter` counts them.
        backward_flops: Those of a backward pass.
        forward_seconds: Seconds of a forward pass, as one of a batch.
        backward_seconds: Seconds of a backward pass, as one of a batch.
        base_bytes: Peak memory of the process but for the images, in bytes.
        image_bytes: What each image of a batch adds to it, with all that a backward pass needs.
    """

    machine: str
    size: int
    forward_flops: int
    backward_flops: int
    forward_seconds: float
    backward_seconds: float
    base_bytes: int
    image_bytes: int


def measured_as(experiment: Experiment) -> dict[str, str | int]:
    """Return what a measurement depends on: the model, the precision, and the machine."""
    model = experiment.model
    # torchvision's input size belongs to the weights' tag; timm's to the model's name.
    tagged = model.kind == "torchvision" and isinstance(model.weights.source, Random | Library)
    return {
        "format": _FORMAT,
        "kind": model.kind,
        "name": model.name,
        "tag": str(model.weights) if tagged else "",
        "precision": experiment.precision,
        "machine": machine(experiment.compute.device),
    }


def work_label(experiment: Experiment) -> str:
    """Return the same text for experiments of which a sample takes about the same time."""
    passes, model = experiment.method.cost(), experiment.model
    work = f"{passes.forward} forward {passes.backward} backward"
    where = f"{experiment.precision} on {machine(experiment.compute.device)}"
    return f"{experiment.method.kind} {model.kind}/{model.name}: {work}, {where}"


def recall(experiment: Experiment) -> ModelCost | None:
    """Return an experiment's model as it was measured here, or None."""
    try:
        content = json.loads(_file(experiment).read_text(encoding="utf-8"))["cost"]
        return ModelCost(**{field.name: content[field.name] for field in fields(ModelCost)})
    except (OSError, ValueError, KeyError, TypeError):
        return None  # never measured, or a file that another version wrote


def remember(experiment: Experiment, cost: ModelCost) -> None:
    """Keep what an experiment's model was measured to cost."""
    file = _file(experiment)
    content = {**measured_as(experiment), "cost": asdict(cost)}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_whole(file, text.encode(), sync=False)


def _file(experiment: Experiment) -> Path:
    return state_dir() / "costs" / f"{digest(measured_as(experiment))}.json"
