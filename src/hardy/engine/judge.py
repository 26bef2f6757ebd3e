"""How good the epochs of a training are: which weights to keep, and when to stop."""

import math
from collections.abc import Sequence

from hardy.core.errors import SpecError
from hardy.engine.checkpoint import Measures
from hardy.engine.training_log import logged
from hardy.methods.learner import Learner
from hardy.tasks.base import Task

LOSS = "train/loss"
"""The measure that every epoch has."""


class Judge:
    """Judges epochs by what the spec names, else by what the learner goes by.

    Args:
        learner: Is trained.
        task: Knows which of its metrics rise.
    """

    def __init__(self, learner: Learner, task: Task) -> None:
        self._learner, self._task = learner, task
        self._spec = learner.spec

    def merits(self, epochs: Sequence[Measures]) -> list[float]:
        """Return how good each epoch is, by its measures."""
        return [self.merit(each) for each in epochs]

    def merit(self, measures: Measures) -> float:
        """Return how good an epoch is, higher is better; what is no number is worse than all.

        Raises:
            SpecError: If it has not the measure that the spec names.
        """
        prefix = "validation/"
        below = {n.removeprefix(prefix): v for n, v in measures.items() if n.startswith(prefix)}
        found = below or {"loss": measures[LOSS]}
        name = self._spec.monitor
        if name is None:
            return _ordered(self._learner.merit(found))
        known = {**logged(measures), **found}
        if name not in known:
            message = f"method.monitor is {name}, which an epoch of {self._spec.kind} does not have"
            raise SpecError(message, hint=f"It has {', '.join(known)}.")
        plain = name.removeprefix(prefix)
        metric = self._task.spec.metrics.get(plain)
        higher = plain in self._spec.rising if metric is None else bool(metric.higher_is_better)
        if self._spec.direction is not None:
            higher = self._spec.direction == "max"
        return _ordered(known[name] if higher else -known[name])

    def stops_early(self, epochs: Sequence[Measures]) -> bool:
        """Tell whether no epoch was better for as long as the schedule waits."""
        patience, merits = self._spec.early_stop, self.merits(epochs)
        if patience is None or not merits:
            return False
        return len(merits) - 1 - merits.index(max(merits)) >= patience


def _ordered(merit: float) -> float:
    return -math.inf if math.isnan(merit) else merit
