"""Whoever looks at a unit while it runs, and may stop it: a search's only way in."""

from collections.abc import Mapping
from typing import Protocol

BLOCKS = 20
"""At most so often are a unit's answers told of: at fixed places of its samples."""


class Pruned(Exception):
    """A unit is stopped, since it is not promising.

    Args:
        step: The step after which it was.

    Attributes:
        run_id: The unit's run, once it has ended.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped after step {step}")
        self.step = step
        self.run_id = ""


class Watch(Protocol):
    """Told of a unit's way; whatever was told before a stop is told again when it goes on."""

    def samples(self, done: int, total: int, scores: Mapping[int, float]) -> None:
        """Take the scores of a block of answers.

        Args:
            done: Samples that are done, with those that were left out as broken.
            total: All samples.
            scores: By place, of those since the last block; higher is better.

        Raises:
            Pruned: If the unit is to stop.
        """

    def epoch(self, epoch: int, epochs: int, merit: float) -> None:
        """Take what an epoch of a training came to.

        Args:
            epoch: Counted from 1.
            epochs: All of them.
            merit: Higher is better.

        Raises:
            Pruned: If the unit is to stop.
        """


def ends(total: int) -> frozenset[int]:
    """Return after how many samples a watch is told: at the ends of at most `BLOCKS` blocks."""
    return frozenset(-(-total * number // BLOCKS) for number in range(1, BLOCKS + 1))
