"""A method that takes gradient steps on the entropy of its views' joint prediction.

MEMO tunes the network's weights (arXiv:2110.09506), TPT the prompt (arXiv:2209.07511); the way from
views to an answer is the same. Taken apart, so that an ensemble can take a step through several.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from hardy.core.errors import MethodError
from hardy.methods.base import PLAIN, Adapts, Outcome, Subject, log_probabilities
from hardy.methods.marginal import marginal_entropy
from hardy.methods.pooling import majority_vote, view_ensemble
from hardy.methods.stages import Stages
from hardy.models.model import Model


class Adapter(Adapts):
    """Adapts to one image: `begin`, then `logits`, backward and `step` as often as asked, `answer`.

    Beside its own answer and the source model's, it gives two that cost no further pass, from the
    selected views before the first step: `view_ensemble`, their mean probability, and
    `majority_vote`.

    Attributes:
        spec: The method's schema, with `kind`, `steps` and `marginal`.
        tuned: What the steps change; may be another list after each `begin`.
        selected: After `logits`, the places (n,) of the selected views among those of the loss.
        first: After `logits`, logits (n, C, ...) of the selected views before any step, no graph.
        stages: Times the image that is taken up; what selects the views ends the stage `ensemble`.
    """

    looks: ClassVar[tuple[str, ...]] = ("views",)
    """Stages before the views' first pass."""

    remembers: ClassVar[bool] = False
    """Whether what was computed for an image is at hand when it is taken up again."""

    spec: Any
    tuned: Sequence[Tensor]
    selected: Tensor
    first: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.stages = self._clock()

    def _clock(self) -> Stages:
        return Stages(next(self.model.parameters()).device)

    @abstractmethod
    def begin(self, subject: Subject) -> None:
        """Take up an image; whatever this changes is undone by `reset`."""

    @abstractmethod
    def logits(self) -> Tensor:
        """Return the selected views' logits (n, C, ...), with a graph to `tuned` if any.

        The first call of an image selects the views.
        """

    @abstractmethod
    def step(self) -> None:
        """Take an optimizer step on the gradients that `tuned` has, and drop them."""

    @abstractmethod
    def answer(self) -> Tensor:
        """Return the unchanged image's logits (C, ...) as adapted so far, without a graph."""

    def outputs(self, images: Tensor) -> Tensor:
        """Return the network's logits (B, C, ...) over the task's classes."""
        logits: Tensor = self.model(images)
        return logits

    def before(self, subject: Subject) -> Tensor:
        """Return the unchanged image's logits (C, ...) by the source model, without a graph.

        Asked before any step.
        """
        with torch.no_grad():
            return self.outputs(subject.views[:1])[0]

    def further(self) -> dict[str, Tensor]:
        """Return logits (C, ...) of further answers, by name."""
        return {}

    def needs(self) -> dict[str, tuple[str, ...]]:
        """Return the stages that each answer needs: see `Outcome.needs`."""
        pool = (*self.looks, "ensemble")
        return {
            "source": (*PLAIN, "source"),
            "view_ensemble": pool,
            "majority_vote": pool,
            self.spec.kind: (*pool, "adapt", "predict"),
        }

    def predict(self, subject: Subject) -> Outcome:
        """Answer for one image as the source model, as its views' ensembles, and as adapted.

        Raises:
            MethodError: If the loss is not finite.
        """
        self.stages = self._clock()
        self.begin(subject)
        self.stages.done("adapt")
        before = self.before(subject)
        self.stages.done("source")
        first_loss = self._adapt()
        self.stages.done("adapt")
        after = self.answer()
        self.stages.done("predict")
        # Counted among all images made: the original may not be among the loss's views.
        offset = self.spec.views.rows - self.spec.views.count
        return Outcome(
            answers={
                "source": log_probabilities(before, 0),
                "view_ensemble": view_ensemble(self.first),
                "majority_vote": majority_vote(self.first),
                **{name: log_probabilities(logits, 0) for name, logits in self.further().items()},
                self.spec.kind: log_probabilities(after, 0),
            },
            details={
                "loss": first_loss,
                "selected_views": [index + offset for index in sorted(self.selected.tolist())],
            },
            milliseconds=self.stages.milliseconds,
            needs=self.needs(),
        )

    def _adapt(self) -> float:
        """Take the steps; return the loss before the first."""
        losses = []
        for step in range(self.spec.steps):
            loss = marginal_entropy(self.logits(), self.spec.marginal)
            check_finite(loss, self.spec.kind, step)
            torch.autograd.backward(loss, inputs=list(self.tuned))
            self.step()
            losses.append(loss.item())
        return losses[0]


def check_finite(loss: Tensor, kind: str, step: int) -> None:
    """Raise a MethodError that says what to do if a loss is not finite."""
    if not torch.isfinite(loss):
        message = f"the loss of {kind} is {loss.item()} at step {step}"
        raise MethodError(message, hint="Lower method.optimizer.lr or method.steps.")
