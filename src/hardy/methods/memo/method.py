"""MEMO: marginal entropy minimisation with one test point.

Zhang, Levine & Finn 2022, "MEMO: Test Time Robustness via Adaptation and Augmentation",
arXiv:2110.09506. For each test point x: θ' = θ - η ∇_θ H( (1/B) Σ_i p_θ(·|x_i) ), then
ŷ = argmax p_θ'(·|x), then θ again. Where answers are planes, H is the mean over pixels, and what
mirrored views say is mirrored back first.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hardy.methods.adapter import Adapter
from hardy.methods.base import Subject
from hardy.methods.marginal import select_confident, upright
from hardy.methods.memo.batch_norm import Phase, batch_norm_prior
from hardy.methods.memo.spec import MemoSpec
from hardy.methods.optim import build_optimizer
from hardy.methods.snapshot import Snapshot
from hardy.methods.tuned import tuned_parameters
from hardy.models.model import Model
from hardy.tasks.base import Task


class Memo(Adapter):
    """Adapts weights to one test point by a step or more on its views, then answers.

    Args:
        model: The source model.
        spec: Views to select, steps, optimizer, strength of the batch-norm prior.
        task: Says what the network's outputs mean; None where they are logits over classes.
        two_pass: Where only some views are selected, run all without a graph and only those with
            one. The same numbers to rounding; False is the plain path that it is tested against.
    """

    def __init__(
        self, model: Model, spec: MemoSpec, task: Task | None = None, *, two_pass: bool = True
    ) -> None:
        super().__init__(model)
        self.spec: MemoSpec = spec
        self.task = task
        self.two_pass = two_pass
        self.tuned = tuned_parameters(model.network, spec.tune)
        self.optimizer = build_optimizer(spec.optimizer, self.tuned)
        self.source = Snapshot([*self.tuned, *model.buffers()])

    def begin(self, subject: Subject) -> None:
        """Take up an image."""
        self._image = subject.views[:1]
        self._views = self.spec.views.for_loss(subject.views)
        self._mirrored = self.spec.views.for_loss(subject.mirrored)
        self._chosen: Tensor | None = None
        self._begun = False

    def outputs(self, images: Tensor) -> Tensor:
        """Return the network's logits (B, C, ...) over the task's classes."""
        outputs: Tensor = self.model(images)
        return outputs if self.task is None else self.task.logits(outputs)

    def logits(self) -> Tensor:
        """Return the selected views' logits (n, C, ...) with a graph to the weights."""
        known = None if self.spec.reselect else self._chosen
        with batch_norm_prior(self.model, self.spec.bn_share) as phase:
            everything, logits, chosen = self._forward(known, phase)
        self._chosen = chosen
        if not self._begun:
            self._begun, self.selected = True, chosen
            self.first = everything.detach()[chosen]
        return logits

    def step(self) -> None:
        """Take an optimizer step, and drop the gradients."""
        self.optimizer.step()
        self.optimizer.zero_grad()

    def answer(self) -> Tensor:
        """Return the unchanged image's logits (C, ...) as adapted so far."""
        with batch_norm_prior(self.model, self.spec.bn_share), torch.no_grad():
            return self.outputs(self._image)[0]

    def _forward(self, selected: Tensor | None, phase: Phase) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits of all views, those of the selected with a graph, and the selection."""
        count = len(self._views)
        keep = self.spec.keep(count)
        if keep == count or not self.two_pass:
            phase.name = "blend"
            everything = self._of_views()
            if selected is None:
                selected = self._select(everything, keep)
            return everything, everything[selected], selected
        if selected is not None and self.spec.bn_share is None:
            logits = self._of_views(selected)
            return logits, logits, selected
        # Batch-norm statistics are those of all views, so the first pass records them.
        phase.name = "record"
        with torch.no_grad():
            everything = self._of_views()
        if selected is None:
            selected = self._select(everything, keep)
        phase.name = "replay"
        return everything, self._of_views(selected), selected

    def _of_views(self, selected: Tensor | None = None) -> Tensor:
        """Return the logits of all views, or of the selected ones, none of them mirrored."""
        views, mirrored = self._views, self._mirrored
        if selected is not None:
            views = views[selected]
            mirrored = tuple(mirrored[n] for n in selected.tolist()) if mirrored else ()
        return upright(self.outputs(views), mirrored)

    def _select(self, everything: Tensor, keep: int) -> Tensor:
        selected = select_confident(everything, keep)
        if not self._begun:
            self.stages.done("ensemble")
        return selected

    def reset(self) -> None:
        """Restore weights and buffers in place, drop gradients and the optimizer's state."""
        self.source.restore()
        self.optimizer.zero_grad()
        if self.spec.optimizer_state == "reset":
            self.optimizer.state.clear()


def build(spec: MemoSpec, models: Sequence[Model], task: Task) -> Memo:
    """Build the method from its schema."""
    return Memo(models[0], spec, task)
