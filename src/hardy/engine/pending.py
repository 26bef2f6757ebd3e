"""What batches of a training leave on the device until it is read, all at once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor

from hardy.data.item import Batch
from hardy.engine.checkpoint import Measures


@dataclass(frozen=True)
class Done:
    """What a batch left: tensors that are not read yet, and what is known of it."""

    found: Mapping[str, Tensor]
    samples: int
    rate: float
    waited: float
    norm: Tensor | None


def timed(batches: Iterable[Batch]) -> Iterator[tuple[Batch, float]]:
    """Yield batches, each with the seconds that it was waited for."""
    start = perf_counter()
    for batch in batches:
        yield batch, perf_counter() - start
        start = perf_counter()


def read(pending: Sequence[Done]) -> Iterator[tuple[Measures, float | None, Done]]:
    """Yield what batches left, read from the device in one go."""
    values = [value for done in pending for value in done.found.values()]
    values += [done.norm for done in pending if done.norm is not None]
    device = next((value.device for value in values), None)
    values = [value.to(device, torch.float32) for value in values]
    numbers = iter(torch.stack(values).tolist()) if values else iter(())
    found = [{name: next(numbers) for name in done.found} for done in pending]
    for done, each in zip(pending, found, strict=True):
        yield each, None if done.norm is None else next(numbers), done
