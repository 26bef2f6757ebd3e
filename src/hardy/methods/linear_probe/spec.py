"""Schema of the method `linear_probe`."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hardy.core.numbers import Positive
from hardy.methods.base_spec import Passes
from hardy.methods.optim_spec import Adam, OptimizerSpec
from hardy.methods.training_spec import TrainingSpec


class LinearProbeSpec(TrainingSpec):
    """Train a linear classifier on the features of a network that stays as it is."""

    baseline: ClassVar[str | None] = None
    makes_head: ClassVar[bool] = True
    leaves_more: ClassVar[bool] = False
    measures: ClassVar[frozenset[str] | None] = frozenset({"loss", "train/loss"})
    answer_batch: ClassVar[int] = 32
    # Its steps are too small to be divided.
    trains_on_all_cores: ClassVar[bool] = False

    kind: Literal["linear_probe"] = "linear_probe"
    epochs: Annotated[int, Field(ge=1, le=10_000, description="Times each sample is seen.")] = 100
    batch: Annotated[int, Field(ge=1, le=65_536, description="Samples a batch.")] = 1024
    optimizer: Annotated[
        OptimizerSpec,
        Field(
            description="Optimizer; its `lr` is the highest of the schedule. The bias does not "
            "decay."
        ),
    ] = Adam(lr=1e-2)
    normalise: Annotated[
        bool, Field(description="Whether features are divided by their length first.")
    ] = True
    batch_norm: Annotated[
        bool,
        Field(
            description="Whether a batch norm without gains and biases comes before the linear "
            "layer; it answers by the statistics of training."
        ),
    ] = False
    noise: Annotated[
        tuple[Annotated[float, Field(ge=0, le=100)], ...] | None,
        Field(
            min_length=1,
            description="Standard deviations of normal noise, in units of the network's input: at "
            "each of them the features to learn from are computed once; 0 is none. None: [0].",
            examples=[[0, 0.2, 0.4]],
        ),
    ] = None
    l2: Annotated[
        Positive | None,
        Field(
            description="Adds l2/2 times the sum of the squared weights, without the bias, to the "
            "mean loss. On n samples, l2 = 1/(C n) is scikit-learn's LogisticRegression(C).",
        ),
    ] = None

    @model_validator(mode="after")
    def _one_layer_learns(self) -> Self:
        message = ""
        if self.layer_decay is not None:
            message = "layer_decay is for networks of which every layer learns; leave it out"
        elif len(set(self.noise or ())) < len(self.noise or ()):
            message = f"noise has a level twice: {', '.join(map(str, self.noise or ()))}"
        if message:
            raise ValueError(message)
        return self

    @property
    def levels(self) -> tuple[float, ...]:
        """Levels of noise at which a sample is seen."""
        return self.noise or (0.0,)

    def cost(self) -> Passes:
        """Return what one sample costs, over all epochs: its features, once at each level."""
        return Passes(forward=len(self.levels), backward=0)

    def spent(self, samples: int) -> float:
        """Return 1: steps of the head cost next to nothing."""
        return 1.0
