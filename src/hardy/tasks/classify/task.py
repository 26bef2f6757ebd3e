"""Classification as a task: an answer is the logarithms of the classes' probabilities."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from hardy.core.errors import DataError, RegistryError
from hardy.data.item import Targets
from hardy.measure.records import column
from hardy.tasks.base import BESIDE, CLASSES, Content, Explained, Task
from hardy.tasks.classify.changes import class_changes, flip_rows
from hardy.tasks.classify.charts import confusion_picture, reliability_diagram
from hardy.tasks.classify.class_charts import class_deltas, class_panels
from hardy.tasks.classify.columns import FIELDS, answer_fields
from hardy.tasks.classify.confusion import confusion_rows
from hardy.tasks.classify.corruption_error import aggregate
from hardy.tasks.classify.metrics import answer_metrics, correct, interval, per_class
from hardy.tasks.classify.spec import ClassifySpec
from hardy.tasks.report import as_csv, operations


def build(spec: ClassifySpec, names: tuple[str, ...], void: int | None) -> "Classify":
    """Build the task; labels have no void."""
    return Classify(spec, names, void)


class Classify(Task):
    """Say which one of some classes an image shows; the score is 1 where that is right, else 0."""

    fields: ClassVar[tuple[str, ...]] = FIELDS
    truth_fields: ClassVar[tuple[str, ...]] = ("label",)
    following: ClassVar[tuple[str, ...]] = ("label_rank",)
    binary: ClassVar[bool] = True
    tabled: ClassVar[tuple[str, ...]] = ("accuracy", "ece", "nll")
    returns: ClassVar[Mapping[str, Any]] = {
        "label": "string",
        "class_index": "long",
        "confidence": "double",
        "top": [{"name": "string", "confidence": "double"}],
        "entropy": "double",
    }
    params: ClassVar[Mapping[str, int | float | bool | str]] = {"top_k": 5}

    @property
    def outputs(self) -> int:
        """Classes."""
        return len(self.names)

    def answer(self, outputs: Tensor) -> Tensor:
        """Return log-softmax of logits (..., C) in float32, detached, on the CPU."""
        return torch.log_softmax(outputs.detach().float(), dim=-1).cpu()

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
        """Return the cross-entropy of logits (B, C), (B,) in nats; see `Task.loss`."""
        factor = self.asked_terms(terms, "cross_entropy", only)["cross_entropy"]
        labels = _checked(targets)
        weights = class_weights if class_weights is None else class_weights.to(outputs.device)
        return factor * functional.cross_entropy(
            outputs.float(), labels, weights, reduction="none", label_smoothing=smoothing
        )

    def truth(self, targets: Targets) -> dict[str, list[Any]]:
        """Return the column `label`."""
        return {"label": _labels(targets)}

    def columns(self, name: str, answers: Tensor, targets: Targets) -> dict[str, list[Any]]:
        """Return the columns of B answers (B, C) by field; see `answer_fields`."""
        rows = [
            answer_fields(name, each, label)
            for each, label in zip(answers.numpy(), _labels(targets), strict=True)
        ]
        return {field: [row[field] for row in rows] for field in FIELDS}

    def score(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        """Return 1 where the most probable class is the label, else 0: (N,) of float64."""
        return correct(frame, name).astype(np.float64)

    def uncertainty(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        """Return the entropy of each answer (N,), in nats."""
        return column(frame, f"{name}.entropy")

    def metrics(self, frame: pd.DataFrame, name: str) -> dict[str, float]:
        """Return accuracy, error, top5, nll, ece, entropy and confidence."""
        return answer_metrics(frame, name)

    def interval(
        self, frame: pd.DataFrame, name: str, metric: str | None = None
    ) -> tuple[float, float]:
        """Return Wilson's interval of the accuracy or error; of the others, by samples anew."""
        if metric not in (None, "accuracy", "error"):
            return super().interval(frame, name, metric)
        right = correct(frame, name)
        counted = ~right if metric == "error" else right
        return interval(int(np.sum(counted)), len(counted))

    def joint(
        self, runs: Sequence[Mapping[str, float]], shifts: Sequence[tuple[str, int] | None]
    ) -> dict[str, float]:
        """Return the means over a matrix, and the mean corruption error."""
        return aggregate(runs, shifts)

    def report(
        self, frame: pd.DataFrame, main: str, baseline: str | None
    ) -> Iterator[tuple[str, Content]]:
        """Yield confusion and calibration of each answer; then what changed over the baseline."""
        for name in self.answers(frame):
            rows = confusion_rows(frame, name, self.names)
            yield f"confusion/{name}.json", json.dumps(rows, ensure_ascii=False, indent=1)
            yield f"confusion/{name}.png", confusion_picture(rows, self.names, name)
            confidence = column(frame, f"{name}.confidence")
            yield (
                f"calibration/{name}.png",
                reliability_diagram(confidence, correct(frame, name), name),
            )
        if baseline is None or not self.compares(frame, main, baseline):
            if main in self.answers(frame):
                table = per_class(frame, main, self.names)
                yield CLASSES, as_csv(table)
                yield from _panels(table, {"accuracy": main})
            return
        yield from _by_class(class_changes(frame, baseline, main, self.names), baseline, main)
        yield "report/flips.csv", as_csv(flip_rows(frame, baseline, main, self.names))
        yield from operations(self, frame, main, baseline)

    def beside(self, tables: Mapping[str, pd.DataFrame]) -> Iterator[tuple[str, Content]]:
        """Yield each class's accuracy in every run, as a table and in panels."""
        first, *_ = tables.values()
        table = first[["label", "class", "samples"]].copy()
        for name, each in tables.items():
            table[name] = each["accuracy" if "accuracy" in each else "after"].to_numpy()
        yield f"report/{BESIDE}.csv", as_csv(table)
        yield from _panels(table, {name: name for name in tables}, BESIDE)

    def explained(self, answer: Tensor, targets: Targets) -> Explained | None:
        """Return the most probable class."""
        index, label = int(answer.argmax()), int(_labels(targets)[0])
        confidence = float(answer[index].exp())
        return Explained(index, self.names[index], confidence, index == label, self.names[label])

    def served(
        self, answer: Tensor, undo: Callable[[np.ndarray], np.ndarray], params: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the most probable class, the `top_k` most probable ones, and the entropy.

        `confidence` is in [0, 1], `entropy` in nats; a class is named and has its index.

        Raises:
            RegistryError: If `top_k` is less than 1.
        """
        top_k = int(params["top_k"])
        if top_k < 1:
            message = f"top_k is {top_k}"
            raise RegistryError(message, hint="Give top_k >= 1.")
        probabilities = answer.double().exp()
        values, indices = probabilities.topk(min(top_k, len(probabilities)))
        names = [self.names[index] for index in indices.tolist()]
        top = [
            {"name": name, "confidence": value}
            for name, value in zip(names, values.tolist(), strict=True)
        ]
        return {
            "label": names[0],
            "class_index": int(indices[0]),
            "confidence": top[0]["confidence"],
            "top": top,
            "entropy": float(torch.special.entr(probabilities).sum()),
        }

    def told(self, row: Mapping[str, Any]) -> list[str]:
        """Return the most probable classes, a line each."""
        return [f"{100 * each['confidence']:6.2f} %  {each['name']}" for each in row["top"]]


def _checked(targets: Targets) -> Tensor:
    if targets.label is None:
        message = "the samples have no class, which the task classify needs"
        raise DataError(message, hint="Choose a dataset with classes, or another task.")
    return targets.label


def _labels(targets: Targets) -> list[int]:
    return [int(label) for label in _checked(targets)]


def _by_class(table: pd.DataFrame, baseline: str, main: str) -> Iterator[tuple[str, Content]]:
    yield CLASSES, as_csv(table)
    yield from _panels(table, {"before": baseline, "after": main})
    if table["samples"].max() > 1 and table["delta"].any():
        yield "report/class-deltas.png", class_deltas(table)


def _panels(
    table: pd.DataFrame, shown: Mapping[str, str], name: str = "classes"
) -> Iterator[tuple[str, Content]]:
    if table["samples"].max() < 2:
        return  # with one sample a class, every accuracy is 0 or 1: the records say it all
    for number, picture in enumerate(class_panels(table, shown), start=1):
        yield f"report/{name}-{number}.png", picture
