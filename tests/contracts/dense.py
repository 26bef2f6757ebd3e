"""A second task, for tests alone: a class for each pixel. Its headline is no mean of its scores."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch

from hardy.measure.records import column
from hardy.tasks.base import Task
from hardy.tasks.base_spec import Metric, TaskBase


class DenseSpec(TaskBase):
    """Say for each pixel which of some classes it shows."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "miou": Metric("mean over classes of intersection over union, 0 to 1", True),
        "pixel_error": Metric("share of pixels that are wrong, 0 to 1", False),
        "doubt": Metric("mean entropy of a pixel, in nats", None),
    }
    target: ClassVar = "mask"
    has_loss: ClassVar = False
    kind: Literal["dense"] = "dense"


class Dense(Task):
    """The score is an image's mean IoU over the classes that its truth or its answer has."""

    fields = ("intersection", "predicted", "doubt")
    truth_fields = ("pixels",)
    tabled = ("miou",)
    returns: ClassVar = {
        "height": "long",
        "labels": ["long"],
        "share": {"first": "double"},
        "sure": "boolean",
    }
    params: ClassVar = {"threshold": 0.5}

    @property
    def outputs(self):
        return len(self.names)

    def answer(self, outputs):
        return torch.log_softmax(outputs.detach().float(), dim=1).cpu()

    def _counts(self, values, mask):
        kept = mask != self.void
        return [int(((values == label) & kept).sum()) for label in range(self.outputs)]

    def truth(self, targets):
        return {"pixels": [self._counts(mask, mask) for mask in targets.mask]}

    def columns(self, name, answers, targets):
        found = {field: [] for field in self.fields}
        for answer, mask in zip(answers, targets.mask, strict=True):
            guess = answer.argmax(0)
            right = torch.where(guess == mask, guess, -1)
            found["intersection"].append(self._counts(right, mask))
            found["predicted"].append(self._counts(guess, mask))
            found["doubt"].append(float(torch.special.entr(answer.double().exp()).sum(0).mean()))
        return found

    def _table(self, frame, name):
        names = (f"{name}.intersection", f"{name}.predicted", "pixels")
        both, guess, truth = (np.array(column(frame, n).tolist(), float) for n in names)
        return both, guess + truth - both, truth

    def score(self, frame, name):
        both, union, _ = self._table(frame, name)
        with np.errstate(invalid="ignore"):
            return np.nanmean(both / union, axis=1)

    def uncertainty(self, frame, name):
        return column(frame, f"{name}.doubt")

    def metrics(self, frame, name):
        both, union, truth = (part.sum(0) for part in self._table(frame, name))
        return {
            "miou": float(np.mean(both[union > 0] / union[union > 0])),
            "pixel_error": float(1 - both.sum() / truth.sum()),
            "doubt": float(column(frame, f"{name}.doubt").mean()),
        }

    def report(self, frame, main, baseline):
        yield "report/miou.txt", f"{self.metrics(frame, main)['miou']:.4f}"

    def served(self, answer, undo, params):
        labels = undo(answer.argmax(0).to(torch.uint8).numpy())
        first = float((labels == 0).mean())
        return {
            "height": int(labels.shape[0]),
            "labels": [int(label) for label in np.unique(labels)],
            "share": {"first": first},
            "sure": bool(first > params["threshold"]),
        }
