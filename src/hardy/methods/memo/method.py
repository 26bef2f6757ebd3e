"""MEMO: marginal entropy minimisation with one test point.

Zhang, Levine & Finn 2022, "MEMO: Test Time Robustness via Adaptation and Augmentation",
arXiv:2110.09506. For each test point x: θ' = θ - η ∇_θ H( (1/B) Σ_i p_θ(·|x_i) ), then
ŷ = argmax p_θ'(·|x), then θ again.
"""

from time import perf_counter

import torch
from torch import Tensor

from hardy.core.errors import MethodError
from hardy.methods.base import Outcome, Subject, TestTimeMethod, log_probabilities
from hardy.methods.marginal import marginal_entropy, select_confident
from hardy.methods.memo.batch_norm import Phase, batch_norm_prior
from hardy.methods.memo.spec import MemoSpec
from hardy.methods.optim import build_optimizer
from hardy.methods.pooling import majority_vote, view_ensemble
from hardy.methods.snapshot import Snapshot
from hardy.methods.tuned import tuned_parameters
from hardy.models.classifier import Classifier


class Memo(TestTimeMethod):
    """Adapts weights to one test point by a step or more on its views, then answers.

    Beside its own answer and the source model's, it gives two that cost no further pass, from the
    selected views before the first step: `view_ensemble`, their mean probability, and
    `majority_vote`.

    Args:
        classifier: The source model.
        spec: Views to select, steps, optimizer, strength of the batch-norm prior.
        two_pass: Where only some views are selected, run all without a graph and only those with
            one. The same numbers to rounding; False is the plain path that it is tested against.
    """

    def __init__(self, classifier: Classifier, spec: MemoSpec, *, two_pass: bool = True) -> None:
        super().__init__(classifier)
        self.spec = spec
        self.two_pass = two_pass
        self.tuned = tuned_parameters(classifier.network, spec.tune)
        self.optimizer = build_optimizer(spec.optimizer, self.tuned)
        self.source = Snapshot([*self.tuned, *classifier.buffers()])

    def predict(self, subject: Subject) -> Outcome:
        """Answer for one image as the source model, as its views' ensembles, and as adapted.

        Raises:
            MethodError: If the loss is not finite.
        """
        image, start = subject.views[:1], perf_counter()
        with torch.no_grad():
            before = self.classifier(image)[0]
        before_ready = perf_counter()
        views = self.views(subject)
        with batch_norm_prior(self.classifier, self.spec.bn_share) as phase:
            first_logits, loss, selected = self._adapt(views, phase)
            adapted = perf_counter()
            phase.name = "blend"
            with torch.no_grad():
                after = self.classifier(image)[0]
        done = perf_counter()
        return Outcome(
            answers={
                "source": log_probabilities(before),
                "view_ensemble": view_ensemble(first_logits[selected]),
                "majority_vote": majority_vote(first_logits[selected]),
                self.spec.kind: log_probabilities(after),
            },
            details={
                "loss": loss,
                # Counted among all images made: the original may not be among the loss's views.
                "selected_views": [
                    index + len(subject.views) - len(views) for index in sorted(selected.tolist())
                ],
            },
            milliseconds={
                "adapt": 1e3 * (adapted - before_ready),
                "predict": 1e3 * (done - adapted + before_ready - start),
            },
        )

    def views(self, subject: Subject) -> Tensor:
        """Return what the loss is computed on, (V, 3, H, W)."""
        return self.spec.views.for_loss(subject.views)

    def _adapt(self, views: Tensor, phase: Phase) -> tuple[Tensor, float, Tensor]:
        """Take the steps.

        Returns:
            The logits of all views and the loss before the first step, and the views selected.
        """
        selected: Tensor | None = None
        first: tuple[Tensor, float, Tensor] | None = None
        for step in range(self.spec.steps):
            known = None if self.spec.reselect else selected
            everything, logits, selected = self._forward(views, known, phase)
            loss = marginal_entropy(logits, self.spec.marginal)
            if not torch.isfinite(loss):
                message = f"MEMO's loss is {loss.item()} at step {step}"
                raise MethodError(message, hint="Lower method.optimizer.lr or method.steps.")
            first = first or (everything.detach(), loss.item(), selected)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss, inputs=self.tuned)
            self.optimizer.step()
        if first is None:
            message = "MEMO was asked for no step"
            raise MethodError(message, hint="Set method.steps to 1 or more.")
        return first

    def _forward(
        self, views: Tensor, selected: Tensor | None, phase: Phase
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits of all views, those of the selected with a graph, and the selection."""
        keep = self.spec.keep(len(views))
        if keep == len(views) or not self.two_pass:
            phase.name = "blend"
            everything = self.classifier(views)
            if selected is None:
                selected = select_confident(everything, keep)
            return everything, everything[selected], selected
        if selected is not None and self.spec.bn_share is None:
            logits = self.classifier(views[selected])
            return logits, logits, selected
        # Batch-norm statistics are those of all views, so the first pass records them.
        phase.name = "record"
        with torch.no_grad():
            everything = self.classifier(views)
        if selected is None:
            selected = select_confident(everything, keep)
        phase.name = "replay"
        return everything, self.classifier(views[selected]), selected

    def reset(self) -> None:
        """Restore weights and buffers in place, drop gradients and the optimizer's state."""
        self.source.restore()
        self.optimizer.zero_grad(set_to_none=True)
        if self.spec.optimizer_state == "reset":
            self.optimizer.state.clear()


def build(classifier: Classifier, spec: MemoSpec) -> Memo:
    """Build the method from its schema."""
    return Memo(classifier, spec)
