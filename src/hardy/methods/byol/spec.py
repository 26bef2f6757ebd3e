"""Schema of the method `byol`."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hardy.core.spec import Spec
from hardy.data.augment_spec import AugmentStep
from hardy.data.shift_spec import ShiftSpec
from hardy.methods.base_spec import Passes
from hardy.methods.training_spec import TrainingSpec

Sigma = Annotated[float, Field(ge=0, le=100)]


class ViewNoise(Spec):
    """Normal noise on the first view, drawn anew for each step; its strength may change."""

    sigma: Annotated[
        Sigma,
        Field(description="Standard deviation in the first epoch, in the units of `space`."),
    ] = 0.2
    to: Annotated[
        Sigma | None,
        Field(description="Standard deviation in the last epoch; none: the same in all."),
    ] = None
    ramp: Annotated[
        Literal["linear", "cosine"],
        Field(description="The way from `sigma` to `to`: a line over epochs, or half a cosine."),
    ] = "linear"
    space: Annotated[
        Literal["normalised", "pixels"],
        Field(
            description="`normalised` adds it to the network's input, unclipped; `pixels` to "
            "values in [0, 1], which are then clipped but not rounded."
        ),
    ] = "normalised"


class Heads(Spec):
    """A head of two layers: linear, batch norm, ReLU, linear."""

    hidden: Annotated[int, Field(ge=1, le=65_536, description="Width of the layer within.")] = 512
    size: Annotated[int, Field(ge=1, le=65_536, description="Width of what comes out.")] = 128


class Neighbours(Spec):
    """The nearest neighbours among training samples, weighted by exp(cosine / temperature)."""

    k: Annotated[int, Field(ge=1, le=10_000, description="How many count.")] = 20
    temperature: Annotated[
        float, Field(gt=0, le=100, description="The lower, the more the nearest count.")
    ] = 0.07
    bank: Annotated[
        int, Field(ge=2, le=1_000_000, description="Most training samples to look among.")
    ] = 5000

    @model_validator(mode="after")
    def _enough_to_look_among(self) -> Self:
        if self.k > self.bank:
            message = f"k is {self.k}, but the bank has {self.bank} samples: lower k or raise bank"
            raise ValueError(message)
        return self


def _noise(stated: Mapping[str, Any]) -> ViewNoise | None:
    """Return the noise where none is stated: a shift takes its place."""
    return None if stated.get("shift") else ViewNoise()


class ByolSpec(TrainingSpec):
    """Train a network without labels: two views of an image are to look alike (BYOL)."""

    baseline: ClassVar[str | None] = None
    tasks: ClassVar[tuple[str, ...]] = ("classify", "represent")
    makes_head: ClassVar[bool] = True
    separable: ClassVar[bool] = False
    networks_left: ClassVar[int] = 2  # and its target
    measures: ClassVar[frozenset[str]] = frozenset(
        {
            "loss",
            "train/loss",
            "probe_accuracy",
            "features/spread",
            "features/effective_rank",
            "projections/spread",
            "projections/effective_rank",
            "collapsed",
        }
    )
    rising: ClassVar[frozenset[str]] = measures - {"loss", "train/loss", "collapsed"}
    answer_batch: ClassVar[int] = 32
    fewest: ClassVar[int] = 2
    asks_head: ClassVar[bool] = False  # which learns nothing

    kind: Literal["byol"] = "byol"
    epochs: Annotated[int, Field(ge=1, le=10_000, description="Times each sample is seen.")] = 100
    keep: Annotated[
        Literal["best", "last"],
        Field(
            description="Whose weights the run leaves: the last epoch's, or the best one's on the "
            "validation samples: by their nearest neighbours' labels where there are any, which "
            "uses labels; else by the loss."
        ),
    ] = "last"
    shift: Annotated[
        ShiftSpec | None,
        Field(
            description="What is done to the first view in place of noise, drawn anew in each "
            "epoch."
        ),
    ] = None
    noise: Annotated[
        ViewNoise | None,
        Field(
            default_factory=_noise,
            description="Noise on the first view, of sigma 0.2 where nothing is stated; null for "
            "none, and where `shift` is stated.",
            examples=[{"sigma": 0.2, "to": 1.4}],
        ),
    ]
    augment: Annotated[
        tuple[AugmentStep, ...],
        Field(description="What is done to both views first, drawn for each; none: nothing."),
    ] = ()
    momentum: Annotated[
        float,
        Field(ge=0, le=1, description="Share of itself that the target keeps at a step."),
    ] = 0.996
    momentum_to: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="The momentum at the end, along half a cosine over all steps; none: the "
            "same throughout.",
        ),
    ] = None
    projector: Annotated[Heads, Field(description="Head on the features of both networks.")] = (
        Heads()
    )
    predictor: Annotated[
        Heads | None,
        Field(
            description="Head that foretells the target's projection, which has as many values; "
            "null for none: for trials of how a training collapses."
        ),
    ] = Heads()
    validate_sigma: Annotated[
        Sigma | Literal["current"] | None,
        Field(
            description="Noise of validation, the same in all epochs: a number, or none for the "
            "last epoch's; `current` is the epoch's own, so that losses cannot be compared."
        ),
    ] = None
    tune: Annotated[
        Literal["all"]
        | Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)],
        Field(
            description="What learns of the network: `all`, or parameters by patterns of their "
            "names, such as [layer4.*]. The heads always do.",
            examples=["all", ["layer4.*"]],
        ),
    ] = "all"
    neighbours: Annotated[
        Neighbours, Field(description="How features are judged, and answers given, by labels.")
    ] = Neighbours()
    online_probe: Annotated[
        bool | None,
        Field(
            description="Whether a linear classifier of the features learns beside, without any "
            "influence on them; none: where there are labels."
        ),
    ] = None
    view_grids: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...],
        Field(description="Epochs of which 32 samples' views are drawn, such as [1, 100]."),
    ] = ()

    @model_validator(mode="after")
    def _views_agree(self) -> Self:
        message = ""
        if self.shift is not None and self.noise is not None:
            message = "shift takes the place of noise on the first view; leave noise out"
        elif self.shift is not None and self.augment:
            message = "shift is put on the network's input, and augment on the image before; "
            message += "leave one of them out, or set noise in place of shift"
        elif self.validate_sigma is not None and self.noise is None:
            message = "validate_sigma is noise of validation, but noise is null"
        elif self.predictor is not None and self.predictor.size != self.projector.size:
            message = f"predictor.size is {self.predictor.size}, but it foretells projections of "
            message += f"projector.size {self.projector.size}"
        elif self.online_probe is False and (self.monitor or "").endswith("probe_accuracy"):
            message = f"monitor is {self.monitor}, but online_probe is false"
        if message:
            raise ValueError(message)
        return self

    @property
    def needs_labels(self) -> str:
        """The probe, where it is asked for; where nothing is stated, labels decide."""
        return "online_probe" if self.online_probe else ""

    def cost(self) -> Passes:
        """Return what one sample costs: both views, through the network and through the target."""
        return Passes(forward=4 * self.epochs, backward=2 * self.epochs, batch=2 * self.batch)

    def lasts(self, samples: int) -> tuple[int, int]:
        """Return the epochs and the steps of a training on so many samples."""
        each = max(1, self.batches(samples))  # a training without a batch is refused later on
        steps = self.steps or self.epochs * each
        return -(-steps // each), steps
