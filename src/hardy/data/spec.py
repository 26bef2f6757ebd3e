"""What a spec may say about data: the dataset, the part of it, and the shift put on it."""

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from hardy.core.spec import Spec
from hardy.data.cards import DATASETS

CorruptionKind = Literal[
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
    "speckle_noise",
    "gaussian_blur",
    "spatter",
    "saturate",
]
CORRUPTIONS: tuple[str, ...] = get_args(CorruptionKind)
"""The 15 corruptions of ImageNet-C in its order, then its 4 extra ones (arXiv:1903.12261)."""


class Corruption(Spec):
    """A corruption of ImageNet-C with its published constants (arXiv:1903.12261)."""

    kind: Annotated[CorruptionKind, Field(description="Name of the ImageNet-C corruption.")]
    severity: Annotated[int, Field(ge=1, le=5, description="Published severity, 1 to 5.")] = 3

    @property
    def label(self) -> str:
        """The shift's name in tables and records, such as `gaussian_noise-3`."""
        return f"{self.kind}-{self.severity}"


class Subset(Spec):
    """A part of a dataset, drawn without replacement by its own seed."""

    count: Annotated[int, Field(gt=0, description="Samples to draw.")]
    seed: Annotated[int, Field(ge=0, description="Seed of the draw.")] = 0


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
            description="Folder of the dataset; none means HARDY_DATA/NAME. ${HARDY_DATA} and "
            "${HARDY_HOME} are replaced."
        ),
    ] = None
    subset: Annotated[Subset | None, Field(description="Use only a part of the samples.")] = None
    shift: Annotated[Corruption | None, Field(description="Corruption put on every sample.")] = None
    on_bad_sample: Annotated[
        Literal["error", "skip"],
        Field(description="What to do with a broken image: stop, or count it and go on."),
    ] = "error"

    @field_validator("dataset")
    @classmethod
    def _known(cls, name: str) -> str:
        # A SpecError would leave pydantic at once; this error is gathered with the others.
        if name not in DATASETS:
            known = {"name": repr(name), "candidates": list(DATASETS)}
            raise PydanticCustomError("unknown_name", "there is no dataset {name}", known)  # noqa: EM101
        return name

    @property
    def shift_label(self) -> str:
        """The shift's name in tables and records; `none` without one."""
        return self.shift.label if self.shift else "none"
