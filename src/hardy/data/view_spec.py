"""What a spec may say about views: which augmentation makes them and how many there are."""

from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import Field, model_validator

from hardy.core.numbers import NonNegative
from hardy.core.spec import Spec

Rows = TypeVar("Rows")

Count = Annotated[
    int, Field(ge=1, le=4096, description="Views per sample that enter a method's loss.")
]

OperationName = Literal[
    "rotation",
    "zoom",
    "horizontal_flip",
    "vertical_flip",
    "greyscale",
    "inverse",
    "box_blur",
    "crop",
    "fixed_affine",
    "gamma",
    "translation",
    "elastic",
    "brightness",
    "equalize_grey",
    "salt_and_pepper",
    "gaussian_blur",
    "poisson",
    "speckle",
    "contrast",
    "equalize",
    "normalize",
    "color_jitter",
    "slight_blur",
    "channel_dropout",
    "sharpen",
    "flip",
    "slight_elastic",
    "grid_distortion",
    "random_crop",
    "perspective",
    "piecewise_affine",
    "coarse_dropout",
    "random_affine",
]
OperationGroup = Literal["memo_plus", "pixel", "spatial"]

_NAMES: tuple[OperationName, ...] = get_args(OperationName)
GROUPS: dict[str, tuple[OperationName, ...]] = {
    "memo_plus": _NAMES[:19],
    "pixel": _NAMES[19:25],
    "spatial": _NAMES[25:],
}
"""The operations by the names that stand for all of a group."""

_MOVING: frozenset[OperationName] = frozenset(
    {
        "rotation",
        "zoom",
        "horizontal_flip",
        "vertical_flip",
        "crop",
        "fixed_affine",
        "translation",
        "elastic",
        *(name for name in GROUPS["spatial"] if name != "coarse_dropout"),
    }
)
"""The operations after which a pixel shows what another one showed before."""


class _Counted(Spec):
    """How many views there are."""

    include_original: Annotated[
        bool,
        Field(
            description="Whether the unchanged image is one of `count` views. If not, it comes "
            "before them, as MEMO's published code has it; predictions are made on it either way."
        ),
    ] = True
    count: Count = 64

    @property
    def at_point(self) -> bool:
        """Whether views are cut where Grad-CAM of the unchanged image is highest."""
        return False

    @property
    def on_native(self) -> bool:
        """Whether views are made of the image as it was read, with lengths in its pixels."""
        return False

    @property
    def needs_square(self) -> bool:
        """Whether views are made for inputs of equal sides alone."""
        return False

    @property
    def moving(self) -> tuple[str, ...]:
        """What moves pixels in a way that is not undone on an answer for each of them."""
        return ()

    @property
    def rows(self) -> int:
        """Images that are made per sample: the views, and the original where it is not one."""
        return self.count + (not self.include_original)

    def for_loss(self, rows: Rows) -> Rows:
        """Return the rows that enter a loss, of all that were made (any sequence or tensor)."""
        start = 0 if self.include_original else 1
        chosen: Rows = rows[start:]  # type: ignore[index]
        return chosen


class Identity(_Counted):
    """Every view is the unchanged image."""

    kind: Literal["identity"] = "identity"
    count: Count = 1


class CutStep(Spec):
    """Random resized crop (scale 0.08 to 1) and horizontal flip."""

    kind: Literal["cut"] = "cut"

    @property
    def moving(self) -> tuple[str, ...]:
        """What moves pixels: the crop."""
        return (self.kind,)


class Cut(CutStep, _Counted):
    """Random resized crop (scale 0.08 to 1) and horizontal flip: TPT's views, P1's `cut`."""


class AugMixStep(Spec):
    """Three chains of one to three operations, mixed with the image (arXiv:1912.02781)."""

    kind: Literal["augmix"] = "augmix"
    variant: Annotated[
        Literal["memo", "memo-imagenet", "memo-cifar", "tpt", "torchvision"],
        Field(
            description="`memo-imagenet` crops at random and flips, then mixes nine operations at "
            "severity 1; `memo-cifar` crops after padding by 4 pixels instead; `memo` is the "
            "first, and the second up to a side of 64 pixels; `tpt` is the first with black "
            "where geometry leaves a gap; `torchvision` mixes 13 operations at severity 3 on the "
            "whole image, without crop or flip."
        ),
    ] = "memo"

    @property
    def moving(self) -> tuple[str, ...]:
        """What moves pixels: rotations, shears and translations, in all variants."""
        return (self.kind,)


class AugMix(AugMixStep, _Counted):
    """AugMix as MEMO's published code makes it, by default (arXiv:1912.02781, 2110.09506)."""

    # 64 views: MEMO, section 4.
    backend: Annotated[
        Literal["pil", "tensor"],
        Field(
            description="`pil` makes the published pixels; `tensor` makes all views at once with "
            "tensor operations, the same draws but approximate pixels, for a GPU."
        ),
    ] = "pil"

    @model_validator(mode="after")
    def _tensors_have_it(self) -> Self:
        if self.backend == "tensor" and self.variant == "torchvision":
            message = "backend tensor has no variant torchvision; use backend pil"
            raise ValueError(message)
        return self

    @property
    def needs_square(self) -> bool:
        """Whether views are made for inputs of equal sides alone."""
        return self.backend == "tensor"


