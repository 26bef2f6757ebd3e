"""Supervised training: the task's loss of a network's outputs against the truth."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hardy.methods.base import Answers
from hardy.methods.fitting import Fits, Work
from hardy.methods.supervised.learner import SupervisedLearner
from hardy.methods.supervised.spec import SupervisedSpec
from hardy.methods.supervised.weights import class_weights, labelled
from hardy.methods.tuned import tuned
from hardy.models.model import Model
from hardy.models.state import NETWORK, bare
from hardy.tasks.base import Task


class Supervised(Fits, Answers):
    """Trains the model in place, and answers with it.

    Args:
        model: Is trained, and stays so.
        spec: Schedule, what learns, augmentation, loss.
        task: Gives the loss, and judges the answers.
    """

    def __init__(self, model: Model, spec: SupervisedSpec, task: Task) -> None:
        super().__init__(model)
        self.spec = spec
        self.task = task

    def fit(self, work: Work) -> dict[str, Tensor]:
        """Train; return the network's tensors.

        Raises:
            SpecError: If a pattern of `tune` fits no parameter, or a weight no class.
        """
        seen, share = work.data("fit"), self.spec.labelled
        if share is not None:
            seen = labelled(seen, share, work.seed)
        known = None if share is None else frozenset(sample.id for sample in seen.samples)
        weights = class_weights(self.spec.class_weights, seen, self.task)
        learner = SupervisedLearner(self.model, self.spec, self.task, weights, known)
        learner.to(work.device)
        with tuned(bare(self.model.network), self.spec.tune):
            work.train(learner, work.source("fit", self.spec.augment), work.source("validate"))
        return {f"{NETWORK}{name}": tensor for name, tensor in learner.weights().items()}

    def load(self, fitted: Mapping[str, Tensor]) -> None:
        """Take the trained network's tensors."""
        tensors = {name.removeprefix(NETWORK): tensor for name, tensor in fitted.items()}
        bare(self.model.network).load_state_dict(tensors)
        self.model.eval()

    @torch.no_grad()
    def answer(self, images: Tensor) -> dict[str, Tensor]:
        """Answer for normalised images (B, 3, H, W)."""
        return {self.spec.kind: self.task.answer(self.model(images))}


def build(spec: SupervisedSpec, models: Sequence[Model], task: Task) -> Supervised:
    """Build the method from its schema."""
    return Supervised(models[0], spec, task)
