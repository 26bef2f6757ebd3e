"""A model as it is: one forward pass of the unchanged image."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hardy.methods.base import Answers
from hardy.methods.evaluate.spec import EvaluateSpec, SourceSpec
from hardy.models.model import Model
from hardy.tasks.base import Task


class Evaluate(Answers):
    """Answers with the model as it is, whatever its task.

    Args:
        model: The model.
        task: Says what its outputs mean.
        name: The answer's.
    """

    def __init__(self, model: Model, task: Task, name: str) -> None:
        super().__init__(model)
        self.task = task
        self.name = name

    @torch.no_grad()
    def answer(self, images: Tensor) -> dict[str, Tensor]:
        """Answer for normalised images (B, 3, H, W)."""
        return {self.name: self.task.answer(self.model(images))}


def build(spec: EvaluateSpec | SourceSpec, models: Sequence[Model], task: Task) -> Evaluate:
    """Build the method from its schema."""
    return Evaluate(models[0], task, spec.kind)
