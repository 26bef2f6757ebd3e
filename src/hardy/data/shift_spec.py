"""What a spec may say about shifts: what is done to every sample before the model sees it."""

from typing import Annotated, Literal, Self, TypeAlias, get_args

from pydantic import AfterValidator, Field, model_validator

from hardy.core.spec import Spec


def rising(bounds: tuple[float, float]) -> tuple[float, float]:
    """Refuse bounds of which the first is above the second."""
    if bounds[0] > bounds[1]:
        message = f"the first bound, {bounds[0]:g}, is above the second, {bounds[1]:g}"
        raise ValueError(message)
    return bounds


Share = Annotated[float, Field(gt=0, le=1)]
Area = Annotated[tuple[Share, Share], AfterValidator(rising)]
Factor = Annotated[
    float, Field(ge=0, le=10, description="Factor uniform in [max(0, 1 - it), 1 + it].")
]

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


class GaussianSigma(Spec):
    """Normal noise of a stated strength, before or after the normalisation."""

    kind: Literal["gaussian_sigma"] = "gaussian_sigma"
    sigma: Annotated[
        float, Field(ge=0, le=100, description="Standard deviation, in the units of `space`.")
    ]
    space: Annotated[
        Literal["pixels", "normalised"],
        Field(
            description="`pixels` adds it to values in [0, 1] and rounds to 256 levels; "
            "`normalised` adds it to the network's input, unrounded and unclipped."
        ),
    ] = "pixels"

    @property
    def label(self) -> str:
        """The shift's name in tables and records, such as `gaussian_sigma-0.5-normalised`."""
        return f"{self.kind}-{self.sigma:g}{'' if self.space == 'pixels' else '-normalised'}"


class BlurPercent(Spec):
    """Gaussian blur of radius int(percent / 10) pixels: P3's robustness test."""

    kind: Literal["blur_percent"] = "blur_percent"
    percent: Annotated[float, Field(ge=0, le=100, description="Strength, 0 to 100.")]

    @property
    def label(self) -> str:
        """The shift's name in tables and records, such as `blur_percent-50`."""
        return f"{self.kind}-{self.percent:g}"


class SaltAndPepper(Spec):
    """Single channel values set to black or white, evenly."""

    kind: Literal["salt_and_pepper"] = "salt_and_pepper"
    amount: Annotated[float, Field(ge=0, le=1, description="Share of the values, 0 to 1.")]

    @property
    def label(self) -> str:
        """The shift's name in tables and records, such as `salt_and_pepper-0.01`."""
        return f"{self.kind}-{self.amount:g}"


class Poisson(Spec):
    """Each value drawn from a Poisson law about it, as in a dim light."""

    kind: Literal["poisson"] = "poisson"
    peak: Annotated[float, Field(ge=1, le=1e6, description="Mean counts at white.")] = 255.0

    @property
    def label(self) -> str:
        """The shift's name in tables and records, such as `poisson-25`."""
        return f"{self.kind}-{self.peak:g}"


class Speckle(Spec):
    """Each value multiplied by 1 plus normal noise."""

    kind: Literal["speckle"] = "speckle"
    sigma: Annotated[float, Field(ge=0, le=100, description="Standard deviation of the factor.")]

    @property
    def label(self) -> str:
        """The shift's name in tables and records, such as `speckle-0.15`."""
        return f"{self.kind}-{self.sigma:g}"


class Mask(Spec):
    """A part of the image hidden under one level, drawn for each sample: what inpainting undoes."""

    kind: Literal["mask"] = "mask"
    area: Annotated[
        Area,
        Field(description="Least and largest share of the image's area; uniform between them."),
    ] = (0.05, 0.25)
    shape: Annotated[
        Literal["rectangle", "blocks", "patches"],
        Field(
            description="`rectangle`: one, whose width / height is log-uniform in [1/2, 2]; "
            "`blocks`: squares anywhere, which may overlap and reach over an edge to the opposite "
            "one, the last cut to the area; `patches`: squares of a grid, as masked autoencoders "
            "have them (arXiv:2111.06377), as many as come nearest to the area, one at least."
        ),
    ] = "rectangle"
    patch: Annotated[
        int | None,
        Field(ge=1, le=1024, description="Side of a block or a patch, in pixels; none: 16."),
    ] = None
    fill: Annotated[
        float, Field(ge=0, le=1, description="Level of what is hidden, for values in [0, 1].")
    ] = 0.5
    sides: Annotated[
        bool,
        Field(
            description="Read `area` as a share of the rows and, the same one, of the columns, as "
            "P3's code does: 0.05 to 0.25 then hide 0.25 % to 6.25 % of the area."
        ),
    ] = False

    @model_validator(mode="after")
    def _options_agree(self) -> Self:
        message = ""
        if self.shape == "rectangle" and self.patch is not None:
            message = "patch is the side of blocks or patches; leave it out for a rectangle"
        elif self.shape != "rectangle" and self.sides:
            message = f"sides is of a rectangle; {self.shape} hide a share of the area"
        if message:
            raise ValueError(message)
        return self

    @property
    def side(self) -> int:
        """Side of a block or a patch, in pixels."""
        return self.patch or 16

    @property
    def label(self) -> str:
        """The shift's name in tables and records, such as `mask-patches-16-0.05-0.25`."""
        side = "" if self.shape == "rectangle" else f"-{self.side}"
        shape = "sides" if self.sides else f"{self.shape}{side}"
        fill = "" if self.fill == 0.5 else f"-fill-{self.fill:g}"
        return f"{self.kind}-{shape}-{self.area[0]:g}-{self.area[1]:g}{fill}"


