"""What the parts of an answer take."""

from time import perf_counter

import torch


class Stages:
    """A clock that is read where a stage ends, once the device has done the stage's work.

    Args:
        device: Where the work is done; a GPU is waited for.

    Attributes:
        milliseconds: What each stage took, by name; a stage in several pieces, all of them.
    """

    def __init__(self, device: torch.device) -> None:
        self.milliseconds: dict[str, float] = {}
        self._device = device
        self._last = self._now()

    def done(self, name: str) -> None:
        """End a stage: what went by since the last end is its."""
        before = self._last
        self._last = self._now()
        self.milliseconds[name] = self.milliseconds.get(name, 0.0) + 1e3 * (self._last - before)

    def skip(self) -> None:
        """Let what went by since the last end be no stage's."""
        self._last = self._now()

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return perf_counter()
