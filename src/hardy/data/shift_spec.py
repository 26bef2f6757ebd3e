"""What a spec may say about shifts: what is done to every sample before the model sees it."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from hardy.core.spec import Spec

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


ShiftSpec = Annotated[
    Corruption | GaussianSigma | BlurPercent | SaltAndPepper | Poisson | Speckle,
    Field(discriminator="kind"),
]
