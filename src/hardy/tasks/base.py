"""What a task is to the rooms that run, judge, draw, register and serve.

A task knows what an answer is and what is written down of it; it knows no model, no method and no
file. Records hold, for each answer, the columns from which every metric can be computed again.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from hardy.core.errors import MethodError
from hardy.data.item import Prepared, Targets
from hardy.explain.planes import PlaneRow, plane_panel
from hardy.measure.bootstrap import resampled
from hardy.measure.records import column
from hardy.tasks.base_spec import TaskBase

Content = Image.Image | str | bytes
"""What an artifact holds: a picture, which gets a title, a text, or a file's bytes as they are."""

CLASSES, BESIDE = "report/classes.csv", "classes-beside"
"""A unit's table of classes, and the name of what shows those of several units."""

WINDOW = "window"
"""Parameter of tasks whose answers are planes: `whole`, or `tiles` of the image as it is."""


@dataclass(frozen=True)
class Explained:
    """What a Grad-CAM is of, and what is written beside it.

    Attributes:
        index: The class, by its place among the model's outputs that the task answers with.
        name: Its name.
        confidence: Its probability, in [0, 1].
        right: Whether the answer is the sample's truth.
        truth: The truth in words.
    """

    index: int
    name: str
    confidence: float
    right: bool
    truth: str


