"""What a spec may say about a model: its architecture and where its weights come from."""

from typing import Annotated, Literal

from pydantic import Field

from hardy.core.spec import Spec

_WEIGHTS = (
    r"^(random|pretrained|(package|file):\S.*|[A-Z][A-Z0-9_]*|experiment:\S+"
    r"|runs:/[A-Za-z0-9]+/\S+|models:/[^/@\s]+[/@][^/@\s]+)$"
)

Weights = Annotated[
    str,
    Field(
        pattern=_WEIGHTS,
        description="Where weights come from: `random`, `pretrained` (the library's hub), a "
        "torchvision tag such as IMAGENET1K_V1, `package:NAME` (weights a Python package ships), "
        "`file:PATH` (safetensors, or a state dict that torch opens with weights_only), "
        "`experiment:NAME` (the finished run of that experiment, which is run first if there is "
        "none), `runs:/ID/PATH` (an artifact of a run), or `models:/NAME@ALIAS` and "
        "`models:/NAME/VERSION` (a registered model).",
        examples=[
            "random",
            "pretrained",
            "IMAGENET1K_V1",
            "package:NAME",
            "file:PATH",
            "experiment:NAME",
            "runs:/ID/weights/weights.safetensors",
            "models:/NAME@champion",
        ],
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


class HardyModel(Spec):
    """A network of hardy's own, for checkpoints that no library's architecture fits."""

    kind: Literal["hardy"] = "hardy"
    name: Annotated[
        Literal["resnet26-gn8"],
        Field(description="MEMO's pre-activation ResNet-26 for 32 px, in groups of 8."),
    ] = "resnet26-gn8"
    weights: Annotated[
        str,
        Field(
            pattern=r"^(random|file:\S.*|experiment:\S+|runs:/[A-Za-z0-9]+/\S+"
            r"|models:/[^/@\s]+[/@][^/@\s]+)$",
            description="`random`, or where weights lie: `file:PATH`, `experiment:NAME`, "
            "`runs:/ID/PATH` or `models:/NAME@ALIAS`.",
        ),
    ] = "random"
    classes: Annotated[int, Field(ge=2, le=100_000, description="Number of outputs.")] = 10


ModelSpec = Annotated[TimmModel | TorchvisionModel | HardyModel, Field(discriminator="kind")]
