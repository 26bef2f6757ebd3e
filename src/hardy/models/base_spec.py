"""What the schemas of all models share: their base, and where weights may come from."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from hardy.core.spec import Spec
from hardy.models.reference import (
    File,
    From,
    OfExperiment,
    Package,
    Random,
    RunFile,
    Tag,
    Version,
    WeightsRef,
)

STORED = (OfExperiment, RunFile, Version)
PRETRAINED = Tag("pretrained", "pretrained")

LibraryWeights = Annotated[
    WeightsRef,
    From(
        (
            Random,
            PRETRAINED,
            Package,
            File,
            Tag("[A-Z][A-Z0-9_]*", "a tag of torchvision's"),
            *STORED,
        )
    ),
    Field(
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

OwnWeights = Annotated[
    WeightsRef,
    From((Random, File, *STORED)),
    Field(
        description="`random`, or where weights lie: `file:PATH`, `experiment:NAME`, "
        "`runs:/ID/PATH` or `models:/NAME@ALIAS`.",
    ),
]


class ModelBase(Spec):
    """Base of the models' schemas."""

    compares_texts: ClassVar[bool] = False
    """Whether it compares images with texts, so that methods can work on the texts."""

    dense: ClassVar[bool] = False
    """Whether it answers for each pixel of its input; else it gives one answer an image."""

    coded: ClassVar[bool] = False
    """Whether it has a codebook, whose codes analyses can look at."""

    layered: ClassVar[bool] = False
    """Whether its library tells which layer a parameter belongs to."""

    @property
    def aux(self) -> frozenset[str]:
        """Names of the terms that the network itself adds to a loss, where a loss asks for them."""
        return frozenset()

    @property
    def needed(self) -> frozenset[str]:
        """Names of those without which a part of the network would never learn."""
        return frozenset()

    @property
    def has_head(self) -> bool:
        """Whether a head of its own gives the outputs: not texts, nor channels for each pixel."""
        return not (self.compares_texts or self.dense)

    @property
    def stated_outputs(self) -> int | None:
        """How many outputs the network has, where the spec alone tells; else None."""
        return None

    @property
    def only_size(self) -> int | None:
        """Side of the only input that the network takes, in pixels, where the spec alone tells."""
        return None


def squeezed(stated: Any) -> Any:  # noqa: ANN401 - not validated yet
    """Return a size alone as one that is squeezed to, as the networks of hardy's own are."""
    if not isinstance(stated, dict):
        return stated
    # What a validator has touched is Python's and no longer a file's: a list is no tuple there.
    found = {key: tuple(v) if isinstance(v, list) else v for key, v in stated.items()}
    alone = found.get("size") and not (found.get("fit") or found.get("resize"))
    return {**found, "fit": "squeeze"} if alone else found
