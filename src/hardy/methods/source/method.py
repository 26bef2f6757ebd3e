"""The source model as it is: one forward pass of the unchanged image."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hardy.methods.base import Answers
from hardy.methods.source.spec import SourceSpec
from hardy.models.model import Model
from hardy.tasks.base import Task


class Source(Answers):
    """Answers with the unadapted model, whatever its task."""

    def __init__(self, model: Model, task: Task) -> None:
        super().__init__(model)
        self.task = task

    @torch.no_grad()
    def answer(self, images: Tensor) -> dict[str, Tensor]:
        """Answer for normalised images (B, 3, H, W)."""
        return {"source": self.task.answer(self.model(images))}


def build(spec: SourceSpec, models: Sequence[Model], task: Task) -> Source:
    """Build the method from its schema."""
    del spec  # it has no settings
    return Source(models[0], task)
