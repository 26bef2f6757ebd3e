"""Samples in memory, such as features, as a training takes them."""

from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from hardy.data.item import Batch, Targets


class TensorSource:
    """Labelled rows in batches: a `Source` of what lies on the device as a whole.

    Args:
        inputs: Rows (N, ...).
        labels: Their classes (N,), int64, on the same device.
        ids: Their names.
        seed: The experiment's.
    """

    def __init__(self, inputs: Tensor, labels: Tensor, ids: Sequence[str], seed: int) -> None:
        self.inputs = inputs
        self.labels = labels
        self.ids = tuple(ids)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.ids)

    def batches(
        self,
        order: Sequence[int],
        size: int,
        epoch: int,
        *,
        first: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> Generator[Batch, None, None]:
        """Yield batches; see `Source`. Nothing is drawn, whatever the epoch."""
        for number in range(first, -(-len(order) // size)):
            part = order[number * size : (number + 1) * size]
            mine = list(part[rank::ranks])
            places = torch.tensor(mine, dtype=torch.int64, device=self.inputs.device)
            yield Batch(
                self.inputs[places],
                Targets(self.labels[places]),
                tuple(self.ids[place] for place in mine),
                self.seed,
                epoch,
                number,
                rank,
                ranks,
                len(part),
            )
