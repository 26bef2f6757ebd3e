"""Steps of the image encoder that draw one image's views together, before its prompt is tuned.

L = 1 - mean(F Fᵀ), F the unit-length features (n, D) of the selected views, the diagonal included
(DavidC001/MEMO-TPT-DL2024).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hardy.methods.adapter import check_finite
from hardy.methods.optim import build_optimizer
from hardy.methods.snapshot import Snapshot
from hardy.methods.tpt.spec import TptSpec


class Aligner:
    """Tunes an image encoder, all but its attention pool, and puts it back.

    Args:
        visual: The image encoder, in evaluation mode.
        spec: `align_steps` and `align_optimizer`.
    """

    def __init__(self, visual: nn.Module, spec: TptSpec) -> None:
        self.visual = visual
        self.spec = spec
        self.tuned = [p for name, p in visual.named_parameters() if "attnpool" not in name]
        self.optimizer = build_optimizer(spec.align_optimizer, self.tuned)
        # Training mode moves the running statistics of batch norm, those of the pool's none.
        self.source = Snapshot([*self.tuned, *visual.buffers()])

    def run(self, encode: Callable[[Tensor], Tensor], views: Tensor) -> None:
        """Take the steps on views (n, 3, H, W), which `encode` maps to unit-length features.

        Raises:
            MethodError: If the loss is not finite.
        """
        self.visual.train()
        try:
            for step in range(self.spec.align_steps):
                loss = alignment_loss(encode(views))
                check_finite(loss, "tpt's alignment", step)
                torch.autograd.backward(loss, inputs=self.tuned)
                self.optimizer.step()
                self.optimizer.zero_grad()
        finally:
            self.visual.eval()

    def restore(self) -> None:
        """Put weights and buffers back in place, drop gradients and the optimizer's state."""
        self.source.restore()
        self.optimizer.zero_grad()
        self.optimizer.state.clear()


def alignment_loss(features: Tensor) -> Tensor:
    """Return 1 less the mean cosine of unit-length features (n, D), in [0, 2], differentiable."""
    with torch.autocast(features.device.type, enabled=False):
        return 1 - (features @ features.T).mean()
