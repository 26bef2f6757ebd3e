"""What a spec may say about a model: its architecture and where its weights come from."""

from typing import Annotated, Literal

from pydantic import Field

from hardy.core.spec import Spec

_WEIGHTS = r"^(random|pretrained|(package|file):\S.*|[A-Z][A-Z0-9_]*)$"

Weights = Annotated[
    str,
    Field(
        pattern=_WEIGHTS,
        description="Where weights come from: `random`, `pretrained` (the library's hub), a "
        "torchvision tag such as IMAGENET1K_V1, `package:NAME` (weights a Python package ships), "
        "or `file:PATH` (safetensors, or a state dict that torch opens with weights_only).",
        examples=["random", "pretrained", "IMAGENET1K_V1", "package:NAME", "file:PATH"],
    ),
]


class TimmModel(Spec):
    """A classifier of the timm library."""

    kind: Literal["timm"] = "timm"
    name: Annotated[str, Field(min_length=1, description="timm's model name, tag included.")]
    weights: Weights = "pretrained"


class TorchvisionModel(Spec):
    """A classifier of torchvision."""

    kind: Literal["torchvision"] = "torchvision"
    name: Annotated[str, Field(min_length=1, description="torchvision's model name.")]
    weights: Weights = "pretrained"


ModelSpec = Annotated[TimmModel | TorchvisionModel, Field(discriminator="kind")]
