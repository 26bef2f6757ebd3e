"""What the schemas of all methods that train a network have in common."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from hardy.data.held_out_spec import HeldOut
from hardy.methods.base_spec import MethodBase, Passes, Role
from hardy.methods.optim_spec import AdamW, OptimizerSpec


class TrainingSpec(MethodBase):
    """Base of the schemas of methods that train a network on the experiment's samples."""

    yields_weights: ClassVar[bool] = True

    epochs: Annotated[int, Field(ge=1, le=10_000, description="Times each sample is seen.")]
    batch: Annotated[int, Field(ge=1, le=65_536, description="Samples a step.")] = 128
    optimizer: Annotated[
        OptimizerSpec,
        Field(
            description="Optimizer; its `lr` is the highest of the schedule. Biases and gains do "
            "not decay."
        ),
    ] = AdamW(lr=1e-3, weight_decay=0.1)
    warmup: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="Share of the steps in which the learning rate rises from 0; it then falls "
            "to 0 along a half cosine.",
        ),
    ] = 0.1
    validate_on: Annotated[
        HeldOut,
        Field(description="Other samples of the dataset that the run is measured on."),
    ]
    keep: Annotated[
        Literal["best", "last"],
        Field(
            description="Whose weights the run leaves: those of the epoch that did best on the "
            "validation samples (the earlier where two are alike), or the last one's."
        ),
    ] = "best"

    def roles(self) -> Mapping[Role, HeldOut | None]:
        """Return the samples to learn from, and those that it is measured on and answers."""
        return {"fit": None, "validate": self.validate_on, "answer": self.validate_on}

    def cost(self) -> Passes:
        """Return what one sample costs over all epochs."""
        return Passes(forward=self.epochs, backward=self.epochs, batch=self.batch)

    def shortest(self) -> Self:
        """Return the same with one epoch and one validation sample."""
        one = self.validate_on.model_copy(update={"samples": 1})
        return self.model_copy(update={"epochs": 1, "validate_on": one})