class Photometric(_Counted):
    """AugMix's mixtures of tones alone: no pixel moves, but for whole views that are mirrored.

    Of AugMix's nine operations the four that move none: autocontrast, equalize, solarize and
    posterize (arXiv:1912.02781). For answers that are planes: those of mirrored views are
    mirrored back before they are joined.
    """

    kind: Literal["photometric"] = "photometric"
    count: Count = 16
    width: Annotated[int, Field(ge=1, le=16, description="Chains that are mixed.")] = 3
    depth: Annotated[
        int | None,
        Field(ge=1, le=16, description="Operations a chain; none: one to three, drawn for each."),
    ] = None
    severity: Annotated[
        float,
        Field(
            ge=0.1,
            le=10,
            description="Largest level of an operation, in tenths of its maximum; each is drawn "
            "uniformly from 0.1 to it. MEMO's is 1.",
        ),
    ] = 1.0
    flip: Annotated[
        bool, Field(description="Mirror every second view left to right, the first one too.")
    ] = True


class OperationsStep(Spec):
    """One operation a view, drawn from a list of names."""

    kind: Literal["operations"] = "operations"
    names: Annotated[
        tuple[OperationName | OperationGroup, ...],
        Field(
            min_length=1,
            description="Operations to draw from; `memo_plus` stands for MEMO_PLUS's 19, `pixel` "
            "and `spatial` for the 6 and 8 of albumentations.",
        ),
    ] = ("memo_plus",)
    weights: Annotated[
        tuple[NonNegative, ...] | None,
        Field(description="Relative frequency of each name, groups expanded; none: all equal."),
    ] = None
    repeat: Annotated[
        bool,
        Field(
            description="Draw each view's operation anew. If not, none comes twice before all "
            "have come once."
        ),
    ] = False
    crop: Annotated[
        Literal["gradcam", "centre", "random"],
        Field(
            description="Where the operation `crop` puts its window: at the point that Grad-CAM "
            "finds most important, at the centre, or anywhere."
        ),
    ] = "centre"
    act_on: Annotated[
        Literal["input", "native"],
        Field(
            description="What is operated on. `input`: the network's input, lengths being 224ths "
            "of its shorter side. `native`: the image as it was read, lengths being its own "
            "pixels; the result then comes to the input's size as the image does."
        ),
    ] = "input"

    def identity(self) -> dict[str, Any]:
        """Return values and versions; acting on the input is older than the choice."""
        found = super().identity()
        return {k: v for k, v in found.items() if (k, v) != ("act_on", "input")}

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        if self.weights is None:
            return self
        if len(self.weights) != len(self.expanded):
            message = f"{len(self.weights)} weights are given for {len(self.expanded)} names"
            raise ValueError(message)
        if not self.repeat:
            message = "weights need repeat: true; without repetition every name comes as often"
            raise ValueError(message)
        if sum(self.weights) <= 0:
            message = "weights are all zero; give at least one name a weight above zero"
            raise ValueError(message)
        return self

    @property
    def expanded(self) -> tuple[OperationName, ...]:
        """The names, each group replaced by its members, in order and without doubles."""
        members = [member for name in self.names for member in GROUPS.get(name, (name,))]
        return tuple(dict.fromkeys(members))  # type: ignore[arg-type]

    @property
    def moving(self) -> tuple[str, ...]:
        """The names of those that move pixels."""
        return tuple(name for name in self.expanded if name in _MOVING)

    @property
    def at_point(self) -> bool:
        """Whether views are cut where Grad-CAM of the unchanged image is highest."""
        return self.crop == "gradcam" and "crop" in self.expanded

    @property
    def on_native(self) -> bool:
        """Whether views are made of the image as it was read."""
        return self.act_on == "native"


class Operations(OperationsStep, _Counted):
    """One operation a view: MEMO_PLUS's 19, or albumentations' pixel and spatial ones."""

    count: Count = 9  # MEMO_PLUS: 8 and the original


Step = Annotated[CutStep | AugMixStep | OperationsStep, Field(discriminator="kind")]


class Compose(_Counted):
    """Each view goes through several steps, such as a spatial and then a pixel operation."""

    kind: Literal["compose"] = "compose"
    steps: Annotated[
        tuple[Step, ...],
        Field(min_length=1, max_length=8, description="Augmentations, in order."),
    ]
    count: Count = 8

    @model_validator(mode="after")
    def _point_is_the_originals(self) -> Self:
        if any(_at_point(step) for step in self.steps[1:]):
            message = "crop gradcam needs the unchanged image; let it be the first of the steps"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _native_comes_first(self) -> Self:
        native = [acts_on_native(step) for step in self.steps]
        if native != sorted(native, reverse=True):
            message = "those of steps that act_on native come first: another's result is not native"
            raise ValueError(message)
        return self

    @property
    def on_native(self) -> bool:
        """Whether views are made of the image as it was read."""
        return acts_on_native(self.steps[0])

    @property
    def moving(self) -> tuple[str, ...]:
        """What moves pixels in any of the steps."""
        return tuple(dict.fromkeys(name for step in self.steps for name in step.moving))

    @property
    def at_point(self) -> bool:
        """Whether views are cut where Grad-CAM of the unchanged image is highest."""
        return _at_point(self.steps[0])


def acts_on_native(step: Step) -> bool:
    """Whether a step changes the image as it was read."""
    return isinstance(step, OperationsStep) and step.on_native


def _at_point(step: Step) -> bool:
    return isinstance(step, OperationsStep) and step.at_point


ViewSpec = Annotated[
    Identity | Cut | AugMix | Photometric | Operations | Compose, Field(discriminator="kind")
]
