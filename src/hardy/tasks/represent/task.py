"""Representation as a task: an answer is a feature vector; answers are held against each other."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from torch import Tensor

from hardy.core.errors import MethodError
from hardy.data.item import Targets
from hardy.measure.collapse import directions, effective_rank, spread
from hardy.measure.records import column
from hardy.tasks.base import Content, Task
from hardy.tasks.report import as_csv
from hardy.tasks.represent.spec import RepresentSpec


def build(spec: RepresentSpec, names: tuple[str, ...], void: int | None) -> "Represent":
    """Build the task; it has no classes."""
    return Represent(spec, names, void)


class Represent(Task):
    """Give a feature vector; the score is its distance from the mean direction of the set.

    A score is of a sample within its set: in another set the same answer has another.
    """

    fields: ClassVar[tuple[str, ...]] = ("features",)
    tabled: ClassVar[tuple[str, ...]] = ("spread", "effective_rank")
    returns: ClassVar[Mapping[str, Any]] = {"features": ["double"]}

    @property
    def outputs(self) -> int:
        """Features are as long as the network makes them."""
        return 0

    def answer(self, outputs: Tensor) -> Tensor:
        """Return features (B, D)."""
        return outputs.detach().float().cpu()

    def truth(self, targets: Targets) -> dict[str, list[Any]]:
        """Return no column: there is no truth."""
        del targets
        return {}

    def columns(self, name: str, answers: Tensor, targets: Targets) -> dict[str, list[Any]]:
        """Return the features of B answers (B, D), each a list."""
        del targets
        values = answers.numpy()
        if not np.isfinite(values).all():
            message = f"answer {name!r} is not finite"
            raise MethodError(message, hint="The training or the adaptation diverged.")
        return {"features": values.astype(np.float64).tolist()}

    def score(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        """Return 1 - cosine between each answer and the mean of all unit-length answers (N,)."""
        units = directions(features_of(frame, name))
        return np.asarray(1 - units @ directions(units.mean(0, keepdims=True))[0])

    def uncertainty(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        """Return zeros (N,): features say nothing of their doubts."""
        return np.zeros(len(column(frame, f"{name}.features")))

    def metrics(self, frame: pd.DataFrame, name: str) -> dict[str, float]:
        """Return spread and effective_rank."""
        features = features_of(frame, name)
        units = directions(features)
        return {"spread": spread(units), "effective_rank": effective_rank(units)}

    def metric_at(
        self, frame: pd.DataFrame, name: str, metric: str
    ) -> Callable[[np.ndarray], float]:
        """Return what computes a metric of the samples at some places; see `Task.metric_at`.

        Samples drawn anew repeat each other, which takes a share of 1/N of every variance: spread
        gets it back, or no interval of few samples would hold it.
        """
        features = features_of(frame, name)
        units = directions(features)
        if metric != "spread":
            return lambda places: effective_rank(units[places])
        count = len(units)

        def at(places: np.ndarray) -> float:
            times = np.bincount(places, minlength=count)
            repeat = times.max() > 1
            return spread(units, times) * (np.sqrt(1 + 1 / (len(places) - 1)) if repeat else 1.0)

        return at

    def report(
        self, frame: pd.DataFrame, main: str, baseline: str | None
    ) -> Iterator[tuple[str, Content]]:
        """Yield a table with a row an answer: how many, how long, and how they are spread."""
        rows = []
        for name in self.answers(frame):
            features = features_of(frame, name)
            lengths = np.linalg.norm(features, axis=1)
            rows.append(
                {
                    "answer": name,
                    "images": len(features),
                    "dimensions": features.shape[1],
                    "mean_length": lengths.mean(),
                    **self.metrics(frame, name),
                    "mean_score": self.score(frame, name).mean(),
                }
            )
        yield "report/features.csv", as_csv(pd.DataFrame(rows))

    def served(
        self, answer: Tensor, undo: Callable[[np.ndarray], np.ndarray], params: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the vector."""
        return {"features": answer.double().tolist()}

    def told(self, row: Mapping[str, Any]) -> list[str]:
        """Return how many numbers there are, and the first of them."""
        first = ", ".join(f"{value:.4g}" for value in row["features"][:4])
        return [f"{len(row['features'])} features: {first}, ..."]


def features_of(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Return an answer's features (N, D) in float64.

    Raises:
        DataError: If the table is empty or lacks the answer.
    """
    return np.array(column(frame, f"{name}.features").tolist(), np.float64)
