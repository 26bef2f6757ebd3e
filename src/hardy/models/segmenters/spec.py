"""What a spec may say about a segmenter: a network with an answer for each pixel of its input.

It has as many channels as its task: the mask's classes, or red, green and blue.
"""

from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from hardy.core.catalog import did_you_mean
from hardy.models.base_spec import PRETRAINED, STORED, ModelBase, OwnWeights, squeezed
from hardy.models.input_spec import Input
from hardy.models.names import timm_flat, timm_names
from hardy.models.reference import File, From, Package, Random, WeightsRef

EncoderWeights = Annotated[
    WeightsRef,
    From((Random, PRETRAINED, Package, File, *STORED)),
    Field(
        description="`random`; `pretrained` or `package:NAME`: the encoder's weights for ImageNet, "
        "by the library's hub or shipped by a Python package, while the rest is random; or, of the "
        "whole network, `file:PATH`, `experiment:NAME`, `runs:/ID/PATH` or `models:/NAME@ALIAS`.",
        examples=["random", "pretrained", "package:NAME", "file:PATH", "experiment:NAME"],
    ),
]

_DECAY = 0.99


class SegmenterBase(ModelBase):
    """Base of the segmenters' schemas, which are told apart by their `name`."""

    dense: ClassVar[bool] = True

    kind: Literal["segmenter"] = "segmenter"
    name: str
    weights: OwnWeights = WeightsRef.of("random")
    input: Input = None

    @field_validator("input", mode="before")
    @classmethod
    def _is_squeezed(cls, stated: Any) -> Any:  # noqa: ANN401 - not validated yet
        return squeezed(stated)

    @property
    def pretrained_encoder(self) -> str | None:
        """The library's name of the encoder whose own weights are wanted; None for none."""
        return None


class UNetSmall(SegmenterBase):
    """A U-Net of hardy's own."""

    name: Annotated[
        Literal["unet-small"],
        Field(description="A U-Net of four levels with GroupNorm; it takes any size."),
    ] = "unet-small"
    width: Annotated[
        int,
        Field(
            ge=8,
            le=256,
            multiple_of=8,
            description="Channels of the finest level; each coarser one has twice as many.",
        ),
    ] = 16


class VqVae(SegmenterBase):
    """A VQ-VAE: an encoder, a codebook, and a decoder that sees codes alone."""

    coded: ClassVar[bool] = True

    name: Annotated[
        Literal["vqvae"],
        Field(description="A VQ-VAE (arXiv:1711.00937) as Sonnet and the seed COMP0197 have it."),
    ]
    hidden: Annotated[
        int,
        Field(
            ge=2,
            le=2048,
            multiple_of=2,
            description="Channels of the encoder and of the decoder; the finest level has half.",
        ),
    ] = 256
    residual: Annotated[
        int, Field(ge=1, le=2048, description="Channels within a residual layer.")
    ] = 256
    layers: Annotated[
        int, Field(ge=0, le=32, description="Residual layers of the encoder, and of the decoder.")
    ] = 4
    downsampling: Annotated[
        int,
        Field(ge=2, le=6, description="How often the sides are halved; 2: a code for 4 x 4 px."),
    ] = 2
    codes: Annotated[int, Field(ge=2, le=65536, description="How many codes there are.")] = 512
    code_dim: Annotated[int, Field(ge=1, le=1024, description="Dimension of a code.")] = 64
    codebook: Annotated[
        Literal["ema", "learned"],
        Field(
            description="How codes move: `ema`, to the moving mean of the vectors that took them; "
            "`learned`, by the gradient of the loss's term `dictionary`, which must be stated then."
        ),
    ] = "ema"
    decay: Annotated[
        float,
        Field(ge=0, lt=1, description="Share that a moving mean keeps in a step; for `ema` alone."),
    ] = _DECAY
    restart: Annotated[
        int | None,
        Field(
            ge=1,
            le=1_000_000_000,
            description="A code that no vector took for so many steps in a row becomes a vector of "
            "the batch. None: never.",
        ),
    ] = None
    head: Annotated[
        Literal["own", "shared"],
        Field(
            description="The last layer for masks: `own`, one called `head`; `shared`, the layer "
            "that gives red, green and blue in a reconstruction, for three classes alone."
        ),
    ] = "own"

    @model_validator(mode="after")
    def _means_or_gradients(self) -> Self:
        if self.codebook == "learned" and self.decay != _DECAY:
            message = "decay is of codes that follow means; leave it out, or say codebook: ema"
            raise ValueError(message)
        return self

    @property
    def aux(self) -> frozenset[str]:
        """The terms of the loss that the codebook has."""
        terms = frozenset({"commitment"})
        return terms | self.needed

    @property
    def needed(self) -> frozenset[str]:
        """The term whose gradient learned codes follow."""
        return frozenset({"dictionary"} if self.codebook == "learned" else ())

    @property
    def stated_outputs(self) -> int | None:
        """Three, where the last layer is that of a reconstruction."""
        return 3 if self.head == "shared" else None


