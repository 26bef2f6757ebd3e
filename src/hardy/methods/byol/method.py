"""BYOL: trains a network without labels, and answers by its features."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hardy.core.errors import MethodError, SpecError
from hardy.methods.base import Answers
from hardy.methods.byol.learner import Bank, ByolLearner
from hardy.methods.byol.spec import ByolSpec
from hardy.methods.fitting import Fits, Work
from hardy.methods.tuned import tuned
from hardy.models import head
from hardy.models.model import Model
from hardy.models.state import NETWORK, bare, copied
from hardy.tasks.base import Task

_FEATURES, _LABELS = "bank.features", "bank.labels"


class Byol(Fits, Answers):
    """Trains the model in place; answers by the nearest neighbours of its features, or by these.

    Args:
        model: Is trained, and stays so.
        spec: Schedule, views, heads.
        task: Of labels, or of features.

    Raises:
        SpecError: If the network's head cannot be told.
    """

    def __init__(self, model: Model, spec: ByolSpec, task: Task) -> None:
        super().__init__(model)
        self.spec, self.task = spec, task
        self._head = head.find(bare(model.network))
        self._bank: Bank | None = None

    def fit(self, work: Work) -> dict[str, Tensor]:
        """Train; return the network, its target, the heads and the labelled features.

        Raises:
            SpecError: If a pattern of `tune` fits no parameter, or a batch has one sample.
        """
        spec = self.spec
        source = work.source("fit", spec.augment, left=True, shift=spec.shift)
        self._check_batches(len(source))
        told = {"say": work.say, "picture": work.picture, "autocast": work.autocast}
        learner = ByolLearner(self.model, spec, self.task, source, **told)  # type: ignore[arg-type]
        by_labels = learner.labelled and spec.monitor in (None, "accuracy", "probe_accuracy")
        if by_labels and (spec.keep == "best" or spec.early_stop):
            work.say("epochs are compared by accuracy on the validation samples: by labels")
        if late := [epoch for epoch in spec.view_grids if epoch > spec.lasts(len(source))[0]]:
            last = spec.lasts(len(source))[0]
            work.say(f"note: no views are drawn of epoch {late[0]}: the last is {last}")
        learner.to(work.device)
        with tuned(bare(self.model.network), spec.tune):
            work.train(learner, source, work.source("validate", shift=spec.shift))
        parts = {"target": bare(learner.target), "projector": learner.projector}
        parts["predictor"] = learner.predictor
        found = {f"{NETWORK}{name}": tensor for name, tensor in learner.weights().items()}
        for part, module in parts.items():
            found |= copied({f"{part}.{name}": t for name, t in module.state_dict().items()})
        # Anew: a run that goes on after its last epoch has none from its validation.
        learner.refresh()
        bank = learner.bank()
        if bank.labels is not None:
            found |= copied({_FEATURES: bank.features, _LABELS: bank.labels})
        return found

    def _check_batches(self, samples: int) -> None:
        """Refuse a batch of one sample, of which the heads' batch norms could say nothing.

        Raises:
            SpecError: If there is one.
        """
        batch, batches = self.spec.batch, self.spec.batches(samples)
        if samples < self.spec.fewest or batch == 1:
            message = f"byol compares samples of a batch: {samples} in batches of {batch} leave one"
            raise SpecError(message, hint="Take more samples, or a larger method.batch.")
        if samples % batch == 1 and batches * batch > samples:
            message = f"the last batch of {samples} samples in batches of {batch} has one alone, "
            message += "of which the heads' batch norms can say nothing"
            raise SpecError(message, hint="Set method.drop_last to true, or change method.batch.")

    def load(self, fitted: Mapping[str, Tensor]) -> None:
        """Take the trained network's tensors, and the labelled features."""
        network = bare(self.model.network)
        own = {n.removeprefix(NETWORK): t for n, t in fitted.items() if n.startswith(NETWORK)}
        network.load_state_dict(own)
        self.model.eval()
        device = next(network.parameters()).device
        if _FEATURES in fitted:
            features, labels = (fitted[name].to(device) for name in (_FEATURES, _LABELS))
            self._bank = Bank(features, labels, {})

    @torch.no_grad()
    def answer(self, images: Tensor) -> dict[str, Tensor]:
        """Answer for normalised images (B, 3, H, W).

        Raises:
            MethodError: If classes are asked for, and it has no labelled features.
        """
        found = head.features(bare(self.model.network), images, self._head)
        if self.task.target == "label" and self.task.names:
            if self._bank is None:
                message = "byol has no labelled features to look among: it is not trained"
                raise MethodError(message, hint="Let it fit first, or load what it fitted.")
            found = self._bank.votes(found, self.spec, self.task)
        return {self.spec.kind: self.task.answer(found)}


def build(spec: ByolSpec, models: Sequence[Model], task: Task) -> Byol:
    """Build the method from its schema."""
    return Byol(models[0], spec, task)
