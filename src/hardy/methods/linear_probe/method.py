"""A linear probe: a new head learns, the rest of the network stays as it is.

With z what the head is given and x what becomes of it (z, or z / ‖z‖, and then a batch norm without
gains and biases), the loss of B samples of classes y is

    L = -1/B Σ_i log softmax(W x_i + b)_{y_i} + l2/2 ‖W‖²

Since nothing else learns, z is computed once for each sample (and level of noise), in evaluation
mode. With l2 = 1/(C n) it is scikit-learn's LogisticRegression(C) on n samples, divided by C n.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from hardy.core.errors import SpecError
from hardy.data.item import Batch
from hardy.methods.base import Answers
from hardy.methods.fitting import Fits, Work
from hardy.methods.frozen_features import features_of
from hardy.methods.learner import Learner, Means
from hardy.methods.linear_probe.spec import LinearProbeSpec
from hardy.models import head
from hardy.models.model import Model
from hardy.models.probe import Before
from hardy.models.state import NETWORK, bare, copied
from hardy.tasks.base import Task


class LinearProbe(Fits, Answers):
    """Gives the model a new head, trains it on the rest's features, and answers with both.

    Args:
        model: The rest of its network stays as it is.
        spec: Schedule, what is done to features, noise, penalty.
        task: Gives the loss, and judges the answers.
    """

    def __init__(self, model: Model, spec: LinearProbeSpec, task: Task) -> None:
        super().__init__(model)
        self.spec = spec
        self.task = task

    def fit(self, work: Work) -> dict[str, Tensor]:
        """Train; return the network's tensors.

        Raises:
            SpecError: If the network does not end in a linear layer on features.
        """
        network = bare(self.model.network)
        before = Before(self.spec.normalise, self.spec.batch_norm)
        head.make(network, self.task.outputs, work.seed, before)
        check_last(self.model)
        loaded = self.model.loaded
        travel = loaded.line() if loaded is not None else "the weights are the library's"
        work.say(f"a new {head.find(network)} learns, all else stays as it is ({travel})")
        fit = features_of(work, "fit", self.model, self.spec, self.spec.levels)
        validate = features_of(work, "validate", self.model, self.spec)
        learner = ProbeLearner(self.model, self.spec, self.task)
        work.train(learner, fit.source(work), validate.source(work))
        return {f"{NETWORK}{name}": tensor for name, tensor in learner.weights().items()}

    def load(self, fitted: Mapping[str, Tensor]) -> None:
        """Take the network's tensors with the head that they hold."""
        network = bare(self.model.network)
        tensors = {name.removeprefix(NETWORK): tensor for name, tensor in fitted.items()}
        head.like(network, tensors)
        network.load_state_dict(tensors)
        self.model.eval()

    @torch.no_grad()
    def answer(self, images: Tensor) -> dict[str, Tensor]:
        """Answer for normalised images (B, 3, H, W)."""
        return {self.spec.kind: self.task.answer(self.model(images))}


class ProbeLearner(Learner):
    """A head on features, and its task's loss.

    Of the whole network, only the head is a part of the learner: nothing else learns, or goes into
    a checkpoint of where the training stands.

    Args:
        model: Its head is trained in place.
        spec: Schedule and penalty.
        task: Gives the loss.
    """

    spec: LinearProbeSpec

    def __init__(self, model: Model, spec: LinearProbeSpec, task: Task) -> None:
        whole = bare(model.network)
        super().__init__(whole.get_submodule(head.find(whole)), spec)
        self.task = task
        self._whole = (whole,)  # in a tuple, so that it is no submodule
        self._kept = model.model_indices

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mean loss of a batch of features, with the penalty, differentiable."""
        loss = self.task.loss(self._outputs(batch), batch.targets).mean()
        if self.spec.l2 is not None:
            weight = cast("nn.Linear", self.network).weight
            loss = loss + self.spec.l2 / 2 * weight.square().sum()
        return {"loss": loss}

    @torch.no_grad()
    def measure(self, batch: Batch) -> tuple[Means, Tensor | None]:
        """Return the loss of a validation batch without the penalty, and its answers."""
        outputs = self._outputs(batch)
        return {"loss": self.task.loss(outputs, batch.targets).mean()}, self.task.answer(outputs)

    def merit(self, measures: Mapping[str, float]) -> float:
        """Return the task's headline metric, turned so that higher is better."""
        name = self.task.headline
        higher = self.task.spec.metrics[name].higher_is_better
        return measures[name] if higher else -measures[name]

    def weights(self) -> dict[str, Tensor]:
        """Return the whole network's tensors."""
        return copied(self._whole[0].state_dict())

    def load_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Put tensors that `weights` gave back into the network."""
        self._whole[0].load_state_dict(dict(tensors))

    def _outputs(self, batch: Batch) -> Tensor:
        found: Tensor = self.network(batch.inputs)
        return found if self._kept is None else found[:, self._kept]


@torch.no_grad()
def check_last(model: Model) -> None:
    """Make sure that what a network says is what its head says of the features.

    Raises:
        SpecError: If it is not: the head is asked at several places, or something follows it.
    """
    network, shape = bare(model.network), model.preprocess
    layer, device = network.get_submodule(head.find(network)), next(model.parameters()).device
    image = torch.zeros(1, 3, shape.height, shape.width, device=device)
    said = network(image)
    if isinstance(layer, nn.Linear):
        alone = layer(head.features(network, image))
        if alone.shape == said.shape and torch.allclose(alone, said, rtol=1e-3, atol=1e-4):
            return
    message = f"{type(network).__name__} is no linear function of what its head is given"
    hint = "Choose a network that pools its features before one linear layer, as ResNets and ViTs."
    raise SpecError(message, hint=hint)


def build(spec: LinearProbeSpec, models: Sequence[Model], task: Task) -> LinearProbe:
    """Build the method from its schema."""
    return LinearProbe(models[0], spec, task)