class Turn(Spec):
    """The image turned by a whole number of quarters, one of some, each as likely as the others."""

    kind: Literal["turn"] = "turn"
    degrees: Annotated[
        tuple[Literal[0, 90, 180, 270], ...],
        Field(
            min_length=1,
            description="Angles against the clock. 90 and 270 need square inputs.",
        ),
    ] = (0, 90, 180, 270)

    @property
    def label(self) -> str:
        """The shift's name in tables and records, such as `turn-0-90-180-270`."""
        return "-".join([self.kind, *map(str, self.degrees)])


class ColourJitter(Spec):
    """Brightness, contrast, saturation and hue each changed, in an order drawn anew.

    It is torchvision's `ColorJitter` on a Pillow image, step by step.
    """

    kind: Literal["colour_jitter"] = "colour_jitter"
    brightness: Factor = 0.5
    contrast: Factor = 0.5
    saturation: Factor = 0.5
    hue: Annotated[
        float,
        Field(ge=0, le=0.5, description="Turn uniform in [-it, it]; 1 is the whole colour circle."),
    ] = 0.1

    @property
    def label(self) -> str:
        """The shift's name in tables and records, such as `colour_jitter-0.5-0.5-0.5-0.1`."""
        amounts = self.brightness, self.contrast, self.saturation, self.hue
        return "-".join([self.kind, *(f"{amount:g}" for amount in amounts)])


class Greyscale(Spec):
    """All colour taken out of some samples."""

    kind: Literal["greyscale"] = "greyscale"
    probability: Annotated[
        float, Field(gt=0, le=1, description="Share of the samples that lose their colour.")
    ] = 0.2

    @property
    def label(self) -> str:
        """The shift's name in tables and records, such as `greyscale-0.2`."""
        return f"{self.kind}-{self.probability:g}"


_Plain: TypeAlias = (
    Corruption
    | GaussianSigma
    | BlurPercent
    | SaltAndPepper
    | Poisson
    | Speckle
    | Mask
    | Turn
    | ColourJitter
    | Greyscale
)
PLAIN: tuple[type[Spec], ...] = get_args(_Plain)
"""The schemas of all shifts but `one_of`, which is of these."""


class OneOf(Spec):
    """One of several shifts for each sample, each as likely as the others."""

    kind: Literal["one_of"] = "one_of"
    shifts: Annotated[
        tuple[Annotated[_Plain, Field(discriminator="kind")], ...],
        Field(min_length=1, description="Which."),
    ]
    probability: Annotated[
        float | None,
        Field(
            gt=0,
            lt=1,
            description="Share of the samples that are shifted at all; none: all.",
        ),
    ] = None

    @model_validator(mode="after")
    def _all_on_pixels(self) -> Self:
        if any(isinstance(s, GaussianSigma) and s.space == "normalised" for s in self.shifts):
            message = "noise after the normalisation cannot be one of several shifts; set its "
            message += "space to pixels"
            raise ValueError(message)
        return self

    @property
    def label(self) -> str:
        """The shift's name in tables and records, such as `one_of-fog-3+snow-3`."""
        share = "" if self.probability is None else f"-{self.probability:g}"
        return f"{self.kind}{share}-{'+'.join(shift.label for shift in self.shifts)}"


ShiftSpec = Annotated[_Plain | OneOf, Field(discriminator="kind")]


def turns(shift: ShiftSpec | None) -> frozenset[int]:
    """Return the angles, in degrees, that a shift turns images by; empty where it turns none."""
    if isinstance(shift, Turn):
        return frozenset(shift.degrees) - {0}
    inner = shift.shifts if isinstance(shift, OneOf) else ()
    return frozenset[int]().union(*map(turns, inner))
