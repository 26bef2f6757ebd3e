"""MEMO: marginal entropy minimisation with one test point.

Zhang, Levine & Finn 2022, "MEMO: Test Time Robustness via Adaptation and Augmentation",
arXiv:2110.09506. For each test point x: θ' = θ - η ∇_θ H( (1/B) Σ_i p_θ(·|x_i) ), then
ŷ = argmax p_θ'(·|x), then θ again.
"""

from time import perf_counter

import torch
from torch import Tensor

from hardy.core.errors import MethodError
from hardy.methods.base import Outcome, TestTimeMethod, log_probabilities
from hardy.methods.memo.batch_norm import batch_norm_prior
from hardy.methods.memo.loss import marginal_entropy, select_confident
from hardy.methods.memo.spec import MemoSpec
from hardy.methods.optim import build_optimizer
from hardy.methods.snapshot import Snapshot
from hardy.models.classifier import Classifier


class Memo(TestTimeMethod):
    """Adapts all weights to one test point by a step or more on its views, then answers.

    Args:
        classifier: The source model.
        spec: Views to select, steps, optimizer, strength of the batch-norm prior.
    """

    def __init__(self, classifier: Classifier, spec: MemoSpec) -> None:
        super().__init__(classifier)
        self.spec = spec
        self.optimizer = build_optimizer(spec.optimizer, classifier.parameters())
        self.source = Snapshot(classifier)

    def predict(self, views: Tensor) -> Outcome:
        """Answer for one image as the source model (`source`) and as adapted (`memo`).

        Raises:
            MethodError: If the loss is not finite.
        """
        start = perf_counter()
        with torch.no_grad():
            before = self.classifier(views[:1])[0]
        before_ready = perf_counter()
        with batch_norm_prior(self.classifier, self.spec.bn_prior):
            loss, selected = self._adapt(views)
            adapted = perf_counter()
            with torch.no_grad():
                after = self.classifier(views[:1])[0]
        done = perf_counter()
        return Outcome(
            answers={"source": log_probabilities(before), "memo": log_probabilities(after)},
            details={"loss": loss, "selected_views": selected},
            milliseconds={
                "adapt": 1e3 * (adapted - before_ready),
                "predict": 1e3 * (done - adapted + before_ready - start),
            },
        )

    def _adapt(self, views: Tensor) -> tuple[float, list[int]]:
        """Take the steps; return the loss before the first and the views that were selected."""
        first_loss = float("nan")
        selected: Tensor | None = None
        for step in range(self.spec.steps):
            logits = self.classifier(views)
            if selected is None:  # chosen once, as TPT's published code does
                selected = select_confident(logits, self.spec.select)
            loss = marginal_entropy(logits[selected])
            if not torch.isfinite(loss):
                message = f"MEMO's loss is {loss.item()} at step {step}"
                raise MethodError(message, hint="Lower method.optimizer.lr or method.steps.")
            first_loss = loss.item() if step == 0 else first_loss
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self.optimizer.step()
        return first_loss, sorted(selected.tolist()) if selected is not None else []

    def reset(self) -> None:
        """Restore weights and buffers in place, drop gradients and the optimizer's state."""
        self.source.restore()
        self.optimizer.zero_grad(set_to_none=True)
        self.optimizer.state.clear()


def build(classifier: Classifier, spec: MemoSpec) -> Memo:
    """Build the method from its schema."""
    return Memo(classifier, spec)
