"""The same samples clean and shifted, batch by batch, with the network that looks at them."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from torch import Tensor

from hardy.data.item import Prepared
from hardy.models.model import Model

BATCH = 32


class Pair(NamedTuple):
    """A batch: the same samples twice, in the same order."""

    clean: list[Prepared]
    shifted: list[Prepared]


@dataclass(frozen=True)
class Pairs:
    """What analyses look at.

    Attributes:
        model: The network, in evaluation.
        read: Prepares the samples at some places of the manifest, under the shift if so asked.
        images: Turns samples into the network's input (B, 3, H, W).
        autocast: Gives the precision of answers.
        order: Places of the samples that were answered, drawn without replacement.
        shift: The shift's label; `none` where there is none, and all are clean.
        classes: Names of the classes; empty where there are none.
        seed: The experiment's seed.
    """

    model: Model
    read: Callable[[bool, Sequence[int]], Generator[Prepared, None, None]]
    images: Callable[[Sequence[Prepared]], Tensor]
    autocast: Callable[[], AbstractContextManager[object]]
    order: Sequence[int]
    shift: str
    classes: tuple[str, ...] = ()
    seed: int = 0

    def count(self, most: int) -> int:
        """Return how many samples there are, `most` at most."""
        return min(most, len(self.order))

    def batches(self, most: int) -> Iterator[Pair]:
        """Yield at most so many samples, the same each time, in the manifest's order."""
        places = sorted(self.order[:most])
        with closing(self.read(False, places)) as clean, closing(self.read(True, places)) as other:
            while batch := list(islice(clean, BATCH)):
                yield Pair(batch, list(islice(other, BATCH)))

    def answered(self, most: int) -> Iterator[list[Prepared]]:
        """Yield the same samples in batches as they were answered: under the shift."""
        with closing(self.read(True, sorted(self.order[:most]))) as samples:
            while batch := list(islice(samples, BATCH)):
                yield batch
