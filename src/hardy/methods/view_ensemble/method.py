"""View ensembles: the mean prediction over the most confident views, with no step taken.

p̄(y|x) = (1/|S|) Σ_{i ∈ S} p_θ(y|x_i), S the views of least entropy; of planes, pixel by
pixel, what mirrored views say mirrored back first. With `dropout`, each view's
last feature map is masked as in Monte Carlo dropout (Gal & Ghahramani 2016, arXiv:1506.02142).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hardy.core.errors import MethodError
from hardy.core.seeding import torch_generator
from hardy.explain.gradcam import target_layer
from hardy.methods.base import PLAIN, Adapts, Outcome, Subject, log_probabilities
from hardy.methods.marginal import select_confident, upright
from hardy.methods.pooling import majority_vote, view_ensemble
from hardy.methods.stages import Stages
from hardy.methods.view_ensemble.spec import ViewEnsembleSpec
from hardy.models.model import Model
from hardy.tasks.base import Task


class ViewEnsemble(Adapts):
    """Answers with the selected views' mean prediction, and with their majority vote.

    Args:
        model: The source model; nothing of it is changed.
        spec: Views to select, and dropout.
        task: Says what the network's outputs mean; None where they are logits over classes.
    """

    def __init__(self, model: Model, spec: ViewEnsembleSpec, task: Task | None = None) -> None:
        super().__init__(model)
        self.spec = spec
        self.task = task

    @torch.no_grad()
    def predict(self, subject: Subject) -> Outcome:
        """Answer for one image from its views; nothing changes."""
        stages = Stages(subject.views.device)
        before = self._logits(subject.views[:1])[0]
        stages.done("source")
        views = self.spec.views.for_loss(subject.views)
        with self._dropout(subject):
            logits = self._logits(views)
        logits = upright(logits, self.spec.views.for_loss(subject.mirrored))
        selected = select_confident(logits, self.spec.keep(len(logits)))
        stages.done("ensemble")
        pool = ("views", "ensemble")
        return Outcome(
            answers={
                "source": log_probabilities(before, 0),
                "majority_vote": majority_vote(logits[selected]),
                "view_ensemble": view_ensemble(logits[selected]),
            },
            details={
                "selected_views": [
                    index + len(subject.views) - len(views) for index in sorted(selected.tolist())
                ]
            },
            milliseconds=stages.milliseconds,
            needs={"source": (*PLAIN, "source"), "majority_vote": pool, "view_ensemble": pool},
        )

    def _logits(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.model(images)
        return outputs if self.task is None else self.task.logits(outputs)

    @contextmanager
    def _dropout(self, subject: Subject) -> Iterator[None]:
        """Mask the last feature map of each view while the context lasts."""
        if self.spec.dropout == 0:
            yield
            return
        layer = target_layer(self.model, subject.views[:1]).module
        random = torch_generator(subject.seed, subject.id, "dropout")
        keep = 1 - self.spec.dropout

        def mask(_: nn.Module, __: object, maps: Tensor) -> Tensor:
            if maps.dim() != 4:
                message = f"dropout: the last feature layer gives {maps.dim()}-D maps, not 4-D"
                hint = "Use a convolutional network, or set method.dropout to 0."
                raise MethodError(message, hint=hint)
            # On the CPU: a GPU's generator draws other numbers from the same seed.
            drawn = torch.rand(maps.shape, generator=random).to(maps.device)
            return maps * (drawn < keep) / keep

        handle = layer.register_forward_hook(mask)
        try:
            yield
        finally:
            handle.remove()

    def reset(self) -> None:
        """Do nothing: nothing was changed."""


def build(spec: ViewEnsembleSpec, models: Sequence[Model], task: Task) -> ViewEnsemble:
    """Build the method from its schema."""
    return ViewEnsemble(models[0], spec, task)
