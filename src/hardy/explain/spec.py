"""What a spec may say about pictures, and about analyses of the network."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from pydantic import Field

from hardy.core.spec import Spec
from hardy.data.shift_spec import ShiftSpec

Tokens = Literal["all", "cls", "mean", "p4"]


class Chosen(Spec):
    """Samples that somebody wants to see."""

    ids: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...],
        Field(
            min_length=1,
            max_length=64,
            description="Samples by id, as the column `sample` of a run's records has them.",
        ),
    ]

    def absent(self, known: Iterable[str]) -> tuple[str, str] | None:
        """Return the first id that is none, and what may have been meant; None where all are.

        Args:
            known: The ids of the samples that are answered.
        """
        every = dict.fromkeys(known)
        for each in self.ids:
            if each not in every:
                # Mostly the file's name alone, or with other folders before it.
                name = each.rpartition("/")[2]
                near = next((one for one in every if one.rpartition("/")[2] == name), None)
                some = "Did you mean" if near is not None else "Ids are such as"
                end = (
                    "?" if near is not None else ", as the column `sample` of a run's records has."
                )
                return each, f"{some} {near or next(iter(every), '')!r}{end}"
        return None


class GradCamSpec(Spec):
    """Which samples get Grad-CAM overlays, before and after adaptation (arXiv:1610.02391)."""

    count: Annotated[
        int, Field(ge=0, le=64, description="Pictures per unit, of samples chosen by a rule.")
    ] = 4
    choose: Annotated[
        Literal["flips", "uncertain", "first"] | Chosen,
        Field(
            description="Rule: `flips` takes samples whose correctness changed, then the most "
            "uncertain; `uncertain` the highest entropy after; `first` the first in order; or "
            "`{ids: [...]}` for these."
        ),
    ] = "flips"

    @property
    def most(self) -> int:
        """How many pictures there are at most."""
        return len(set(self.choose.ids)) if isinstance(self.choose, Chosen) else self.count


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


class FeatureMapsSpec(Spec):
    """What the channels of a network's layers give for some samples."""

    layers: Annotated[
        tuple[str, ...] | None,
        Field(
            min_length=1,
            description="Modules by name, `*` for a part between dots, such as `down.*`; none: the "
            "stages, as `similarity` has them.",
        ),
    ] = None
    samples: Annotated[
        int, Field(ge=1, le=16, description="Pictures: samples, drawn by the experiment's seed.")
    ] = 2
    columns: Annotated[int, Field(ge=1, le=32, description="Maps in a row.")] = 16
    channels: Annotated[
        int, Field(ge=1, le=1024, description="Maps of a layer that are drawn, the first ones.")
    ] = 64


class LatentsSpec(Spec):
    """Where samples lie by their quantised latents, of a network that has such."""

    method: Annotated[
        Literal["pca", "tsne"], Field(description="How latents become points of the map.")
    ] = "tsne"
    samples: Annotated[
        int, Field(ge=3, le=4096, description="Samples at most, drawn by the experiment's seed.")
    ] = 512


class CodebookSpec(Spec):
    """Which codes of a network's codebook are used, and for what."""

    samples: Annotated[
        int, Field(ge=1, le=4096, description="Samples at most, drawn by the experiment's seed.")
    ] = 256


class ExamplesSpec(Spec):
    """Several samples in one picture: each with its truth, its answer, and where this is wrong."""

    samples: Annotated[
        int,
        Field(ge=1, le=64, description="Rows of the picture, of samples chosen by a rule."),
    ] = 6
    choose: Annotated[
        Literal["drawn", "worst", "first"] | Chosen,
        Field(
            description="Rule: `drawn` by the experiment's seed, `worst` by the score, `first` in "
            "order; or `{ids: [...]}` for these."
        ),
    ] = "drawn"
    files: Annotated[
        bool,
        Field(description="Also each of its pictures as a file: input, truth, answer, errors."),
    ] = False


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
    examples: Annotated[
        ExamplesSpec | None, Field(description="Samples with their truth, answers and errors.")
    ] = None
    feature_maps: Annotated[
        FeatureMapsSpec | None, Field(description="What the channels of layers give.")
    ] = None
    latents: Annotated[
        LatentsSpec | None, Field(description="A map of samples by their quantised latents.")
    ] = None
    codebook: Annotated[
        CodebookSpec | None, Field(description="Which codes are used, and the nearest to them.")
    ] = None

    def chosen(self) -> Iterator[tuple[str, Chosen]]:
        """Yield the samples that are chosen by id, each with the path of the field that does."""
        for name in ("gradcam", "examples"):
            part = getattr(self, name)
            if part is not None and isinstance(part.choose, Chosen):
                yield f"explain.{name}.choose.ids", part.choose
