"""Learning before answering: what a method may ask of the engine, and what it trains.

What `fit` returns is written to files of the run, and every process that answers loads these,
that which fitted included.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from hardy.data.augment_spec import AugmentStep
from hardy.data.dataset import Dataset
from hardy.data.item import Batch, Targets
from hardy.data.shift_spec import ShiftSpec
from hardy.methods.base import Subject
from hardy.methods.base_spec import Role
from hardy.methods.learner import Learner
from hardy.tasks.base import Task


class Source(Protocol):
    """Samples for a training, in batches."""

    @property
    def seed(self) -> int:
        """The experiment's seed, of which all that is drawn derives."""

    def __len__(self) -> int:
        """Return how many samples there are."""

    def batches(
        self,
        order: Sequence[int],
        size: int,
        epoch: int,
        *,
        first: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> Generator[Batch, None, None]:
        """Yield batches; the Nth holds the samples `order[N * size:(N + 1) * size]`.

        Args:
            order: Places of samples; the last batch may be smaller.
            size: Samples a batch.
            epoch: Counted from 1; 0 where samples are only measured, and nothing is drawn.
            first: The batch to begin with; nothing before it is read.
            rank: Of each batch, only the rows `rank::ranks` are yielded.
            ranks: Among how many a batch is divided.
        """


class Work(Protocol):
    """What `Fits.fit` may ask of the engine.

    Attributes:
        seed: The experiment's.
        device: The models'.
        task: The experiment's.
    """

    seed: int
    device: torch.device
    task: Task

    def data(self, role: Role) -> Dataset:
        """Return a role's samples."""

    def source(
        self,
        role: Role,
        augment: Sequence[AugmentStep] = (),
        *,
        left: bool = False,
        shift: ShiftSpec | None = None,
    ) -> Source:
        """Return a role's images in batches, as large as the network's input, and shifted.

        Args:
            role: Which.
            augment: What is done to batches of epoch 1 and later, on the device.
            left: Whether the method does that itself: batches come as large as it needs.
            shift: What is put on the samples, anew in each epoch; `Targets.image` is then the
                image before.

        Raises:
            SpecError: If the augmentation cuts crops and there is a shift of pixels, if it is left
                and there is noise after the normalisation, or if there are two shifts.
            DataError: If a sample is broken and the spec does not say `on_bad_sample: skip`.
        """

    def subjects(self, role: Role) -> Iterator[tuple[Subject, Targets]]:
        """Yield a role's samples one by one, with the method's views, as in answering.

        Raises:
            DataError: If a sample is broken and the spec does not say `on_bad_sample: skip`, or
                all are broken.
        """

    def train(self, learner: Learner, fit: Source, validate: Source | None) -> None:
        """Train, going on where a run that was stopped left off.

        The learner is left with the weights to keep.

        Args:
            learner: Is trained.
            fit: Samples to learn from.
            validate: Samples that each epoch is measured on; None for none.

        Raises:
            MethodError: If a loss is not finite.
        """

    def kept(
        self,
        kind: str,
        key: Any,  # noqa: ANN401 - any JSON value
        make: Callable[[], dict[str, Tensor]],
        role: Role = "fit",
    ) -> dict[str, Tensor]:
        """Return what `make` gives, from the cache where the same was made before.

        Args:
            kind: What it is, for the listing of what is kept.
            key: All that it follows from beside the unit's models, precision, seed, and the
                role's samples with their shift: a JSON value.
            make: Makes it.
            role: Of which samples it is made.
        """

    def autocast(self) -> AbstractContextManager[object]:
        """Return a context in which passes of a network have the experiment's precision.

        `train` and `subjects` have it already.
        """

    def log(self, values: Mapping[str, float]) -> None:
        """Log metrics of the run."""

    def picture(self, path: str, picture: Image.Image) -> None:
        """Keep a picture as an artifact of the run.

        Args:
            path: In the run, such as `views/epoch-0001.png`.
            picture: Is kept as its ending says.
        """

    def say(self, news: str) -> None:
        """Tell the user, such as before a long computation."""


class Fits(ABC):
    """A method that learns something before it answers."""

    @abstractmethod
    def fit(self, work: Work) -> dict[str, Tensor]:
        """Learn, and return all that answering needs, on the CPU.

        `network.*` are the network's own tensors, for other experiments to begin with.
        """

    @abstractmethod
    def load(self, fitted: Mapping[str, Tensor]) -> None:
        """Take what `fit` returned, from its files; a part that is not there stays as it is."""
