"""What the schemas of all methods that train a network have in common."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hardy.core.numbers import Positive
from hardy.data.held_out_spec import HeldOut
from hardy.methods.base_spec import MethodBase, Passes, Role
from hardy.methods.optim_spec import AdamW, OptimizerSpec
from hardy.methods.scheduler_spec import Cosine, SchedulerSpec


class TrainingSpec(MethodBase):
    """Base of the schemas of methods that train a network on the experiment's samples."""

    yields_weights: ClassVar[bool] = True
    networks_left: ClassVar[int] = 1

    trains_on_all_cores: ClassVar[bool] = True
    """Whether operations on images up to 64 pixels are divided among cores, too."""

    rising: ClassVar[frozenset[str]] = frozenset()
    """Measures of its own, no metrics of a task, of which a high one is better."""

    epochs: Annotated[int, Field(ge=1, le=10_000, description="Times each sample is seen.")]
    steps: Annotated[
        int | None,
        Field(
            ge=1,
            le=100_000_000,
            description="Steps of the optimizer after which the training ends, in place of "
            "`epochs`; the last epoch may be cut short.",
        ),
    ] = None
    batch: Annotated[int, Field(ge=1, le=65_536, description="Samples a batch.")] = 128
    accumulate: Annotated[
        int | None,
        Field(
            ge=1,
            le=4096,
            description="Batches whose gradients are added up for one step: the step of a batch "
            "that many times larger, in the memory of one, where nothing in the network looks "
            "across a batch as batch norm does.",
        ),
    ] = None
    max_batches: Annotated[
        int | None,
        Field(
            ge=1,
            description="Most batches an epoch; each epoch draws its samples anew. For searches.",
        ),
    ] = None
    drop_last: Annotated[
        bool | None,
        Field(description="Leave out an epoch's last batch where it is smaller than the others."),
    ] = None
    optimizer: Annotated[
        OptimizerSpec,
        Field(
            description="Optimizer; its `lr` is the highest of the schedule. Biases and gains do "
            "not decay."
        ),
    ] = AdamW(lr=1e-3, weight_decay=0.1)
    layer_decay: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            description="Factor of the learning rate from each layer to the one below it, as "
            "fine-tuned transformers have it (arXiv:2106.08254): the head learns at `lr`.",
        ),
    ] = None
    clip: Annotated[
        Positive | None,
        Field(description="Largest norm of a step's gradients; longer ones are shortened."),
    ] = None
    warmup: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="Share of the steps in which the learning rate rises from 0; it then falls "
            "to 0 along a half cosine. For a training without `scheduler`.",
        ),
    ] = 0.1
    scheduler: Annotated[
        SchedulerSpec | None,
        Field(description="The learning rate's way, in place of `warmup` and a half cosine."),
    ] = None
    ema: Annotated[
        float | None,
        Field(
            gt=0,
            lt=1,
            description="Decay a step of an exponential mean of the weights, such as 0.999; the "
            "mean is then what is validated and kept.",
        ),
    ] = None
    validate_on: Annotated[
        HeldOut | None,
        Field(description="Other samples of the dataset that each epoch is measured on."),
    ] = None
    answer_on: Annotated[
        HeldOut | None,
        Field(description="Those that the trained network answers for; none: `validate_on`."),
    ] = None
    keep: Annotated[
        Literal["best", "last"],
        Field(
            description="Whose weights the run leaves: those of the epoch that did best on the "
            "validation samples (the earlier where two are alike), or the last one's."
        ),
    ] = "best"
    keep_every: Annotated[
        int | None,
        Field(
            ge=1,
            description="Epochs from one stored copy of the weights to the next "
            "(`checkpoints/epoch-N.safetensors` of the run), beside those that `keep` names.",
        ),
    ] = None
    monitor: Annotated[
        str | None,
        Field(
            min_length=1,
            description="Validation measure by which epochs are compared, such as accuracy or "
            "loss; none: what the method goes by.",
        ),
    ] = None
    direction: Annotated[
        Literal["max", "min"] | None,
        Field(
            description="Whether a high or a low `monitor` is better; none: as the task says of "
            "its metrics and the method of its own, and low for any other measure."
        ),
    ] = None
    early_stop: Annotated[
        int | None,
        Field(
            ge=1,
            description="Epochs without a better measure after which the training ends early.",
        ),
    ] = None

    @model_validator(mode="after")
    def _options_agree(self) -> Self:
        message = ""
        # A run's own spec states every field, at its default too: it must be read again.
        unstated = type(self).model_fields["warmup"].default
        if self.scheduler is not None and self.warmup != unstated:
            message = "warmup belongs to a training without scheduler; cosine has one of its own"
        elif self.direction is not None and self.monitor is None:
            message = "direction says how monitor is read, but there is no monitor"
        elif (self.accumulate or 1) > 1 and not self.separable:
            message = f"accumulate divides a step among batches, but the loss of {self.kind}"
            message += " compares all samples of a batch; make batch larger"
        if message:
            raise ValueError(message)
        return self

    @property
    def work(self) -> str:
        """What the time of a sample depends on, beside the passes."""
        capped = f", {self.max_batches} an epoch" if self.max_batches else ""
        return f" in batches of {self.batch}{capped}" + (
            f" for {self.steps} steps" if self.steps else ""
        )

    @property
    def needs_layers(self) -> bool:
        """Whether layers learn at rates of their own."""
        return self.layer_decay is not None

    @property
    def monitored(self) -> str | None:
        """The measure that epochs are compared by, where it is stated."""
        return self.monitor

    @property
    def rate(self) -> SchedulerSpec:
        """The learning rate's way."""
        return self.scheduler or Cosine(warmup=self.warmup)

    @property
    def wants_parts(self) -> bool:
        """Whether nothing says on which samples it is to be measured."""
        return self.validate_on is None

    def on_parts(self, validate: HeldOut, answer: HeldOut) -> Self:
        """Return the same on these samples; those to answer for may be stated already."""
        update = {"validate_on": validate, "answer_on": self.answer_on or answer}
        return self.model_copy(update=update)

    def roles(self) -> Mapping[Role, HeldOut | None]:
        """Return the samples to learn from, and those that it is measured on and answers."""
        answered = self.answer_on or self.validate_on
        return {"fit": None, "validate": self.validate_on, "answer": answered}

    def cost(self) -> Passes:
        """Return what one sample costs over all epochs."""
        return Passes(forward=self.epochs, backward=self.epochs, batch=self.batch)

    def batches(self, samples: int) -> int:
        """Return the batches of an epoch on so many samples."""
        whole = samples // self.batch if self.drop_last else -(-samples // self.batch)
        return min(whole, self.max_batches or whole)

    def spent(self, samples: int) -> float:
        """Return how much of `cost` is spent where steps or batches are the budget."""
        seen = min(samples, self.batches(samples) * self.batch)
        if self.steps is None or not seen:
            return seen / samples if samples else 1.0
        accumulate = self.accumulate or 1
        epochs, left = divmod(self.steps, -(-self.batches(samples) // accumulate))
        images = epochs * seen + min(seen, left * accumulate * self.batch)
        return images / (self.epochs * samples)

    def shortest(self) -> Self:
        """Return the same with one epoch, and one sample to validate and to answer for."""
        ones = {
            name: held_out.model_copy(update={"samples": 1})
            for name in ("validate_on", "answer_on")
            if (held_out := getattr(self, name)) is not None
        }
        return self.model_copy(update={"epochs": 1, "steps": None, "drop_last": None, **ones})