class Task(ABC):
    """Built from its schema and the names that a dataset, or a registered model's card, has.

    Args:
        spec: The task's schema.
        names: Names of the classes, or of a mask's classes, in their order.
        void: Label of pixels that count for nothing; None where all count.
    """

    fields: ClassVar[tuple[str, ...]]
    """Columns of an answer, without its name; the first tells which answers a table has."""

    truth_fields: ClassVar[tuple[str, ...]] = ()
    """Columns of the sample itself, as `truth` gives them."""

    following: ClassVar[tuple[str, ...]] = ()
    """Fields of an answer that follow from its others: where those may differ by rounding, these
    may jump."""

    binary: ClassVar[bool] = False
    """Whether scores are 0 or 1: only then have McNemar's test and flips a meaning."""

    tabled: ClassVar[tuple[str, ...]]
    """Metrics that a table of all answers shows, the headline first."""

    returns: ClassVar[Mapping[str, Any]]
    """Columns that a registered model returns: `string`, `long`, `double` or `boolean`; a list of
    one type is an array of it, a mapping is an object."""

    params: ClassVar[Mapping[str, int | float | bool | str]] = {}
    """Parameters that a registered model takes for its answer, with their defaults."""

    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The values that some of these may have."""

    def __init__(
        self, spec: TaskBase, names: tuple[str, ...] = (), void: int | None = None
    ) -> None:
        self.spec = spec
        self.names = names
        self.void = void

    @property
    def kind(self) -> str:
        """The task's name in a spec."""
        return self.spec.kind

    @property
    def target(self) -> Literal["label", "mask", "image", "none"]:
        """The part of a sample's truth that answers are held against; see `TaskBase.target`."""
        return self.spec.target

    @property
    def headline(self) -> str:
        """The metric of tables."""
        return self.spec.headline

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Outputs, or channels, that a network for this task gives; 0 where any number will do."""

    @abstractmethod
    def answer(self, outputs: Tensor) -> Tensor:
        """Turn a network's outputs (B, K, ...) into answers (B, ...): float32, detached, CPU."""

    def logits(self, outputs: Tensor) -> Tensor:
        """Return a network's outputs (B, K, ...) as logits (B, C, ...) over classes, with graph.

        Of a task whose answers are probabilities: their log-softmax over axis 1 are the answers. By
        default the outputs as they are.
        """
        return outputs

    def loss(
        self,
        outputs: Tensor,
        targets: Targets,
        *,
        smoothing: float = 0.0,
        class_weights: Tensor | None = None,
        terms: Mapping[str, float] | None = None,
        only: Tensor | None = None,
    ) -> Tensor:
        """Return how wrong a network's outputs (B, K, ...) are, (B,) in float32 with their graph.

        A task without one of its own cannot be trained for.

        Args:
            outputs: On any device.
            targets: The truth, on the same.
            smoothing: Share of the truth that is spread over all classes, in [0, 1).
            class_weights: What the loss of each class is multiplied by, (K,); none: 1.
            terms: What it is the sum of: `TaskBase.loss_terms` with their weights; none: the
                task's own. Those that begin with `PSEUDO` look at no truth.
            only: The pixels that it is of (B, h, w), bool; none: all.

        Raises:
            MethodError: If there is no loss, or none of what is asked of it.
            DataError: If the truth does not fit the outputs.
        """
        del outputs, targets, smoothing, class_weights, terms, only
        message = f"the task {self.kind} has no loss to train by"
        raise MethodError(message, hint="Choose another task, or another method.")

    def asked_terms(
        self, terms: Mapping[str, float] | None, default: str, only: Tensor | None
    ) -> Mapping[str, float]:
        """Return what a loss is the sum of, with weights.

        Raises:
            MethodError: If the task's loss has no such term, or is of all pixels.
        """
        if only is not None and "only" not in self.spec.loss_options:
            message = f"the loss of {self.kind} is not of some pixels only"
            raise MethodError(message, hint="Leave method.over out.")
        for term in terms or ():
            if term not in self.spec.loss_terms:
                message = f"the loss of {self.kind} has no term {term}"
                known = ", ".join(sorted(self.spec.loss_terms))
                raise MethodError(message, hint=f"It has {known}.")
        return terms or {default: 1.0}

    @property
    def tallies(self) -> int:
        """How many numbers `tally` gives; 0 where nothing is told of a training's own epoch."""
        return 0

    def tally(self, outputs: Tensor, targets: Targets) -> Tensor:
        """Count what the measures of a training's own epoch follow from.

        Args:
            outputs: A network's in training (B, K, ...), on any device.
            targets: The truth, on the same.

        Returns:
            Whole numbers (S,), int64, whose sums over an epoch `tallied` takes.
        """
        return torch.zeros(0, dtype=torch.int64, device=outputs.device)

    def tallied(self, sums: Tensor) -> dict[str, float]:
        """Return measures by name from sums (S,) of `tally`."""
        return {}

    @abstractmethod
    def truth(self, targets: Targets) -> dict[str, list[Any]]:
        """Return the columns of B samples themselves, each a list (B,)."""

    @abstractmethod
    def columns(self, name: str, answers: Tensor, targets: Targets) -> dict[str, list[Any]]:
        """Return the columns of B answers by field, each a list (B,) of plain values.

        They suffice for every metric. `name` is the answer's, for messages.

        Raises:
            MethodError: If the answers are none, such as where the adaptation diverged.
            DataError: If the truth does not fit the answers.
        """

    @abstractmethod
    def score(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        """Return how good an answer is, a number a sample (N,), higher is better.

        Flips, paired tests, gains, the choice of samples and pruning see this and nothing else.

        Raises:
            DataError: If the table is empty or lacks the answer.
        """

    @abstractmethod
    def uncertainty(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        """Return how uncertain an answer is, (N,), for the choice of pictures."""

    @abstractmethod
    def metrics(self, frame: pd.DataFrame, name: str) -> dict[str, float]:
        """Return every metric of an answer by its plain name, from the columns alone."""

    def interval(
        self, frame: pd.DataFrame, name: str, metric: str | None = None
    ) -> tuple[float, float]:
        """Return the 95 % interval of a metric of an answer, by samples drawn anew.

        Args:
            frame: Records.
            name: The answer.
            metric: Which; none: the headline.

        Raises:
            DataError: If the table is empty or lacks the answer.
        """
        return resampled(self.metric_at(frame, name, metric or self.headline), len(frame))

    def metric_at(
        self, frame: pd.DataFrame, name: str, metric: str
    ) -> Callable[[np.ndarray], float]:
        """Return what computes a metric of an answer on the samples at some places of a table.

        It is asked a thousand times, for samples drawn anew; so a task whose columns take long to
        read, reads them once.

        Raises:
            DataError: If the table is empty or lacks the answer.
        """
        table = self.columns_of(frame, name)
        return lambda places: self.metrics(table.iloc[places], name)[metric]

    def columns_of(self, frame: pd.DataFrame, name: str) -> pd.DataFrame:
        """Return the columns of the truth and of one answer, from which its metrics follow.

        Raises:
            DataError: If the table is empty or lacks one of them.
        """
        wanted = [*self.truth_fields, *(f"{name}.{field}" for field in self.fields)]
        for each in wanted:
            column(frame, each)
        return frame[wanted]

    def joint(
        self, runs: Sequence[Mapping[str, float]], shifts: Sequence[tuple[str, int] | None]
    ) -> dict[str, float]:
        """Return metrics that only the runs of one matrix have together; none by default.

        Args:
            runs: Each run's metrics by name.
            shifts: Each run's corruption and severity, in the same order; None for another shift.
        """
        return {}

    @abstractmethod
    def report(
        self, frame: pd.DataFrame, main: str, baseline: str | None
    ) -> Iterator[tuple[str, Content]]:
        """Yield tables and pictures of a unit with their artifact paths.

        Args:
            frame: Its records.
            main: The answer that it is about.
            baseline: The answer that it is compared with; None, or one that the records lack, for
                no comparison.
        """

    def beside(self, tables: Mapping[str, pd.DataFrame]) -> Iterator[tuple[str, Content]]:
        """Yield tables and pictures of several units side by side, class by class.

        Nothing by default.

        Args:
            tables: Of each unit, by its name, what `report` gave as `CLASSES`, of the unit's own
                answer where that tells answers apart; all of the same classes.
        """
        yield from ()

    def planes(self, item: Prepared, answers: Mapping[str, Tensor]) -> PlaneRow | None:
        """Return a sample, its truth and its answers (...) by name as pictures of the same size.

        None where answers are no planes.
        """
        return None

    def panel(self, item: Prepared, answers: Mapping[str, Tensor]) -> Image.Image | None:
        """Draw one sample, its truth and its answers (...) by name; None where there is nothing."""
        found = self.planes(item, answers)
        return None if found is None else plane_panel(found, item.id)

    def explained(self, answer: Tensor, targets: Targets) -> Explained | None:
        """Return the class whose Grad-CAM explains an answer; None where the task has none."""
        return None

    @abstractmethod
    def served(
        self, answer: Tensor, undo: Callable[[np.ndarray], np.ndarray], params: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return what a registered model says of one image, by the columns of `returns`.

        Args:
            answer: One answer, without the batch.
            undo: Brings a plane (h, w) from the network's geometry to the image's own size.
            params: Values of `params`; `window` says in words how the image was seen.

        Raises:
            RegistryError: If a parameter is out of range.
        """

    def compares(self, frame: pd.DataFrame, main: str, baseline: str | None) -> bool:
        """Whether the records hold two different answers to compare."""
        return baseline not in (None, main) and {main, baseline} <= set(self.answers(frame))

    def told(self, row: Mapping[str, Any]) -> list[str]:
        """Return a row that `served` gave as lines for a terminal, each a name and its value."""
        return [f"{name}: {value}" for name, value in row.items()]

    def files(self, row: Mapping[str, Any], image: Image.Image) -> Mapping[str, bytes]:
        """Return what a row that `served` gave of an image shows, by the ends of files' names."""
        return {}

    def answers(self, frame: pd.DataFrame) -> list[str]:
        """Return the names of the answers in a table, in the order of its columns."""
        suffix = f".{self.fields[0]}"
        return [str(c).removesuffix(suffix) for c in frame.columns if str(c).endswith(suffix)]
