"""What a spec may say about a model: its architecture and where its weights come from."""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, Field, field_validator

from hardy.core.spec import Spec
from hardy.models.files import content_identity
from hardy.models.input_spec import Input
from hardy.models.names import timm_outputs, timm_size
from hardy.models.reference import (
    File,
    From,
    Library,
    OfExperiment,
    Package,
    Random,
    RunFile,
    Tag,
    Version,
    WeightsRef,
)

_STORED = (OfExperiment, RunFile, Version)
_WHOLE = (Random, Library, Package)
# Those of torchvision that were trained at 224 px; vit_h_14 was not.
_TRANSFORMERS = ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32")
_PRETRAINED = Tag("pretrained", "pretrained")

LibraryWeights = Annotated[
    WeightsRef,
    From(
        (
            Random,
            _PRETRAINED,
            Package,
            File,
            Tag("[A-Z][A-Z0-9_]*", "a tag of torchvision's"),
            *_STORED,
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
    From((Random, File, *_STORED)),
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

    layered: ClassVar[bool] = False
    """Whether its library tells which layer a parameter belongs to."""

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


class TimmModel(ModelBase):
    """A classifier of the timm library."""

    layered: ClassVar[bool] = True

    kind: Literal["timm"] = "timm"
    name: Annotated[str, Field(min_length=1, description="timm's model name, tag included.")]
    weights: LibraryWeights = WeightsRef.of("pretrained")
    input: Input = None
    drop_path: Annotated[
        float | None,
        Field(
            gt=0,
            lt=1,
            description="Share of samples that the last block leaves out in training, as "
            "fine-tuned transformers have it (arXiv:1603.09382); those before it leave out fewer, "
            "in most models. For those that timm gives a `drop_path_rate`: vision transformers, "
            "ConvNeXt, ResNet, EfficientNet and more; another model is refused.",
        ),
    ] = None

    @property
    def stated_outputs(self) -> int | None:
        """As the name's tag tells, where the weights are the library's or a package's."""
        return timm_outputs(self.name) if isinstance(self.weights.source, _WHOLE) else None

    @property
    def only_size(self) -> int | None:
        """Of a vision transformer whose name states it."""
        return timm_size(self.name)


class TorchvisionModel(ModelBase):
    """A classifier of torchvision."""

    kind: Literal["torchvision"] = "torchvision"
    name: Annotated[str, Field(min_length=1, description="torchvision's model name.")]
    weights: LibraryWeights = WeightsRef.of("pretrained")
    input: Input = None

    @property
    def stated_outputs(self) -> int | None:
        """ImageNet's classes, where the weights are the library's."""
        return 1000 if isinstance(self.weights.source, _WHOLE) else None

    @property
    def only_size(self) -> int | None:
        """Of a vision transformer, but for the weights that were tuned on larger images."""
        tuned = "E2E" in str(self.weights)
        return 224 if self.name in _TRANSFORMERS and not tuned else None


class HardyModel(ModelBase):
    """A network of hardy's own, for checkpoints that no library's architecture fits."""

    kind: Literal["hardy"] = "hardy"
    name: Annotated[
        Literal["resnet26-gn8"],
        Field(description="MEMO's pre-activation ResNet-26 for 32 px, in groups of 8."),
    ] = "resnet26-gn8"
    weights: OwnWeights = WeightsRef.of("random")
    input: Input = None
    classes: Annotated[int, Field(ge=2, le=100_000, description="Number of outputs.")] = 10

    @property
    def stated_outputs(self) -> int | None:
        """What `classes` says, where no file says otherwise."""
        return self.classes if isinstance(self.weights.source, Random) else None


class SegmenterModel(ModelBase):
    """A network of hardy's own that answers for each pixel, with as many channels as its task."""

    dense: ClassVar[bool] = True

    kind: Literal["segmenter"] = "segmenter"
    name: Annotated[
        Literal["unet-small"],
        Field(description="A U-Net of four levels with GroupNorm; it takes any size."),
    ] = "unet-small"
    weights: OwnWeights = WeightsRef.of("random")
    input: Input = None
    width: Annotated[
        int,
        Field(
            ge=8,
            le=256,
            multiple_of=8,
            description="Channels of the finest level; each coarser one has twice as many.",
        ),
    ] = 16

    @field_validator("input", mode="before")
    @classmethod
    def _squeezed(cls, stated: Any) -> Any:  # noqa: ANN401 - not validated yet
        """A size alone is squeezed to, as hardy's own is."""
        alone = isinstance(stated, dict) and stated.get("size") and not stated.get("fit")
        return {**stated, "fit": "squeeze"} if alone and not stated.get("resize") else stated


def _one_place(template: str) -> str:
    if template.count("{}") != 1:
        message = f"a template has one {{}} for the class's name, {template!r} has "
        raise ValueError(message + str(template.count("{}")))
    return template


Template = Annotated[str, AfterValidator(_one_place)]


class OpenClipModel(ModelBase):
    """An image-text model of open_clip: images against the texts of the dataset's classes."""

    compares_texts: ClassVar[bool] = True

    kind: Literal["open_clip"] = "open_clip"
    name: Annotated[
        str,
        Field(
            min_length=1,
            description="open_clip's architecture, such as ViT-B-16 (ViT-B/16 is the same), or "
            "`hardy-shapes`, hardy's own for 64 px.",
        ),
        AfterValidator(lambda name: name.replace("/", "-")),
    ]
    weights: Annotated[
        WeightsRef,
        From((Random, File, Tag("[a-z0-9][a-z0-9_]*", "a tag of open_clip's"), *_STORED)),
        Field(
            description="`random`, a tag of the architecture's pretrained weights, or where "
            "weights lie: `file:PATH`, `experiment:NAME`, `runs:/ID/PATH` or `models:/NAME@ALIAS`.",
            examples=["random", "openai", "file:PATH", "models:/NAME@champion"],
        ),
    ] = WeightsRef.of("openai")
    input: Input = None
    quick_gelu: Annotated[
        bool | None,
        Field(
            description="Whether GELU is x·sigmoid(1.702 x), as OpenAI's own weights need it; null "
            "for what the tag says, and for other weights what the architecture says.",
        ),
    ] = None
    templates: Annotated[
        Literal["openai", "simple"] | Annotated[tuple[Template, ...], Field(min_length=1)],
        Field(
            description="Texts with one `{}` each, where a class's name goes; their features are "
            "averaged. `openai` are its 80 for ImageNet, `simple` the 7 best of them.",
        ),
    ] = ("a photo of a {}.",)
    class_names: Annotated[
        str,
        Field(
            pattern=r"^(auto|dataset|file:\S.*)$",
            description="What the classes are called: `dataset` (its own names), `file:PATH` (one "
            "a line), or `auto` (OpenAI's names for ImageNet's classes, else the dataset's own).",
            examples=["auto", "dataset", "file:PATH"],
        ),
    ] = "auto"

    def identity(self) -> dict[str, Any]:
        """Return what numbers follow from; a file of names counts by its content."""
        kind, _, path = self.class_names.partition(":")
        names = content_identity(path) if path else kind
        return super().identity() | {"class_names": names}


ModelSpec = Annotated[
    TimmModel | TorchvisionModel | HardyModel | OpenClipModel | SegmenterModel,
    Field(discriminator="kind"),
]

MODELS: tuple[type[ModelBase], ...] = get_args(get_args(ModelSpec)[0])
