"""What every task's schema says of it before anything runs: its metrics and their directions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from hardy.core.spec import Spec


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
    """What a training may say about the task's loss: `smoothing`, `class_weights`."""

    joint: ClassVar[tuple[str, ...]] = ()
    """Names of the metrics that only the runs of one matrix have together (`Task.joint`)."""

    kind: str

    @property
    def headline(self) -> str:
        """The metric of tables, of leaderboards, and of a policy that names none."""
        return next(iter(self.metrics))
