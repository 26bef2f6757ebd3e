"""From an optimizer's and a scheduler's schema to torch's own."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim import lr_scheduler as schedulers

from hardy.methods.optim_spec import Adam, OptimizerSpec, RAdam, Sgd
from hardy.methods.scheduler_spec import Constant, Cosine, OneCycle, Plateau, SchedulerSpec, Step

Parameters = Iterable[nn.Parameter] | Iterable[Mapping[str, Any]]


def build_optimizer(spec: OptimizerSpec, parameters: Parameters) -> Optimizer:
    """Build the optimizer over the given parameters, or groups of them with their own settings."""
    given: Any = parameters
    if isinstance(spec, Sgd):
        return torch.optim.SGD(
            given, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay
        )
    if isinstance(spec, Adam):
        return torch.optim.Adam(given, lr=spec.lr, weight_decay=spec.weight_decay)
    if isinstance(spec, RAdam):
        return torch.optim.RAdam(given, lr=spec.lr, weight_decay=spec.weight_decay)
    return torch.optim.AdamW(given, lr=spec.lr, weight_decay=spec.weight_decay)


class Scheduler:
    """One of torch's schedulers, told of steps and of epochs.

    Args:
        spec: Which.
        optimizer: Its groups' rates are set, now to the first step's.
        steps: Steps of the whole training.
        epoch_steps: Steps of an epoch.
    """

    def __init__(
        self, spec: SchedulerSpec, optimizer: Optimizer, *, steps: int, epoch_steps: int
    ) -> None:
        self._inner: Any
        if isinstance(spec, Plateau):
            self._inner = schedulers.ReduceLROnPlateau(
                optimizer, mode="max", factor=spec.factor, patience=spec.patience, threshold=0.0
            )
        elif isinstance(spec, OneCycle):
            self._inner = schedulers.OneCycleLR(
                optimizer,
                max_lr=[group["lr"] for group in optimizer.param_groups],
                total_steps=max(2, steps),
                # Of fewer than two steps there is no rise, and torch would divide by nothing.
                pct_start=min(1.0, max(spec.rise, 2 / max(2, steps))),
                div_factor=spec.start,
                final_div_factor=spec.end,
                cycle_momentum=False,
            )
        elif isinstance(spec, Step):
            self._inner = schedulers.StepLR(optimizer, spec.every * epoch_steps, spec.factor)
        else:
            self._inner = schedulers.LambdaLR(optimizer, _shares(spec, steps))
        self._of_epochs = isinstance(spec, Plateau)
        self._left = steps
        # Half precision may leave out the first steps, of which torch would warn.
        optimizer._opt_called = True  # type: ignore[attr-defined]

    def step(self) -> None:
        """Set the rate of the next step; of the last one there is none."""
        self._left -= 1
        if not self._of_epochs and self._left > 0:
            self._inner.step()

    def end_epoch(self, merit: float) -> None:
        """Take the measure of an epoch, higher is better."""
        if self._of_epochs:
            self._inner.step(merit)

    def state(self) -> dict[str, Any]:
        """Return where it stands, as a JSON value."""
        return {"left": self._left, "inner": self._inner.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; the optimizer's groups bring their own rates."""
        self._left = state["left"]
        self._inner.load_state_dict(dict(state["inner"]))


def _shares(spec: Constant | Cosine, steps: int) -> Callable[[int], float]:
    """Return the share of the highest rate at a step."""
    if isinstance(spec, Constant):
        return lambda _: 1.0
    return lambda step: spec.final + (1 - spec.final) * schedule(step, steps, spec.warmup)


def schedule(step: int, steps: int, warmup: float) -> float:
    """Return the share of the highest learning rate at a step: up a line, down a half cosine.

    Args:
        step: Counted from 0.
        steps: Of the whole training.
        warmup: Share of the steps on the line, which ends at 1.
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))
