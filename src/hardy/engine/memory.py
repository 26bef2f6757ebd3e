"""When memory does not suffice for a batch: which one would fit."""

import gc
from typing import Any

import torch

from hardy.core.errors import MethodError
from hardy.data.item import Batch, Targets
from hardy.engine.trained import Trained
from hardy.methods.training_spec import TrainingSpec

# What torch says on a CPU; on a GPU it has an error of its own.
_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


def out_of_memory(error: RuntimeError) -> bool:
    """Tell whether an error says that memory did not suffice."""
    known = isinstance(error, torch.OutOfMemoryError)
    return known or any(words in str(error) for words in _WORDS)


def too_large(trained: Trained, batch: Batch, spec: TrainingSpec) -> MethodError:
    """Return the error that a batch is which memory does not suffice for.

    Batches of half as many samples, and so on, are tried, so that the hint is true.
    """
    count = len(batch.ids) // 2
    while count and not _fits(trained, batch, count):
        count //= 2
    message = f"a batch of {spec.batch} does not fit into the memory of {batch.inputs.device}"
    if not count:
        return MethodError(message, hint="A single image does not: take a smaller input or model.")
    hint = f"{count} fit: set method.batch to {count}"
    if spec.batch % count == 0:
        times = spec.batch // count * (spec.accumulate or 1)
        hint += f", and method.accumulate to {times} for steps of as many samples"
    return MethodError(message, hint=f"{hint}.")


def _fits(trained: Trained, batch: Batch, count: int) -> bool:
    trained.clear()
    gc.collect()
    if batch.inputs.device.type == "cuda":
        torch.cuda.empty_cache()
    try:
        with trained.alone(enabled=True):
            trained.backward(trained.forward(first(batch, count))["loss"])
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return False
    return True


def first(batch: Batch, count: int) -> Batch:
    """Return the first samples of a batch."""
    parts: Any = (part if part is None else part[:count] for part in batch.targets)
    targets = Targets(*parts)
    return batch._replace(inputs=batch.inputs[:count], targets=targets, ids=batch.ids[:count])
