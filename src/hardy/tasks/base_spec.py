"""What every task's schema says of it before anything runs: its metrics and their directions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from hardy.core.spec import Spec

PSEUDO = "pseudo_"
"""What the names of a loss's terms begin with that take the network's own answer for the truth."""


@dataclass(frozen=True)
class Metric:
    """A named number over many samples.

    Attributes:
        meaning: What it is, with unit and range.
        higher_is_better: Its direction; None where neither way is better.
        range: Its least and its greatest value; None where there is none.
        of_score: Whether answers are ordered by it as by their mean score.
        of_votes: Whether it has a meaning for an answer that is shares of votes: these are no
            probabilities, and whatever no vote was given for has none.
    """

    meaning: str
    higher_is_better: bool | None
    range: tuple[float | None, float | None] = (None, None)
    of_score: bool = False
    of_votes: bool = True


class TaskBase(Spec):
    """Base of the tasks' schemas: what an answer is, and how it is judged."""

    metrics: ClassVar[Mapping[str, Metric]]
    """Metrics of an answer by name, the headline first: the one that tables show."""

    target: ClassVar[Literal["label", "mask", "image", "none"]]
    """The part of a sample's truth that answers are held against; `none` where there is no truth,
    and answers are held against each other."""

    dense: ClassVar[bool] = False
    """Whether an answer is a plane over the whole image, which only some kinds of models give."""

    of_features: ClassVar[bool] = False
    """Whether answers are made of what a network's head is given, in place of its outputs."""

    has_loss: ClassVar[bool] = True
    """Whether networks can be trained for it by a loss of its own (`Task.loss`)."""

    loss_options: ClassVar[frozenset[str]] = frozenset()
    """What a training may say about the task's loss: `smoothing`, `class_weights`, `only`."""

    loss_terms: ClassVar[frozenset[str]] = frozenset()
    """What a training may make the task's loss of, a weight each; those that begin with `PSEUDO`
    see no truth."""

    joint: ClassVar[tuple[str, ...]] = ()
    """Names of the metrics that only the runs of one matrix have together (`Task.joint`)."""

    kind: str

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names that it states of classes, which the dataset must have."""
        return ()

    @property
    def own_size(self) -> bool:
        """Whether answers are held against each image's own mask, at its own size."""
        return False

    @property
    def normal(self) -> bool:
        """Whether answers that are probabilities sum to one over classes."""
        return True

    def misfit(self, classes: Sequence[str]) -> str:
        """Say what does not go with a dataset's classes but void; empty where all does."""
        return ""

    def planes(self, classes: int) -> int:
        """Return how many channels a dense network for so many classes of pixels has."""
        return classes

    @property
    def headline(self) -> str:
        """The metric of tables, of leaderboards, and of a policy that names none."""
        return next(iter(self.metrics))
