"""What a method that trains is to the engine that runs it.

It is built like every other method, from a model and its schema, and trains a copy of the
model's network. It also answers for one image, as the source model and as trained, so that
records and pictures are made as for every other method.
"""

import copy
import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor, nn

from hardy.data.dataset import Dataset
from hardy.methods.base import Outcome, Subject, TestTimeMethod, log_probabilities
from hardy.methods.optim import build_optimizer
from hardy.methods.training_spec import TrainingSpec
from hardy.models.model import Model
from hardy.models.state import bare, copied

_WEIGHTS, _OPTIMIZER = "weights", "optimizer"


@dataclass(frozen=True)
class Batch:
    """Samples as a trainer sees them.

    Attributes:
        pixels: Images (B, 3, S, S) in [0, 255], on the model's device.
        labels: Indices (B,) into the dataset's classes, on the same device.
        ids: The samples' stable names; with the seed and the epoch, they derive every random
            number.
        captions: What the samples show, in words; empty where the dataset has no captions.
        seed: The experiment's seed.
        epoch: Counted from 1; 0 where the batch is only measured, and nothing is drawn.
    """

    pixels: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    captions: tuple[str, ...]
    seed: int
    epoch: int = 0


class Trainer(TestTimeMethod):
    """Trains a network, an epoch at a time.

    Args:
        model: The source model, which stays as it is.
        spec: The schedule.

    Attributes:
        network: The copy of the model's network that is trained.
        optimizer: Over all parameters of `learners`.
    """

    def __init__(self, model: Model, spec: TrainingSpec) -> None:
        super().__init__(model)
        self.spec = spec
        self._source = model.network
        self.network = copy.deepcopy(model.network)
        self.optimizer = self._optimizer()

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, differentiable."""

    def check(self, dataset: Dataset) -> None:
        """Raise a SpecError where the dataset lacks what the loss needs; nothing by default."""

    def learners(self) -> Mapping[str, nn.Module]:
        """Return all modules that learn, by name; the network alone by default."""
        return {"network": bare(self.network)}

    def settle(self) -> None:
        """Keep parameters within their bounds, after each step; nothing by default."""

    def refresh(self) -> None:
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

    def predict(self, subject: Subject) -> Outcome:
        """Answer from the unchanged image, untrained and trained."""
        start = perf_counter()
        with torch.no_grad():
            source = self.model(subject.views[:1])[0]
            self.model.network = self.network
            trained = self.model(subject.views[:1])[0]
        answers = {
            "source": log_probabilities(source),
            self.spec.kind: log_probabilities(trained),
        }
        return Outcome(answers, milliseconds={"predict": 1e3 * (perf_counter() - start)})

    def reset(self) -> None:
        """Give the model its untrained network back."""
        self.model.network = self._source


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
