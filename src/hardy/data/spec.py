"""What a spec may say about data: the dataset, the part of it, and the shift put on it."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from hardy.core.spec import Spec
from hardy.data.cards import DATASETS
from hardy.data.shift_spec import CORRUPTIONS as CORRUPTIONS
from hardy.data.shift_spec import Corruption as Corruption
from hardy.data.shift_spec import ShiftSpec


class Subset(Spec):
    """A part of a dataset, drawn without replacement by its own seed."""

    count: Annotated[
        int | None, Field(gt=0, description="Samples to draw; this or `fraction`.")
    ] = None
    fraction: Annotated[
        float | None,
        Field(gt=0, le=1, description="Share of the samples to draw; this or `count`."),
    ] = None
    stratified: Annotated[
        bool, Field(description="Keep each class's share of the samples, to the nearest sample.")
    ] = False
    seed: Annotated[int, Field(ge=0, description="Seed of the draw.")] = 0

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.count is None) == (self.fraction is None):
            message = "the subset needs either count or fraction, and not both"
            raise ValueError(message)
        return self


class ClassFilter(Spec):
    """Which classes' samples are kept. Labels and class names stay as they are."""

    include: Annotated[
        tuple[str, ...] | None,
        Field(description="Names of classes to keep, or patterns such as `[a-z]*`; none: all."),
    ] = None
    exclude: Annotated[
        tuple[str, ...], Field(description="Names or patterns of classes to drop.")
    ] = ()


class Partition(Spec):
    """One of several parts that the samples are divided into, without overlap, by a seed."""

    fractions: Annotated[
        dict[str, Annotated[float, Field(gt=0, le=1)]],
        Field(
            min_length=1,
            description="Share of each part, by its name, such as {train: 0.8, val: 0.2}; "
            "together at most 1.",
        ),
    ]
    part: Annotated[str, Field(description="The part to use; a name in `fractions`.")]
    stratified: Annotated[
        bool, Field(description="Divide each class by these shares, not only the whole.")
    ] = False
    seed: Annotated[int, Field(ge=0, description="Seed of the division.")] = 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if math.fsum(self.fractions.values()) > 1 + 1e-9:
            message = f"the fractions add up to {math.fsum(self.fractions.values()):g}, above 1"
            raise ValueError(message)
        if self.part not in self.fractions:
            message = f"part is {self.part!r}, which is not among {', '.join(self.fractions)}"
            raise ValueError(message)
        return self


OWN_PARTS = Partition(
    fractions={"train": 0.7, "val": 0.15, "test": 0.15}, part="train", stratified=True
)
"""What a dataset that is one whole is divided into, where a method needs parts and none are
stated: to learn from, to measure the training on, to answer for."""


