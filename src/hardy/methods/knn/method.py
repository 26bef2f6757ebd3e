"""k nearest neighbours on the features of a network that stays as it is."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from hardy.core.errors import MethodError
from hardy.methods.base import Answers
from hardy.methods.fitting import Fits, Work
from hardy.methods.frozen_features import features_of
from hardy.methods.knn.spec import KnnSpec
from hardy.methods.neighbours import neighbour_log_probabilities
from hardy.models import head
from hardy.models.model import Model
from hardy.tasks.base import Task

_FEATURES, _LABELS = "bank.features", "bank.labels"


class Knn(Fits, Answers):
    """Answers by the neighbours in a bank that it has once filled.

    Args:
        model: Gives features; nothing of it changes, and its head is not asked.
        spec: Bank, neighbours, temperature.
        task: Says which classes there are.

    Attributes:
        bank: Features (N, D) of length 1 and classes (N,), once they are loaded.
    """

    def __init__(self, model: Model, spec: KnnSpec, task: Task) -> None:
        super().__init__(model)
        self.spec = spec
        self.classes = len(task.names)
        self.bank: tuple[Tensor, Tensor] | None = None

    def fit(self, work: Work) -> dict[str, Tensor]:
        """Return the bank: features of length 1, and classes."""
        found = features_of(work, "fit", self.model, self.spec)
        if self.spec.k > len(found.ids):
            work.say(
                f"note: k is {self.spec.k}, but the bank has {len(found.ids)} samples: all vote"
            )
        return {_FEATURES: functional.normalize(found.inputs[0], dim=-1), _LABELS: found.labels}

    def load(self, fitted: Mapping[str, Tensor]) -> None:
        """Take the bank."""
        device = next(self.model.parameters()).device
        self.bank = fitted[_FEATURES].to(device), fitted[_LABELS].to(device)

    @torch.no_grad()
    def answer(self, images: Tensor) -> dict[str, Tensor]:
        """Answer for normalised images (B, 3, H, W): log-probabilities of the classes (B, C)."""
        if self.bank is None:
            message = "knn has no bank to look for neighbours in"
            raise MethodError(message, hint="Run the experiment: it fills the bank first.")
        found = neighbour_log_probabilities(
            head.features(self.model.network, images),
            *self.bank,
            self.classes,
            self.spec.k,
            self.spec.temperature,
        )
        return {self.spec.kind: found.cpu()}


def build(spec: KnnSpec, models: Sequence[Model], task: Task) -> Knn:
    """Build the method from its schema."""
    return Knn(models[0], spec, task)
