"""Schema of the method `supervised`."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hardy.data.augment_spec import AugmentStep
from hardy.methods.base_spec import Passes
from hardy.methods.training_spec import TrainingSpec

Weight = Annotated[float, Field(gt=0)]


class SupervisedSpec(TrainingSpec):
    """Train on samples and their truth: from nothing, a network as it is, or its head alone."""

    baseline: ClassVar[str | None] = None
    tasks: ClassVar[tuple[str, ...]] = ()
    needs_loss: ClassVar[bool] = True
    makes_head: ClassVar[bool] = True
    leaves_more: ClassVar[bool] = False
    measures: ClassVar[frozenset[str] | None] = frozenset({"loss", "train/loss"})
    answer_batch: ClassVar[int] = 32

    kind: Literal["supervised"] = "supervised"
    epochs: Annotated[int, Field(ge=1, le=10_000, description="Times each sample is seen.")] = 20
    tune: Annotated[
        Literal["all", "head"]
        | Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)],
        Field(
            description="What learns: `all`, the `head`, or parameters by patterns of their names, "
            "such as [layer4.*, fc.*]. The rest stays as it is, its batch norms' statistics too.",
            examples=["all", "head", ["layer4.*", "fc.*"]],
        ),
    ] = "all"
    augment: Annotated[
        tuple[AugmentStep, ...],
        Field(description="What is done to a training batch, in this order; none: nothing."),
    ] = ()
    label_smoothing: Annotated[
        float | None,
        Field(gt=0, lt=1, description="Share of the truth that is spread over all classes."),
    ] = None
    mixup: Annotated[
        float | None,
        Field(
            gt=0,
            description="Each sample is blended with another of its batch, by a share drawn from "
            "Beta(mixup, mixup), and its loss is that of both truths (arXiv:1710.09412). On "
            "several devices, with another of the same device.",
        ),
    ] = None
    class_weights: Annotated[
        Literal["balanced"] | dict[str, Weight] | None,
        Field(
            description="Weight of each class in the loss, by its name, 1 where none is stated; "
            "`balanced`: the rarer, the heavier, 1 over all samples together.",
            examples=["balanced", {"cat": 2.0}],
        ),
    ] = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the classes whose weights are stated."""
        return tuple(self.class_weights) if isinstance(self.class_weights, dict) else ()

    @property
    def loss_options(self) -> Mapping[str, str]:
        """Return what is stated of the loss."""
        fields = {"smoothing": "label_smoothing", "class_weights": "class_weights"}
        return {option: f for option, f in fields.items() if getattr(self, f) is not None}

    def cost(self) -> Passes:
        """Return what one sample costs over all epochs; a head alone learns for next to nothing."""
        backward = 0 if self.tune == "head" else self.epochs
        return Passes(forward=self.epochs, backward=backward, batch=self.batch)
