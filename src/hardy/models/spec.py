"""What a spec may say about a model: its architecture and where its weights come from."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from hardy.models.base_spec import STORED, LibraryWeights, ModelBase, OwnWeights, squeezed
from hardy.models.files import content_identity
from hardy.models.input_spec import Input
from hardy.models.names import timm_outputs, timm_size
from hardy.models.reference import File, From, Library, Package, Random, Tag, WeightsRef
from hardy.models.segmenters.spec import Segmenter, SegmenterBase

_WHOLE = (Random, Library, Package)
# Those of torchvision that were trained at 224 px; vit_h_14 was not.
_TRANSFORMERS = ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32")


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


# The ViT for CIFAR-10 that ViT-BYOL trained from scratch.
_VIT: Mapping[str, Any] = MappingProxyType(
    {
        "patch": 4,
        "dim": 512,
        "depth": 6,
        "heads": 8,
        "mlp": 512,
        "dropout": 0.1,
        "pool": "cls",
    }
)


class HardyModel(ModelBase):
    """A network of hardy's own, for checkpoints that no library's architecture fits."""

    kind: Literal["hardy"] = "hardy"
    name: Annotated[
        Literal["resnet26-gn8", "vit"],
        Field(
            description="`resnet26-gn8`: MEMO's pre-activation ResNet-26 for 32 px, in groups of "
            "8; `vit`: timm's vision transformer of any size, ViT-BYOL's for 32 px unless stated."
        ),
    ] = "resnet26-gn8"
    weights: OwnWeights = WeightsRef.of("random")
    input: Input = None
    classes: Annotated[int, Field(ge=2, le=100_000, description="Number of outputs.")] = 10
    patch: Annotated[
        int | None,
        Field(
            ge=1,
            le=64,
            description="`vit`: side of a patch, in pixels (4); the input's is a multiple of it.",
        ),
    ] = None
    dim: Annotated[
        int | None,
        Field(ge=1, le=4096, description="`vit`: width of a token (512), a multiple of `heads`."),
    ] = None
    depth: Annotated[int | None, Field(ge=1, le=64, description="`vit`: blocks (6).")] = None
    heads: Annotated[
        int | None, Field(ge=1, le=64, description="`vit`: heads of attention in a block (8).")
    ] = None
    mlp: Annotated[
        int | None,
        Field(ge=1, le=16384, description="`vit`: width of a block's hidden layer (512)."),
    ] = None
    dropout: Annotated[
        float | None,
        Field(
            ge=0,
            lt=1,
            description="`vit`: share that is dropped in training of the embedded tokens, of the "
            "attention and of each layer's outputs (0.1).",
        ),
    ] = None
    pool: Annotated[
        Literal["cls", "mean"] | None,
        Field(
            description="`vit`: what the head is given: the class token, or the mean of all "
            "tokens, which is normalised then (cls)."
        ),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, stated: Any) -> Any:  # noqa: ANN401 - not validated yet
        """Write out a transformer's sizes, so that stated defaults are the same network."""
        if not isinstance(stated, dict) or stated.get("name") != "vit":
            return stated
        given = {key: value for key, value in stated.items() if value is not None}
        return {**_VIT, **given, "input": squeezed(stated.get("input"))}

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.name != "vit":
            if foreign := [name for name in _VIT if getattr(self, name) is not None]:
                message = f"{foreign[0]} is for `name: vit`; {self.name} has sizes of its own"
                raise ValueError(message)
            return self
        values = self.vit
        dim, heads, patch = values["dim"], values["heads"], values["patch"]
        sides = self.sides
        if dim % heads:
            message = f"dim is {dim}, which {heads} heads cannot share evenly"
            raise ValueError(message)
        if any(side % patch for side in sides):
            message = f"patch is {patch}, and the input of {sides[0]} x {sides[1]} px is no "
            raise ValueError(message + "multiple of it")
        return self

    @model_serializer(mode="wrap")
    def _without_foreign(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is for another network."""
        found: dict[str, Any] = handler(self)
        foreign = () if self.name == "vit" else _VIT
        return {name: value for name, value in found.items() if name not in foreign}

    @property
    def vit(self) -> dict[str, Any]:
        """The sizes of a transformer by the names of their fields."""
        return {name: getattr(self, name) for name in _VIT}

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the input in pixels; a transformer is made for these alone."""
        size = (self.input and self.input.size) or 32
        return (size, size) if isinstance(size, int) else (size[0], size[1])

    @property
    def stated_outputs(self) -> int | None:
        """What `classes` says, where no file says otherwise."""
        return self.classes if isinstance(self.weights.source, Random) else None


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
        From((Random, File, Tag("[a-z0-9][a-z0-9_]*", "a tag of open_clip's"), *STORED)),
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
    TimmModel | TorchvisionModel | HardyModel | OpenClipModel | Segmenter,
    Field(discriminator="kind"),
]

MODELS: tuple[type[ModelBase], ...] = (
    TimmModel,
    TorchvisionModel,
    HardyModel,
    OpenClipModel,
    SegmenterBase,
)
