"""Learning before answering: what a method may ask of the engine, and what it trains.

What `fit` returns is written to files of the run, and every process that answers loads these,
that which fitted included.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hardy.data.dataset import Dataset
from hardy.data.item import Batch, Targets
from hardy.data.loader import Images
from hardy.methods.base import Subject
from hardy.methods.base_spec import Role
from hardy.methods.optim import build_optimizer
from hardy.methods.training_spec import TrainingSpec
from hardy.models.state import bare, copied
from hardy.tasks.base import Task

_WEIGHTS, _OPTIMIZER = "weights", "optimizer"


class Work(Protocol):
    """What `Fits.fit` may ask of the engine.

    Attributes:
        seed: The experiment's.
        device: The models'.
        task: The experiment's.
    """

    seed: int
    device: torch.device
    task: Task

    def data(self, role: Role) -> Dataset:
        """Return a role's samples."""

    def images(self, role: Role) -> Images:
        """Read a role's images into memory, shifted, as large as the network's input.

        Raises:
            DataError: If a sample is broken and the spec does not say `on_bad_sample: skip`.
        """

    def subjects(self, role: Role) -> Iterator[tuple[Subject, Targets]]:
        """Yield a role's samples one by one, with the method's views, as in answering.

        Raises:
            DataError: If a sample is broken and the spec does not say `on_bad_sample: skip`, or
                all are broken.
        """

    def train(self, learner: "Learner", fit: Images, validate: Images) -> None:
        """Train, going on where a run that was stopped left off.

        The learner is left with the weights to keep.

        Raises:
            MethodError: If a loss is not finite.
        """

    def kept(
        self,
        kind: str,
        key: Any,  # noqa: ANN401 - any JSON value
        make: Callable[[], dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        """Return what `make` gives, from the cache where the same was made before.

        Args:
            kind: What it is, for the listing of what is kept.
            key: All that it follows from beside the unit's models, precision, seed, and the
                samples to fit on with their shift: a JSON value.
            make: Makes it.
        """

    def log(self, values: Mapping[str, float]) -> None:
        """Log metrics of the run."""

    def say(self, news: str) -> None:
        """Tell the user, such as before a long computation."""


class Fits(ABC):
    """A method that learns something before it answers."""

    @abstractmethod
    def fit(self, work: Work) -> dict[str, Tensor]:
        """Learn, and return all that answering needs, on the CPU.

        `network.*` are the network's own tensors, for other experiments to begin with.
        """

    @abstractmethod
    def load(self, fitted: Mapping[str, Tensor]) -> None:
        """Take what `fit` returned, from its files; a part that is not there stays as it is."""


class Learner(ABC):
    """A network that is trained: its loss and its optimizer.

    Args:
        network: Trained in place.
        spec: The schedule.

    Attributes:
        optimizer: Over all parameters of `learners`.
    """

    def __init__(self, network: nn.Module, spec: TrainingSpec) -> None:
        self.spec = spec
        self.network = network
        self.optimizer = self._optimizer()

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, differentiable."""

    def learners(self) -> Mapping[str, nn.Module]:
        """Return all modules that learn, by name; the network alone by default."""
        return {"network": bare(self.network)}

    def settle(self) -> None:  # noqa: B027 - optional
        """Keep parameters within their bounds, after each step; nothing by default."""

    def refresh(self) -> None:  # noqa: B027 - optional
        """Compute anew what the network derives from its weights, once they have changed."""

    @torch.no_grad()
    def measures(self, batch: Batch) -> dict[str, float]:
        """Return means over a batch of validation samples, in evaluation mode: the loss."""
        return {"loss": float(self.loss(batch))}

    def merit(self, measures: Mapping[str, float]) -> float:
        """Return how good the means over all validation samples are; higher is better."""
        return -measures["loss"]

    def train(self, mode: bool = True) -> None:
        """Put what learns into training mode, or into evaluation mode."""
        for module in self.learners().values():
            module.train(mode)

    def _optimizer(self) -> torch.optim.Optimizer:
        """Build the optimizer; gains and biases do not decay, as CLIP has it (arXiv:2103.00020)."""
        named = [p for module in self.learners().values() for p in module.parameters()]
        optimizer = build_optimizer(self.spec.optimizer, [p for p in named if p.ndim > 1])
        plain = [p for p in named if p.ndim <= 1]
        if plain:
            optimizer.add_param_group({"params": plain, "weight_decay": 0.0})
        return optimizer

    def set_rate(self, step: int, steps: int) -> float:
        """Set the learning rate of a step, and return it."""
        rate = self.spec.optimizer.lr * schedule(step, steps, self.spec.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def state(self) -> dict[str, Tensor]:
        """Return all that another process needs to go on, as named tensors on the CPU."""
        modules = nn.ModuleDict(self.learners()).state_dict()
        found = {f"{_WEIGHTS}.{name}": tensor for name, tensor in modules.items()}
        for index, held in self.optimizer.state_dict()["state"].items():
            tensors = {name: value for name, value in held.items() if torch.is_tensor(value)}
            found |= {f"{_OPTIMIZER}.{index}.{name}": value for name, value in tensors.items()}
        return copied(found)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        nn.ModuleDict(self.learners()).load_state_dict(_below(state, _WEIGHTS))
        held: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below(state, _OPTIMIZER).items():
            index, _, key = name.partition(".")
            held.setdefault(int(index), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": held, "param_groups": groups})
        self.refresh()

    def weights(self) -> dict[str, Tensor]:
        """Return the trained network's tensors on the CPU, as a weights file holds them."""
        return copied(bare(self.network).state_dict())

    def load_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Put tensors that `weights` gave back into the network."""
        bare(self.network).load_state_dict(dict(tensors))
        self.refresh()


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


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name.removeprefix(start): t for name, t in state.items() if name.startswith(start)}
