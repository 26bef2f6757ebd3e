"""The learner of supervised training: a network and the loss of its outputs.

Of B samples with truth q (one class, or 1 - s of it and s/C of each), class weights w and the
network's probabilities p, the loss is -1/B Σ_i Σ_c w_c q_ic log p_ic, as torch weighs it, unless
other terms are stated. Mixup (Zhang et al. 2018, arXiv:1710.09412) blends each sample with another,
j, by λ ~ Beta(α, α): λ x_i + (1 - λ) x_j is shown, and the loss is λ L(y_i) + (1 - λ) L(y_j).
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from hardy.core.errors import MethodError, SpecError
from hardy.data.item import Batch, Targets
from hardy.methods.learner import Learner, Means
from hardy.methods.supervised.spec import SupervisedSpec
from hardy.methods.tuned import check_patterns, matched, rest, rests
from hardy.models.model import Model
from hardy.models.state import bare
from hardy.tasks.base import Task
from hardy.tasks.base_spec import PSEUDO


class SupervisedLearner(Learner):
    """A network and its task's loss.

    Args:
        model: Its network is trained in place.
        spec: Schedule and loss.
        task: Gives the loss.
        class_weights: (C,); none for a weight of 1.
        labelled: Names of the training samples whose truth the loss sees; none: of all.
    """

    spec: SupervisedSpec
    class_weights: Tensor | None
    tally: Tensor | None

    def __init__(
        self,
        model: Model,
        spec: SupervisedSpec,
        task: Task,
        class_weights: Tensor | None = None,
        labelled: frozenset[str] | None = None,
    ) -> None:
        super().__init__(model.network, spec)
        self.task = task
        self.preprocess = model.preprocess
        self._kept = model.model_indices
        self._labelled = labelled
        self._late: list[nn.Parameter] | None = None
        self._late_parts: list[nn.Module] = []
        own = {name: w for name, w in (spec.loss or {}).items() if name in task.spec.loss_terms}
        self._aux = {name: w for name, w in (spec.loss or {}).items() if name not in own}
        self._pseudo = {name: w for name, w in own.items() if name.startswith(PSEUDO)}
        self._true = {name: w for name, w in own.items() if name not in self._pseudo} or None
        self.register_buffer("class_weights", class_weights, persistent=False)
        # Of the epoch so far: a part of the state, so that a stopped training goes on with it.
        sizes = task.tallies if spec.mixup is None else 0
        self.register_buffer("tally", torch.zeros(sizes, dtype=torch.int64) if sizes else None)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mean loss of a batch, differentiable, and the terms that are the network's."""
        inputs, targets = self.preprocess.normalise(batch.inputs), batch.targets
        if self.spec.mixup is None or not batch.epoch:
            outputs, only = self._outputs(inputs), self._changed(batch)
            known = self._known(batch)
            if self.training:
                self._count(outputs, targets, known)
            losses = self._losses(outputs, targets, only)
            if known is not None:
                own = self._losses(outputs, targets, only, self._pseudo) if self._pseudo else 0.0
                losses = torch.where(known, losses, own)
            return self._with_aux(losses.mean())
        share, order = partners(batch, self.spec.mixup)
        outputs = self._outputs(torch.lerp(inputs[order], inputs, share.view(-1, 1, 1, 1)))
        parts = (part[order] if torch.is_tensor(part) else part for part in targets)
        others = Targets(*parts)  # type: ignore[arg-type]  # a caption is of no use to a loss
        mixed = torch.lerp(self._losses(outputs, others), self._losses(outputs, targets), share)
        return self._with_aux(mixed.mean())

    @torch.no_grad()
    def measure(self, batch: Batch) -> tuple[Means, Tensor | None]:
        """Return the plain loss of a validation batch, and its answers."""
        outputs = self._outputs(self.preprocess.normalise(batch.inputs))
        only = self._changed(batch)
        loss = self.task.loss(outputs, batch.targets, terms=self._true, only=only).mean()
        return self._with_aux(loss), self.task.answer(outputs)

    def start_epoch(self, epoch: int) -> dict[str, float]:
        """Let what is frozen in the first epochs learn from then on.

        Raises:
            SpecError: If a pattern fits no parameter, or nothing is left to learn.
        """
        freeze = self.spec.freeze
        if freeze is None:
            return {}
        if self._late is None:
            check_patterns(bare(self.network), freeze.parts, "freeze.parts")
            self._late = [
                parameter
                for name, parameter in bare(self.network).named_parameters()
                if parameter.requires_grad and any(fnmatchcase(name, p) for p in freeze.parts)
            ]
            network = bare(self.network)
            self._late_parts = [p for p in matched(network, freeze.parts) if not rests(p)]
        for parameter in self._late:
            parameter.requires_grad_(epoch > freeze.epochs)
        for part in self._late_parts:
            rest(part, still=epoch <= freeze.epochs)
        if not any(parameter.requires_grad for parameter in self.parameters()):
            message = f"method.freeze.parts is all that learns, and epoch {epoch} has nothing left"
            raise SpecError(message, hint="Leave the head out of it.")
        return {}

    def end_steps(self, epoch: int) -> dict[str, float]:
        """Return what the task and the network say of the epoch's training."""
        found: dict[str, float] = {}
        if self.tally is not None:
            found |= self.task.tallied(self.tally)
            self.tally.zero_()
        network: Any = bare(self.network)
        if hasattr(network, "epoch_measures"):
            found |= network.epoch_measures()
        return {f"train/{name}": value for name, value in found.items()}

    def merit(self, measures: Mapping[str, float]) -> float:
        """Return the task's headline metric, turned so that higher is better."""
        name = self.task.headline
        higher = self.task.spec.metrics[name].higher_is_better
        return measures[name] if higher else -measures[name]

    def _outputs(self, inputs: Tensor) -> Tensor:
        # The layout that convolutions are fastest in; their weights have it already.
        found: Tensor = self.network(inputs.contiguous(memory_format=torch.channels_last))
        return found if self._kept is None else found[:, self._kept]

    def _losses(
        self,
        outputs: Tensor,
        targets: Targets,
        only: Tensor | None = None,
        terms: Mapping[str, float] | None = None,
    ) -> Tensor:
        smoothing = self.spec.label_smoothing or 0.0
        return self.task.loss(
            outputs,
            targets,
            smoothing=smoothing,
            class_weights=self.class_weights,
            terms=terms or self._true,
            only=only,
        )

    def _with_aux(self, loss: Tensor) -> dict[str, Tensor]:
        """Add the network's own terms of its last forward pass; return them, too.

        Raises:
            MethodError: If it has none of that name.
        """
        if not self._aux:
            return {"loss": loss}
        network: Any = bare(self.network)
        said = network.aux_losses() if hasattr(network, "aux_losses") else {}
        for name, weight in self._aux.items():
            if name not in said:
                message = f"method.loss names {name}, which {type(network).__name__} does not give"
                raise MethodError(message, hint=f"It gives {', '.join(said) or 'none'}.")
            loss = loss + weight * said[name]
        return {"loss": loss, **{name: said[name].detach() for name in self._aux}}

    def _changed(self, batch: Batch) -> Tensor | None:
        """Return the pixels that the shift changed (B, h, w); None where the loss is of all."""
        image = batch.targets.image
        if self.spec.over is None or image is None:
            return None
        return (batch.inputs != image).any(1)

    def _known(self, batch: Batch) -> Tensor | None:
        """Return of which samples the loss sees the truth (B,); None where of all."""
        if self._labelled is None:
            return None
        known = [name in self._labelled for name in batch.ids]
        return torch.tensor(known, device=batch.inputs.device)

    def _count(self, outputs: Tensor, targets: Targets, known: Tensor | None) -> None:
        """Count what the measures of the epoch follow from, of all processes' rows."""
        if self.tally is None:
            return
        if known is not None:
            parts = (part[known] if torch.is_tensor(part) else part for part in targets)
            outputs, targets = outputs[known], Targets(*parts)  # type: ignore[arg-type]
        found = self.task.tally(outputs, targets)
        # At once: ranks are given the buffers of the first one before each forward pass.
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(found)
        self.tally += found


def partners(batch: Batch, alpha: float) -> tuple[Tensor, Tensor]:
    """Draw what each sample of a batch is blended with.

    Returns:
        The share (B,) of the sample itself, and the place (B,) of the other, on the device.
    """
    from scipy.stats import beta

    drawn = batch.uniform("mixup", 2).cpu().double()
    share = torch.from_numpy(beta.ppf(drawn[:, 0].numpy(), alpha, alpha)).float()
    return share.to(batch.inputs.device), drawn[:, 1].argsort().to(batch.inputs.device)
