"""What a model was measured to cost on this machine, kept between plans."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields

from hardy.core.cache import default_cache
from hardy.core.hashing import digest
from hardy.models.reference import Library, Random
from hardy.models.segmenters.spec import SegmenterBase
from hardy.models.spec import HardyModel, ModelSpec
from hardy.plan.machine import machine
from hardy.spec.experiment import Experiment

_KIND = "costs"
# Raised when what is measured changes, so that older measurements are made again.
_FORMAT = 6


@dataclass(frozen=True)
class ModelCost:
    """One image through one model on one machine.

    Attributes:
        machine: Where it was measured.
        size: Longer side of the input, in pixels.
        forward_flops: Floating-point operations of a forward pass, two a multiplication and
            addition, as `torch.utils.flop_counter` counts them.
        backward_flops: Those of a backward pass.
        forward_seconds: Seconds of a forward pass, as one of a batch.
        backward_seconds: Seconds of a backward pass, as one of a batch.
        base_bytes: Peak memory of the process but for the images, in bytes.
        image_bytes: What each image of a batch adds to it, with all that a backward pass needs.
        forward_bytes: What each adds in a forward pass alone.
        weights_bytes: What a file of its weights takes.
        tensors: Shapes of its tensors by name, as a file of its weights has them.
    """

    machine: str
    size: int
    forward_flops: int
    backward_flops: int
    forward_seconds: float
    backward_seconds: float
    base_bytes: int
    image_bytes: int
    forward_bytes: int
    weights_bytes: int
    tensors: Mapping[str, Sequence[int]] = field(default_factory=dict)


def measured_as(experiment: Experiment) -> dict[str, str | int]:
    """Return what a measurement depends on: the model, its input, the precision, the machine."""
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
        **({"input": str(model.input.size)} if model.input and model.input.size else {}),
        **({"sizes": sizes} if (sizes := _sizes(model)) else {}),
    }


def _sizes(model: ModelSpec) -> str:
    """Return what a network is made of that its name does not tell."""
    if isinstance(model, SegmenterBase):  # those of the defaults are known by the name alone
        stated = model.model_dump(exclude_defaults=True, exclude={"name", "weights", "input"})
        return ", ".join(f"{name} {value}" for name, value in stated.items())
    if not isinstance(model, HardyModel) or model.name != "vit":
        return ""
    return ", ".join(f"{name} {value}" for name, value in model.vit.items())


def work_label(experiment: Experiment) -> str:
    """Return the same text for experiments of which a sample takes about the same time."""
    passes, model = experiment.method.cost(), experiment.model
    work = f"{passes.forward} forward {passes.backward} backward"
    if experiment.method.answer_batch > 1:
        work += f" in blocks of {experiment.method.answer_batch}"
    work += experiment.method.work
    if experiment.compute.devices:
        work += f" on {experiment.compute.devices} devices"
    if experiment.compute.threads:
        work += f" by {experiment.compute.threads} threads"
    where = f"{experiment.precision} on {machine(experiment.compute.device)}"
    size = f" at {model.input.size}" if model.input and model.input.size else ""
    name = f"{model.name} ({sizes})" if (sizes := _sizes(model)) else model.name
    return f"{experiment.method.kind} {model.kind}/{name}{size}: {work}, {where}"


def recall(experiment: Experiment) -> ModelCost | None:
    """Return an experiment's model as it was measured here, or None."""
    kept = default_cache().get(_KIND, digest(measured_as(experiment)))
    if kept is None:
        return None
    try:
        content = json.loads(kept)["cost"]
        return ModelCost(**{each.name: content[each.name] for each in fields(ModelCost)})
    except (ValueError, KeyError, TypeError):
        return None  # another version wrote it


def remember(experiment: Experiment, cost: ModelCost) -> None:
    """Keep what an experiment's model was measured to cost."""
    depends = measured_as(experiment)
    text = json.dumps({**depends, "cost": asdict(cost)}, ensure_ascii=False)
    default_cache().put(_KIND, digest(depends), text.encode())
