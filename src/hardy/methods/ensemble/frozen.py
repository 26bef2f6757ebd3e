"""A method that adapts nothing, as a member of an ensemble sees it."""

from typing import Any

import torch
from torch import Tensor

from hardy.methods.adapter import Adapter
from hardy.methods.base import Method, Outcome, Subject, outcome_of
from hardy.methods.base_spec import MethodBase


class Frozen(Adapter):
    """`source` or `view_ensemble` behind an adapter's interface: no step changes its opinion.

    Args:
        method: The method.
        spec: Its schema.
    """

    def __init__(self, method: Method, spec: MethodBase) -> None:
        super().__init__(method.model)
        self.method = method
        self.spec: Any = spec
        self.tuned = ()

    def predict(self, subject: Subject) -> Outcome:
        """Answer as the method does."""
        return outcome_of(self.method, subject)

    def begin(self, subject: Subject) -> None:
        """Take the method's answer, which is all there is to know of the image."""
        answers = outcome_of(self.method, subject).answers
        self._log_p = answers[self.spec.kind].to(subject.views.device)

    def logits(self) -> Tensor:
        """Return the answer as the logits (1, C) of one view, without a graph."""
        self.selected = torch.zeros(1, dtype=torch.int64)
        self.first = self._log_p[None]
        return self.first

    def step(self) -> None:
        """Change nothing: there is nothing to tune."""

    def answer(self) -> Tensor:
        """Return the method's answer (C,)."""
        return self._log_p

    def reset(self) -> None:
        """Do nothing: the method was put back as soon as it had answered."""
