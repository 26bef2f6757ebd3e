"""What a training changes, put together: the learner, its optimizers, their rates, the scaler."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hardy.core.errors import MethodError
from hardy.data.item import Batch
from hardy.methods.learner import Learner
from hardy.methods.optim import Scheduler
from hardy.models.state import bare, copied

_LEARNER, _OPTIMIZER, _MEAN = "learner.", "optimizer.", "mean."
# What torch says on a CPU; on a GPU it has an error of its own.
_ALONE = "Expected more than 1 value per channel"
_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


class Trained:
    """A learner with all that moves it, on one device or as one of several ranks.

    Args:
        learner: Is trained in place.
        fabric: Device, precision and ranks.
        steps: Steps of the whole training.
        epoch_steps: Steps of an epoch.
    """

    def __init__(self, learner: Learner, fabric: Fabric, *, steps: int, epoch_steps: int) -> None:
        self.learner = learner
        self._fabric = fabric
        self._precision: Any = fabric.strategy.precision
        self._plain = learner.optimizers()
        # The highest rate of all groups is what is told: with layer_decay, the head's.
        self._told = max(
            ((each, place) for each in self._plain for place in range(len(each.param_groups))),
            key=lambda found: float(found[0].param_groups[found[1]]["lr"]),
        )
        sizes = {"steps": steps, "epoch_steps": epoch_steps}
        self._schedulers = [Scheduler(learner.spec.rate, each, **sizes) for each in self._plain]
        self._wrapped: Any = fabric.setup_module(learner, move_to_device=False)
        found = fabric.setup_optimizers(*self._plain)
        self._optimizers: Sequence[Any] = found if isinstance(found, tuple | list) else [found]
        self._mean = _mean(learner)

    @property
    def rate(self) -> float:
        """The learning rate of the step to come."""
        optimizer, place = self._told
        return float(optimizer.param_groups[place]["lr"])

    @property
    def skips_steps(self) -> bool:
        """Whether a step whose gradients overflow is left out, and the loss's scale lowered."""
        return bool(self._precision.precision == "16-mixed")

    def gradients(
        self, batch: Batch, share: float = 1.0, *, last: bool = True
    ) -> dict[str, Tensor]:
        """Add a batch's gradients; return its loss and what else is to be logged.

        Nothing is returned where memory does not suffice; none of it is then held any longer.

        Args:
            batch: This rank's rows.
            share: What the loss counts for in its step.
            last: Whether no other batch of the same step follows: ranks then add up theirs.
        """
        try:
            with self._fabric.no_backward_sync(self._wrapped, enabled=not last):
                found: dict[str, Tensor] = self._wrapped(batch)
                self._fabric.backward(found["loss"] if share == 1 else found["loss"] * share)
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            return {}
        except ValueError as error:
            if _ALONE not in str(error):
                raise
            message = f"a batch norm of the network sees one value: {error}"
            hint = "Set method.drop_last to true, or make method.batch or model.input.size larger."
            raise MethodError(message, hint=hint) from error
        return {name: value.detach() for name, value in found.items()}

    def step(self, step: int) -> Tensor | None:
        """Take a step, counted from 1; return the norm of its gradients, before any clipping.

        Nothing is returned where memory does not suffice, such as for the optimizer's own state.
        """
        norm = self._clipped()
        try:
            for optimizer in self._optimizers:
                optimizer.step()
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            return None
        for scheduler in self._schedulers:
            scheduler.step()
        self.clear()
        self.learner.end_step(step)
        if self._mean is not None:
            self._mean.update_parameters(bare(self.learner.network))
        return norm

    def clear(self) -> None:
        """Forget all gradients."""
        for optimizer in self._plain:
            optimizer.zero_grad()

    def _clipped(self) -> Tensor:
        clip = self.learner.spec.clip
        if clip is None and not self.skips_steps:
            gradients = [
                p.grad
                for optimizer in self._plain
                for group in optimizer.param_groups
                for p in group["params"]
                if p.grad is not None
            ]
            total: Tensor = torch.nn.utils.get_total_norm(gradients)
            return total
        # Half precision's gradients are scaled; Fabric takes the scale out before it clips.
        norms = [
            self._fabric.clip_gradients(
                self._wrapped, each, max_norm=clip or math.inf, error_if_nonfinite=False
            )
            for each in self._optimizers
        ]
        return torch.stack([n for n in norms if n is not None]).square().sum().sqrt()

    def end_epoch(self, merit: float) -> None:
        """Take how good an epoch was, higher is better."""
        for scheduler in self._schedulers:
            scheduler.end_epoch(merit)

    @contextmanager
    def to_keep(self) -> Iterator[None]:
        """Put the weights that are validated and kept into the network while the context lasts."""
        if self._mean is None:
            yield
            return
        network = bare(self.learner.network)
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        network.load_state_dict(self._mean.module.state_dict())
        self.learner.refresh()
        try:
            yield
        finally:
            network.load_state_dict(before)
            self.learner.refresh()

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors that another process needs to go on, on the CPU."""
        found = _under(_LEARNER, self.learner.state_dict())
        for place, optimizer in enumerate(self._plain):
            for index, held in optimizer.state_dict()["state"].items():
                tensors = {name: value for name, value in held.items() if torch.is_tensor(value)}
                found |= _under(f"{_OPTIMIZER}{place}.{index}.", tensors)
        if self._mean is not None:
            found |= _under(_MEAN, self._mean.state_dict())
        return copied(found)

    def parts(self) -> dict[str, Any]:
        """Return all else that it needs, as a JSON value."""
        return {
            "groups": [
                [{k: v for k, v in group.items() if k != "params"} for group in each.param_groups]
                for each in self._plain
            ],
            "schedulers": [scheduler.state() for scheduler in self._schedulers],
            "scaler": self._precision.state_dict(),
        }

    def load(self, tensors: Mapping[str, Tensor], parts: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.learner.load_state_dict(_below(tensors, _LEARNER))
        for place, optimizer in enumerate(self._plain):
            _load_optimizer(
                optimizer, _below(tensors, f"{_OPTIMIZER}{place}."), parts["groups"][place]
            )
        for scheduler, state in zip(self._schedulers, parts["schedulers"], strict=True):
            scheduler.load(state)
        if self._mean is not None:
            self._mean.load_state_dict(_below(tensors, _MEAN))
        self._precision.load_state_dict(dict(parts["scaler"]))
        self.learner.refresh()


def _out_of_memory(error: RuntimeError) -> bool:
    """Tell whether an error says that memory did not suffice."""
    known = isinstance(error, torch.OutOfMemoryError)
    return known or any(words in str(error) for words in _WORDS)


def _mean(learner: Learner) -> AveragedModel | None:
    """Return the exponential mean of the network's weights and statistics, where one is asked."""
    if learner.spec.ema is None:
        return None
    average = get_ema_multi_avg_fn(learner.spec.ema)  # type: ignore[no-untyped-call]
    mean = AveragedModel(bare(learner.network), multi_avg_fn=average, use_buffers=True)
    mean.requires_grad_(requires_grad=False)
    return mean


def _load_optimizer(
    optimizer: Optimizer, tensors: Mapping[str, Tensor], groups: Sequence[Mapping[str, Any]]
) -> None:
    held: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        held.setdefault(int(index), {})[key] = tensor
    places = [group["params"] for group in optimizer.state_dict()["param_groups"]]
    stated = [{**dict(g), "params": p} for g, p in zip(groups, places, strict=True)]
    optimizer.load_state_dict({"state": held, "param_groups": stated})


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
