"""A copy of a module's tensors, and its way back."""

from collections.abc import Iterable

import torch
from torch import Tensor


class Snapshot:
    """Remembers tensors.

    Args:
        tensors: Those that will change; they are copied now, on their own device.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        # Identity matters: restoring writes into the tensors that optimizers and hooks hold.
        self._live = list(tensors)
        self._kept = [tensor.detach().clone() for tensor in self._live]

    @torch.no_grad()
    def restore(self) -> None:
        """Write the remembered values back, in place and bit for bit."""
        torch._foreach_copy_(self._live, self._kept)
