"""Supervised training: the task's loss of a network's outputs against the truth.

Of B samples with truth q (one class, or 1 - s of it and s/C of each), class weights w and the
network's probabilities p, the loss is -1/B Σ_i Σ_c w_c q_ic log p_ic, as torch weighs it. Mixup
(Zhang et al. 2018, arXiv:1710.09412) blends each sample with another, j, by λ ~ Beta(α, α):
λ x_i + (1 - λ) x_j is shown, and the loss is λ L(y_i) + (1 - λ) L(y_j).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from hardy.core.catalog import did_you_mean
from hardy.core.errors import DataError, SpecError
from hardy.data.dataset import Dataset
from hardy.data.item import Batch, Targets
from hardy.methods.base import Answers
from hardy.methods.fitting import Fits, Work
from hardy.methods.learner import Learner, Means
from hardy.methods.supervised.spec import SupervisedSpec
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
        weights = class_weights(self.spec.class_weights, work.data("fit"), self.task)
        learner = SupervisedLearner(self.model, self.spec, self.task, weights)
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


class SupervisedLearner(Learner):
    """A network and its task's loss.

    Args:
        model: Its network is trained in place.
        spec: Schedule and loss.
        task: Gives the loss.
        class_weights: (C,); none for a weight of 1.
    """

    spec: SupervisedSpec
    class_weights: Tensor | None

    def __init__(
        self, model: Model, spec: SupervisedSpec, task: Task, class_weights: Tensor | None = None
    ) -> None:
        super().__init__(model.network, spec)
        self.task = task
        self.preprocess = model.preprocess
        self._kept = model.model_indices
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mean loss of a batch, differentiable."""
        inputs, targets = self.preprocess.normalise(batch.inputs), batch.targets
        if self.spec.mixup is None or not batch.epoch:
            return {"loss": self._losses(self._outputs(inputs), targets).mean()}
        share, order = partners(batch, self.spec.mixup)
        outputs = self._outputs(torch.lerp(inputs[order], inputs, share.view(-1, 1, 1, 1)))
        parts = (part[order] if torch.is_tensor(part) else part for part in targets)
        others = Targets(*parts)  # type: ignore[arg-type]  # a caption is of no use to a loss
        mixed = torch.lerp(self._losses(outputs, others), self._losses(outputs, targets), share)
        return {"loss": mixed.mean()}

    @torch.no_grad()
    def measure(self, batch: Batch) -> tuple[Means, Tensor | None]:
        """Return the plain loss of a validation batch, and its answers."""
        outputs = self._outputs(self.preprocess.normalise(batch.inputs))
        loss = self.task.loss(outputs, batch.targets).mean()
        return {"loss": loss}, self.task.answer(outputs)

    def merit(self, measures: Mapping[str, float]) -> float:
        """Return the task's headline metric, turned so that higher is better."""
        name = self.task.headline
        higher = self.task.spec.metrics[name].higher_is_better
        return measures[name] if higher else -measures[name]

    def _outputs(self, inputs: Tensor) -> Tensor:
        # The layout that convolutions are fastest in; their weights have it already.
        found: Tensor = self.network(inputs.contiguous(memory_format=torch.channels_last))
        return found if self._kept is None else found[:, self._kept]

    def _losses(self, outputs: Tensor, targets: Targets) -> Tensor:
        smoothing = self.spec.label_smoothing or 0.0
        return self.task.loss(
            outputs, targets, smoothing=smoothing, class_weights=self.class_weights
        )


def partners(batch: Batch, alpha: float) -> tuple[Tensor, Tensor]:
    """Draw what each sample of a batch is blended with.

    Returns:
        The share (B,) of the sample itself, and the place (B,) of the other, on the device.
    """
    from scipy.stats import beta

    drawn = batch.uniform("mixup", 2).cpu().double()
    share = torch.from_numpy(beta.ppf(drawn[:, 0].numpy(), alpha, alpha)).float()
    return share.to(batch.inputs.device), drawn[:, 1].argsort().to(batch.inputs.device)


def class_weights(
    stated: str | Mapping[str, float] | None, dataset: Dataset, task: Task
) -> Tensor | None:
    """Return the weight of each output in the loss (C,), float32; None for 1 each.

    Args:
        stated: As in the schema.
        dataset: The samples to learn from.
        task: Whose classes they are.

    Raises:
        SpecError: If a name is no class.
    """
    if stated is None:
        return None
    labels = [label for label in range(len(task.names)) if label != task.void]
    names = [task.names[label] for label in labels]
    if not isinstance(stated, str):
        for name in stated:
            if name not in names:
                message = f"method.class_weights: there is no class {name!r}"
                known = f"The classes are {', '.join(names[:8])}."
                raise SpecError(message, hint=did_you_mean(name, names) or known)
        return torch.tensor([float(stated.get(name, 1.0)) for name in names])
    counts = _counts(dataset, task)[labels]
    weights = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    weights[counts == 0] = 0.0  # nothing is known of it; smoothing would weigh it above all
    return torch.from_numpy(weights).float()


def _counts(dataset: Dataset, task: Task) -> np.ndarray:
    """Count the samples, or the pixels, of each label: (L,)."""
    labels = len(task.names)
    if dataset.read_mask is None or task.target != "mask":
        found = [sample.label for sample in dataset.samples]
        return np.bincount(found, minlength=labels).astype(np.float64)
    counts = np.zeros(labels)
    for sample in dataset.samples:
        try:
            pixels = np.asarray(dataset.read_mask(sample)).ravel()
        except DataError:
            continue  # the training stops at it, or leaves it out
        counts += np.bincount(pixels, minlength=labels)[:labels]
    return counts


def build(spec: SupervisedSpec, models: Sequence[Model], task: Task) -> Supervised:
    """Build the method from its schema."""
    return Supervised(models[0], spec, task)
