"""Schema of the method `supervised`."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from hardy.core.numbers import Positive
from hardy.core.spec import Spec
from hardy.data.augment_spec import AugmentStep
from hardy.methods.base_spec import Passes
from hardy.methods.training_spec import TrainingSpec
from hardy.tasks.base_spec import PSEUDO

Globs = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
_SMOOTHED = ("cross_entropy", "sigmoid_cross_entropy")


class Freeze(Spec):
    """Parts of a network that begin to learn later."""

    parts: Annotated[
        Globs,
        Field(
            description="Parameters by patterns of their names. Where all of a part are among "
            "them, its batch norms stay in evaluation: their statistics do not move; neither do "
            "codes that follow means, where the patterns fit `codebook.codes`.",
            examples=[["encoder.*"]],
        ),
    ]
    epochs: Annotated[int, Field(ge=1, description="First epochs in which they do not learn.")]


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
        Literal["all", "head"] | Globs,
        Field(
            description="What learns: `all`, the `head`, or parameters by patterns of their names, "
            "such as [layer4.*, fc.*]. The rest stays as it is, its batch norms' statistics "
            "and a codebook's means too.",
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
        Positive | None,
        Field(
            description="Each sample is blended with another of its batch, by a share drawn from "
            "Beta(mixup, mixup), and its loss is that of both truths (arXiv:1710.09412). On "
            "several devices, with another of the same device.",
        ),
    ] = None
    class_weights: Annotated[
        Literal["balanced"] | dict[str, Positive] | None,
        Field(
            description="Weight of each class in the loss, by its name, 1 where none is stated; "
            "`balanced`: the rarer, the heavier, 1 over all samples together.",
            examples=["balanced", {"cat": 2.0}],
        ),
    ] = None

    loss: Annotated[
        dict[str, Positive] | None,
        Field(
            min_length=1,
            description="What the loss is the sum of, each with its weight: terms of the task "
            "(segment: cross_entropy, dice, iou, focal, sigmoid_cross_entropy, mse, pseudo_dice, "
            "pseudo_iou; reconstruct: mse, l1; classify: cross_entropy) and of the network "
            "(commitment, and dictionary where a codebook is learned); none: the task's own.",
            examples=[{"cross_entropy": 1.0, "dice": 1.0, "commitment": 0.25}],
        ),
    ] = None
    over: Annotated[
        Literal["all", "changed"] | None,
        Field(
            description="Which pixels the loss of an image is of: all (none stated), or those that "
            "the shift `changed`."
        ),
    ] = None
    labelled: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            description="Share of the training samples, drawn by the seed, whose truth the loss "
            "sees; of the others it has the terms that begin with `pseudo_`, which take the "
            "network's own answer for the truth.",
        ),
    ] = None
    freeze: Annotated[
        Freeze | None, Field(description="Parts that do not learn in the first epochs.")
    ] = None

    @field_validator("over", mode="before")
    @classmethod
    def _all_is_unstated(cls, stated: object) -> object:
        return None if stated == "all" else stated

    @model_validator(mode="after")
    def _the_loss_is_whole(self) -> Self:
        terms, message = self.loss_terms, ""
        if self.label_smoothing is not None and terms and not set(terms) & set(_SMOOTHED):
            message = f"label_smoothing is of {' and '.join(_SMOOTHED)}, and loss has neither"
        elif any(term.startswith(PSEUDO) for term in terms) and self.labelled is None:
            pseudo = next(term for term in terms if term.startswith(PSEUDO))
            message = (
                f"{pseudo} sees no truth: state the share of samples whose truth the others see, "
                "such as labelled: 0.25, or leave it out"
            )
        elif self.freeze is not None and self.freeze.epochs >= self.epochs:
            message = (
                f"freeze.epochs is {self.freeze.epochs} of epochs {self.epochs}: the parts would "
                "never learn; state fewer, or what learns by tune"
            )
        elif self.labelled is not None and self.mixup is not None:
            message = "mixup blends samples with others, which labelled tells apart; leave one out"
        if message:
            raise ValueError(message)
        return self

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """Return the terms that are stated."""
        return tuple(self.loss or ())

    @property
    def thaws(self) -> bool:
        """Return whether parts are frozen at first."""
        return self.freeze is not None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the classes whose weights are stated."""
        return tuple(self.class_weights) if isinstance(self.class_weights, dict) else ()

    @property
    def loss_options(self) -> Mapping[str, str]:
        """Return what is stated of the loss."""
        fields = {
            "smoothing": "label_smoothing",
            "class_weights": "class_weights",
            "only": "over",
        }
        return {option: f for option, f in fields.items() if getattr(self, f) is not None}

    def cost(self) -> Passes:
        """Return what one sample costs over all epochs; a head alone learns for next to nothing."""
        backward = 0 if self.tune == "head" else self.epochs
        return Passes(forward=self.epochs, backward=backward, batch=self.batch)