class SegNet(SegmenterBase):
    """The seed's SegNet: the decoder puts back what was pooled where it came from."""

    name: Annotated[
        Literal["segnet"],
        Field(description="SegNet of four levels (arXiv:1511.00561), as the seed COMP0197 has it."),
    ]
    width: Annotated[
        int,
        Field(
            ge=1,
            le=256,
            description="Channels of the finest level; each coarser one has twice as many.",
        ),
    ] = 64
    cap: Annotated[
        bool,
        Field(
            description="End as the seed does: negative outputs become 0, and all are divided by "
            "the largest of the whole batch. Answers depend on the batch then, and no soft Dice "
            "of their sigmoids can be above 0.535."
        ),
    ] = False


class LinkNetSeed(SegmenterBase):
    """The seed's LinkNet over torchvision's ResNet-34."""

    name: Annotated[
        Literal["linknet-seed"],
        Field(
            description="LinkNet (arXiv:1707.03718) with the seed's decoder over torchvision's "
            "ResNet-34."
        ),
    ]
    weights: EncoderWeights = WeightsRef.of("random")

    @property
    def pretrained_encoder(self) -> str | None:
        """ResNet-34, where its own weights are wanted."""
        return "resnet34" if _of_encoder(self.weights) else None


SmpName = Literal["linknet", "unet", "fpn", "deeplabv3plus"]


class SmpModel(SegmenterBase):
    """A decoder of segmentation-models-pytorch over a convolutional encoder of timm."""

    name: Annotated[
        SmpName,
        Field(description="segmentation-models-pytorch's Linknet, Unet, FPN or DeepLabV3Plus."),
    ]
    weights: EncoderWeights = WeightsRef.of("random")
    encoder: Annotated[
        str,
        Field(
            description="`tu-` and timm's name of a network with features at several scales.",
            examples=["tu-tf_efficientnet_lite0", "tu-resnet34"],
        ),
    ] = "tu-tf_efficientnet_lite0"

    @field_validator("encoder")
    @classmethod
    def _has_scales(cls, stated: str) -> str:
        name = stated.removeprefix("tu-")
        if name == stated and name in timm_names():
            message = f"say tu-{name} for timm's {name}: segmentation-models-pytorch names it so"
            raise ValueError(message)
        if name not in timm_names():
            near = did_you_mean(name, timm_names()) or "Names are timm's, after `tu-`."
            message = f"timm has no model {name!r}. {near}"
            raise ValueError(message)
        if name.partition(".")[0] in timm_flat():
            message = f"{name} has no features at scales of 4, 8, 16 and 32 px, as plain vision "
            raise ValueError(message + "transformers have none; take a convolutional network")
        return stated

    @property
    def pretrained_encoder(self) -> str | None:
        """Timm's name, where the encoder's own weights are wanted."""
        return self.encoder.removeprefix("tu-") if _of_encoder(self.weights) else None


def _of_encoder(weights: WeightsRef) -> bool:
    """Say whether weights are an encoder's for ImageNet, and not a whole network's."""
    return isinstance(weights.source, Package) or str(weights) == "pretrained"


def name(stated: Any) -> str:  # noqa: ANN401 - not validated yet
    """Return the name that tells a segmenter's schema; `unet-small` where none is stated."""
    found = stated.get("name", "") if isinstance(stated, dict) else getattr(stated, "name", "")
    return str(found or "unet-small")


Segmenter: TypeAlias = Annotated[
    Annotated[UNetSmall, Tag("unet-small")]
    | Annotated[VqVae, Tag("vqvae")]
    | Annotated[SegNet, Tag("segnet")]
    | Annotated[LinkNetSeed, Tag("linknet-seed")]
    | Annotated[SmpModel, Tag("linknet")]
    | Annotated[SmpModel, Tag("unet")]
    | Annotated[SmpModel, Tag("fpn")]
    | Annotated[SmpModel, Tag("deeplabv3plus")],
    Discriminator(name),
]
