"""What a spec may say about augmentation: how a training's batches differ from epoch to epoch."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hardy.core.errors import SpecError
from hardy.core.spec import Spec
from hardy.data.shift_spec import Area, GaussianSigma, ShiftSpec, rising

Positive = Annotated[float, Field(gt=0, le=100)]
Ratio = Annotated[tuple[Positive, Positive], AfterValidator(rising)]
Sigma = Annotated[tuple[Positive, Positive], AfterValidator(rising)]
Level = Annotated[float, Field(ge=0, le=1)]
Levels = Annotated[tuple[Level, Level], AfterValidator(rising)]


class _Sometimes(Spec):
    """A step that not every sample goes through."""

    probability: Annotated[
        float, Field(ge=0, le=1, description="Share of the samples that go through the step.")
    ] = 1.0


class Crop(Spec):
    """A random part of the image, resized to the network's input (arXiv:1409.4842)."""

    kind: Literal["crop"] = "crop"
    area: Annotated[
        Area,
        Field(
            description="Least and largest share of the area of what evaluation shows of the "
            "image; uniform between them."
        ),
    ] = (0.08, 1.0)
    ratio: Annotated[
        Ratio,
        Field(
            description="Least and largest width / height of the part; log-uniform between them, "
            "and not beyond what the image has room for."
        ),
    ] = (3 / 4, 4 / 3)


class Flip(Spec):
    """Mirroring."""

    kind: Literal["flip"] = "flip"
    horizontal: Annotated[
        float, Field(ge=0, le=1, description="Share of the samples whose left becomes right.")
    ] = 0.5
    vertical: Annotated[
        float, Field(ge=0, le=1, description="Share of the samples whose top becomes bottom.")
    ] = 0.0


class Rotate(_Sometimes):
    """Rotation about the centre; what the image does not cover is its mirror image."""

    kind: Literal["rotate"] = "rotate"
    degrees: Annotated[
        float,
        Field(gt=0, le=180, description="Largest angle either way, in degrees; uniform."),
    ] = 15.0


class Jitter(_Sometimes):
    """Brightness, contrast, saturation and hue, each changed by a factor, in this order."""

    kind: Literal["jitter"] = "jitter"
    brightness: Annotated[
        float, Field(ge=0, le=10, description="Factor uniform in [max(0, 1 - it), 1 + it].")
    ] = 0.4
    contrast: Annotated[
        float, Field(ge=0, le=10, description="Factor uniform in [max(0, 1 - it), 1 + it].")
    ] = 0.4
    saturation: Annotated[
        float, Field(ge=0, le=10, description="Factor uniform in [max(0, 1 - it), 1 + it].")
    ] = 0.4
    hue: Annotated[
        float,
        Field(ge=0, le=0.5, description="Turn uniform in [-it, it]; 1 is the whole colour circle."),
    ] = 0.1


class Grey(_Sometimes):
    """All colour taken out."""

    kind: Literal["grey"] = "grey"
    probability: Annotated[
        float, Field(ge=0, le=1, description="Share of the samples that go through the step.")
    ] = 0.2


class Blur(_Sometimes):
    """Gaussian blur."""

    kind: Literal["blur"] = "blur"
    sigma: Annotated[
        Sigma,
        Field(
            description="Least and largest standard deviation, in pixels of the network's input; "
            "uniform between them."
        ),
    ] = (0.1, 2.0)


class Erase(_Sometimes):
    """A box of one level (arXiv:1708.04896); masks and clean images keep what it hides."""

    kind: Literal["erase"] = "erase"
    probability: Annotated[
        float, Field(ge=0, le=1, description="Share of the samples that go through the step.")
    ] = 0.5
    area: Annotated[
        Area, Field(description="Least and largest share of the image's area; uniform.")
    ] = (0.02, 0.33)
    ratio: Annotated[
        Ratio,
        Field(
            description="Least and largest width / height of the box; log-uniform between them, "
            "and not beyond what the image has room for."
        ),
    ] = (0.3, 10 / 3)
    fill: Annotated[float, Field(ge=0, le=255, description="Level of the box, in [0, 255].")] = 0.0


class Noise(_Sometimes):
    """Normal noise on each value, clipped to the range of an image but not rounded."""

    kind: Literal["noise"] = "noise"
    sigma: Annotated[
        Levels,
        Field(
            description="Least and largest standard deviation, for values in [0, 1]; uniform "
            "between them."
        ),
    ] = (0.0, 0.1)


AugmentStep = Annotated[
    Crop | Flip | Rotate | Jitter | Grey | Blur | Erase | Noise, Field(discriminator="kind")
]
"""One step. Those that move pixels (crop, flip, rotate) come first, in their order, then the
others, in theirs."""

LARGEST = 2.0
"""Images are kept at most this many times as large as the network's input."""


def crop_scale(steps: Sequence[AugmentStep]) -> float:
    """Return how much larger than the network's input images are kept, so that crops are sharp.

    The smallest part that may be cut is then as large as the input, but for `LARGEST`: a part of a
    sixteenth of the area would take 16 times the memory.
    """
    areas = [step.area[0] for step in steps if isinstance(step, Crop)]
    return min(LARGEST, min(areas) ** -0.5) if areas else 1.0


def check_augment(steps: Sequence[AugmentStep], shift: ShiftSpec | None) -> None:
    """Refuse a random crop under a shift of pixels.

    Raises:
        SpecError: If both are there.
    """
    late = isinstance(shift, GaussianSigma) and shift.space == "normalised"
    if shift is None or late or not any(isinstance(step, Crop) for step in steps):
        return
    message = (
        f"augmentation by crop cannot be with data.shift {shift.label}: a shift is put on the "
        "network's input, and a crop is cut from the image before"
    )
    raise SpecError(message, hint="Leave crop out, or data.shift.")