class Shapes(Spec):
    """How many coloured shapes are drawn, how large, and from which seed."""

    count: Annotated[int, Field(gt=0, le=1_000_000, description="Images to draw.")] = 600
    size: Annotated[int, Field(ge=8, le=1024, description="Side of an image, in pixels.")] = 64
    seed: Annotated[int, Field(ge=0, description="Seed of the scenes.")] = 0
    masks: Annotated[
        Literal["trimap"] | None,
        Field(
            description="What masks say of a pixel: its shape's class or background, or, with "
            "`trimap`, as Oxford-IIIT Pet has it, object, background or the border between them, "
            "a band of a twentieth of the image's side; none: the classes."
        ),
    ] = None

    @model_serializer(mode="wrap")
    def _as_stated(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave `masks` out where it is not stated: what older runs keep has no such field."""
        found: dict[str, Any] = plain(self)
        return {
            name: value for name, value in found.items() if name != "masks" or value is not None
        }


class SourceAccuracy(Spec):
    """Band that the unadapted model's accuracy must lie in before a run goes on."""

    at_least: Annotated[float, Field(ge=0, le=1, description="Lowest accuracy, 0 to 1.")] = 0.0
    at_most: Annotated[float, Field(ge=0, le=1, description="Highest accuracy, 0 to 1.")] = 1.0
    samples: Annotated[
        int, Field(gt=0, description="Samples to try it on, the same in every run.")
    ] = 64

    @model_validator(mode="after")
    def _a_band(self) -> Self:
        if self.at_least > self.at_most:
            message = f"at_least is {self.at_least}, above at_most, which is {self.at_most}"
            raise ValueError(message)
        return self


def splits_of(dataset: str) -> tuple[str, ...]:
    """Return the parts that a dataset has; none where it is one whole."""
    card = DATASETS[dataset]
    if not card.corrupted:
        return card.splits
    return tuple(f"{kind}/{severity}" for kind in CORRUPTIONS for severity in range(1, 6))


class DataSpec(Spec):
    """Which samples an experiment sees, and what is done to them."""

    dataset: Annotated[
        str,
        Field(
            description="Name of a dataset; `hardy list datasets` shows them.",
            json_schema_extra={"enum": list(DATASETS)},
        ),
    ]
    root: Annotated[
        str | None,
        Field(
            description="Folder of the dataset, relative to the project; none means "
            "HARDY_DATA/NAME, or else the folder there that its archive unpacks to, if that "
            "folder's name tells what it is. ${HARDY_DATA}, ${HARDY_HOME} and ${HOME} are replaced."
        ),
    ] = None
    split: Annotated[
        str | None,
        Field(
            description="Part that the dataset comes in, such as train or test; none: its first. "
            "Stored corruptions are named KIND/SEVERITY, such as gaussian_noise/3."
        ),
    ] = None
    classes: Annotated[
        ClassFilter | None, Field(description="Use only the samples of some classes.")
    ] = None
    partition: Annotated[
        Partition | None, Field(description="Divide the samples by a seed and use one part.")
    ] = None
    subset: Annotated[Subset | None, Field(description="Use only a part of the samples.")] = None
    shapes: Annotated[
        Shapes | None, Field(description="What to draw; for the dataset shapes alone.")
    ] = None
    download: Annotated[
        bool, Field(description="Fetch the dataset from its publisher if it is absent.")
    ] = False
    expect_source_accuracy: Annotated[
        SourceAccuracy | None,
        Field(description="Stop before a long run if the unadapted model is not in this band."),
    ] = None
    shift: Annotated[ShiftSpec | None, Field(description="Shift put on every sample.")] = None
    on_bad_sample: Annotated[
        Literal["error", "skip"],
        Field(
            description="What to do with a broken image or mask: stop, or leave it out, whatever "
            "it is for, and count and name it (`data/skipped.csv` of the run)."
        ),
    ] = "error"

    @field_validator("dataset")
    @classmethod
    def _known(cls, name: str) -> str:
        # A SpecError would leave pydantic at once; this error is gathered with the others.
        if name not in DATASETS:
            known = {"name": repr(name), "candidates": list(DATASETS)}
            raise PydanticCustomError("unknown_name", "there is no dataset {name}", known)  # noqa: EM101
        return name

    @model_validator(mode="after")
    def _fits_the_dataset(self) -> Self:
        if self.dataset not in DATASETS:  # reported already
            return self
        card, splits = DATASETS[self.dataset], splits_of(self.dataset)
        message = ""
        if self.split is None and card.corrupted:
            message = f"dataset {self.dataset} needs data.split, such as {splits[0]}"
        elif self.split is not None and self.split not in splits:
            has = (
                "; it is one whole, which data.partition divides"
                if not splits
                else f"; it has {', '.join(splits[:5])}"
            )
            has += ", ..." if len(splits) > 5 else ""
            message = f"split is {self.split!r}, which {self.dataset} has not{has}"
        elif self.shapes is not None and self.dataset != "shapes":
            message = f"shapes says what to draw, but dataset {self.dataset} is not drawn"
        elif self.download and not card.downloads:
            message = f"download is true, but {self.dataset} has no public address"
        if message:
            raise ValueError(message)
        return self

    def identity(self) -> dict[str, Any]:
        """Return what can change numbers: neither the download nor the check of the source is."""
        outside = ("download", "expect_source_accuracy")
        return {key: value for key, value in super().identity().items() if key not in outside}

    @property
    def part_name(self) -> str:
        """The dataset's own part that is used; empty where the dataset is one whole."""
        splits = splits_of(self.dataset)
        return self.split or (splits[0] if splits else "")

    @property
    def shift_label(self) -> str:
        """The shift's name in tables and records; `none` without one.

        A stored corruption is one too: `gaussian_noise-3` for the split gaussian_noise/3.
        """
        stored = self.part_name.replace("/", "-") if DATASETS[self.dataset].corrupted else ""
        put_on = self.shift.label if self.shift else ""
        return "+".join(filter(None, (stored, put_on))) or "none"
