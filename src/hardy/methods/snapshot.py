"""A copy of a module's tensors, and its way back."""

import torch
from torch import nn


class Snapshot:
    """Remembers every parameter and buffer of a module.

    Args:
        module: Its tensors are copied now, on their own device.
    """

    def __init__(self, module: nn.Module) -> None:
        # Identity matters: restoring writes into the tensors that optimizers and hooks hold.
        self._live = [*module.parameters(), *module.buffers()]
        self._kept = [tensor.detach().clone() for tensor in self._live]

    @torch.no_grad()
    def restore(self) -> None:
        """Write the remembered values back, in place and bit for bit."""
        torch._foreach_copy_(self._live, self._kept)
