"""p'(y|x) ∝ p(y|x) · π(y), π the share of the class among labelled samples."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hardy.methods.base import Answers
from hardy.methods.fitting import Fits, Work
from hardy.models.model import Model
from hardy.tasks.base import Task


class Prior(Fits, Answers):
    """Answers as the source model, and with its classes reweighed."""

    def __init__(self, model: Model, task: Task) -> None:
        super().__init__(model)
        self.task = task
        self.log_prior = torch.zeros(task.outputs)

    def fit(self, work: Work) -> dict[str, Tensor]:
        """Count the classes, each once more than it came."""
        labels = [targets.label for _, targets in work.subjects("fit") if targets.label is not None]
        counts = torch.bincount(torch.cat(labels), minlength=work.task.outputs) + 1
        return {"log_prior": (counts / counts.sum()).log()}

    def load(self, fitted: Mapping[str, Tensor]) -> None:
        """Take the shares."""
        self.log_prior = fitted["log_prior"]

    @torch.no_grad()
    def answer(self, images: Tensor) -> dict[str, Tensor]:
        """Answer for normalised images (B, 3, H, W)."""
        source = self.task.answer(self.model(images))
        return {"source": source, "prior": (source + self.log_prior).log_softmax(1)}


def build(spec: object, models: Sequence[Model], task: Task) -> Prior:
    """Build the method from its schema."""
    return Prior(models[0], task)
