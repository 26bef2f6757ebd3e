"""When memory does not suffice for a batch: which one would fit."""

import gc
from typing import Any

import torch

from hardy.core.errors import MethodError
from hardy.data.item import Batch, Targets
from hardy.engine.trained import Trained
from hardy.methods.training_spec import TrainingSpec


def too_large(trained: Trained, batch: Batch, spec: TrainingSpec, ranks: int = 1) -> MethodError:
    """Return the error that a batch is which memory does not suffice for.

    Batches of half as many samples, and so on, are tried, so that the hint is true; by one process
    alone, since a pass may wait for others (buffers, codes, counts), which do not take part.

    Args:
        trained: What memory does not suffice for.
        batch: One rank's rows.
        spec: The schedule.
        ranks: Among how many a batch is divided.
    """
    message = f"a batch of {spec.batch} does not fit into the memory of {batch.inputs.device}"
    if ranks > 1:
        hint = (
            f"Lower method.batch, such as to {max(ranks, spec.batch // 2)}; smaller ones were not "
        )
        return MethodError(message, hint=hint + "tried, since several devices share them.")
    count = len(batch.ids) // 2
    while count and not _fits(trained, batch, count):
        count //= 2
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
    # The optimizer's state takes memory too; this training is over anyway.
    found = trained.gradients(first(batch, count), last=False)
    return bool(found) and trained.step(1) is not None


def first(batch: Batch, count: int) -> Batch:
    """Return the first samples of a batch."""
    parts: Any = (part if part is None else part[:count] for part in batch.targets)
    targets = Targets(*parts)
    inputs, ids = batch.inputs[:count], batch.ids[:count]
    return batch._replace(inputs=inputs, targets=targets, ids=ids, rank=0, ranks=1, whole=count)
