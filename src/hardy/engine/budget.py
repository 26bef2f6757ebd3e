"""How long a training is, and how an epoch is divided into batches and steps."""

from dataclasses import dataclass

from hardy.core.errors import SpecError
from hardy.methods.training_spec import TrainingSpec


@dataclass(frozen=True)
class Budget:
    """How long a training is.

    Attributes:
        batches: Of a whole epoch.
        epoch_steps: Steps of the optimizer of a whole epoch.
        steps: Steps of the training.
        epochs: Epochs of the training; the last one may be cut short.
    """

    batches: int
    epoch_steps: int
    steps: int
    epochs: int

    @classmethod
    def of(cls, spec: TrainingSpec, samples: int) -> "Budget":
        """Return the budget of a schedule on so many samples.

        Raises:
            SpecError: If an epoch has no batch.
        """
        batches = spec.batches(samples)
        if not batches:
            message = f"method.drop_last leaves nothing of {samples} samples in batches of"
            message += f" {spec.batch}"
            raise SpecError(message, hint="Make method.batch smaller, or leave drop_last out.")
        epoch_steps = -(-batches // (spec.accumulate or 1))
        steps = spec.steps or spec.epochs * epoch_steps
        return cls(batches, epoch_steps, steps, -(-steps // epoch_steps))

    def batches_of(self, epoch: int, accumulate: int) -> int:
        """Return the batches of an epoch, counted from 1."""
        left = self.steps - (epoch - 1) * self.epoch_steps
        return min(self.batches, left * accumulate)


@dataclass(frozen=True)
class Parts:
    """How an epoch's samples are divided into batches, and these among steps.

    Attributes:
        sizes: Samples of each batch.
        accumulate: Batches a step; the last step may have fewer.
    """

    sizes: tuple[int, ...]
    accumulate: int

    @classmethod
    def of(cls, spec: TrainingSpec, samples: int, batches: int) -> "Parts":
        """Return how so many batches of an epoch are made up."""
        sizes = tuple(min(spec.batch, samples - n * spec.batch) for n in range(batches))
        return cls(sizes, spec.accumulate or 1)

    @property
    def samples(self) -> int:
        """Samples of all batches."""
        return sum(self.sizes)

    def closes(self, number: int) -> bool:
        """Whether a batch is the last of its step."""
        return (number + 1) % self.accumulate == 0 or number == len(self.sizes) - 1

    def rows(self, number: int) -> int:
        """Return the samples of the step that a batch belongs to."""
        first = number - number % self.accumulate
        return sum(self.sizes[first : first + self.accumulate])

    def check_ranks(self, ranks: int) -> None:
        """Make sure that no batch leaves a rank without a sample.

        Raises:
            SpecError: If the last one does.
        """
        samples = self.sizes[-1]
        if samples < ranks:
            message = (
                f"an epoch's last batch has {samples} sample{'s' * (samples > 1)} for {ranks} ranks"
            )
            raise SpecError(message, hint="Set method.drop_last to true, or change method.batch.")
