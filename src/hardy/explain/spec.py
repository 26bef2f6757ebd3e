"""What a spec may say about pictures, and about analyses of the network."""

from typing import Annotated, Literal

from pydantic import Field

from hardy.core.spec import Spec
from hardy.data.shift_spec import ShiftSpec

Tokens = Literal["all", "cls", "mean", "p4"]


class GradCamSpec(Spec):
    """Which samples get Grad-CAM overlays, before and after adaptation (arXiv:1610.02391)."""

    count: Annotated[int, Field(ge=0, le=64, description="Pictures per unit.")] = 4
    choose: Annotated[
        Literal["flips", "uncertain", "first"],
        Field(
            description="Rule: `flips` takes samples whose correctness changed, then the most "
            "uncertain; `uncertain` the highest entropy after; `first` the first in order."
        ),
    ] = "flips"


class _Paired(Spec):
    """What looks at the same samples clean and shifted."""

    shift: Annotated[
        ShiftSpec | None,
        Field(description="What the samples are shifted by; none: the experiment's own shift."),
    ] = None


class SimilaritySpec(_Paired):
    """How near the activations of clean and shifted samples are, layer by layer."""

    layers: Annotated[
        tuple[str, ...] | None,
        Field(
            min_length=1,
            description="Modules by name, `*` for a part between dots, such as `blocks.*`; none: "
            "a transformer's patch embedding, blocks and last norm, or a CNN's stages.",
        ),
    ] = None
    tokens: Annotated[
        Tokens,
        Field(
            description="`all` flattens all tokens or places, `cls` takes the class token, `mean` "
            "the mean; `p4` takes all below a transformer's last block, the class token from there."
        ),
    ] = "all"
    samples: Annotated[
        int, Field(ge=1, le=4096, description="Samples at most, drawn by the experiment's seed.")
    ] = 256


class EmbeddingSpec(_Paired):
    """Where the features of clean and shifted samples lie, in two or three dimensions."""

    method: Annotated[
        Literal["pca", "tsne"], Field(description="How features become points of the map.")
    ] = "tsne"
    dimensions: Annotated[
        Literal[2, 3], Field(description="Of the map; 3 gives a page that turns, too.")
    ] = 2
    samples: Annotated[
        int, Field(ge=3, le=4096, description="Samples at most, drawn by the experiment's seed.")
    ] = 512
    perplexity: Annotated[
        float,
        Field(ge=1, le=1000, description="Of t-SNE; lowered where there are few samples."),
    ] = 30.0
    normalise: Annotated[bool, Field(description="Bring features to unit length first.")] = False


class PredictionGridSpec(_Paired):
    """What is predicted for some samples, clean and shifted."""

    pairs: Annotated[
        int, Field(ge=1, le=32, description="Samples, drawn by the experiment's seed.")
    ] = 8


class ExplainSpec(Spec):
    """Pictures that a run draws beside its numbers."""

    gradcam: Annotated[GradCamSpec | None, Field(description="Grad-CAM overlays.")] = GradCamSpec()
    view_grids: Annotated[
        int, Field(ge=0, le=16, description="Samples whose views are drawn as a grid.")
    ] = 1
    similarity: Annotated[
        SimilaritySpec | None, Field(description="Clean against shifted activations by layer.")
    ] = None
    embedding: Annotated[
        EmbeddingSpec | None, Field(description="A map of clean and shifted features.")
    ] = None
    prediction_grid: Annotated[
        PredictionGridSpec | None, Field(description="Predictions for clean and shifted pairs.")
    ] = None
