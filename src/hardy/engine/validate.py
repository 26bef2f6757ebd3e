"""Measuring a network in training on its validation samples."""

from typing import Any

import pandas as pd
import torch
from lightning_fabric import Fabric

from hardy.data.item import Batch, Targets
from hardy.engine.checkpoint import Measures
from hardy.methods.fitting import Source
from hardy.methods.learner import Learner
from hardy.tasks.base import Task

_ANSWER = "answer"

# Of a batch: its number, its samples, means over them, and columns of the records of its answers.
_Found = tuple[int, int, Measures, dict[str, list[Any]]]


def validated(learner: Learner, source: Source, task: Task, fabric: Fabric) -> Measures:
    """Return means over all samples, and the task's metrics of the answers where there are any.

    Args:
        learner: In evaluation mode.
        source: The samples.
        task: Judges the answers, by the same columns as records have.
        fabric: Precision, and the ranks that share the samples.
    """
    size = learner.spec.batch
    order = range(len(source))
    ranks = {"rank": fabric.global_rank, "ranks": fabric.world_size}
    found = [
        _measured(learner, batch, number, task, fabric)
        for number, batch in enumerate(source.batches(order, size, 0, **ranks))
        if batch.ids
    ]
    if fabric.world_size > 1:
        found = sorted(_gathered(found, fabric.world_size), key=lambda each: each[0])
    sums: Measures = {}
    for _, count, means, _ in found:
        for name, value in means.items():
            sums[name] = sums.get(name, 0.0) + value * count
    total = sum(count for _, count, _, _ in found)
    measures = {name: value / total for name, value in sums.items()}
    columns = [each for *_, each in found if each]
    if columns:
        frame = pd.concat([pd.DataFrame(each) for each in columns], ignore_index=True)
        measures |= task.metrics(frame, _ANSWER)
    return measures


def _measured(learner: Learner, batch: Batch, number: int, task: Task, fabric: Fabric) -> _Found:
    with torch.no_grad(), fabric.autocast():
        means, answers = learner.measure(batch)
    columns: dict[str, list[Any]] = {}
    if answers is not None:
        here: Any = (part.cpu() if torch.is_tensor(part) else part for part in batch.targets)
        targets = Targets(*here)
        columns |= task.truth(targets)
        fields = task.columns(_ANSWER, answers, targets)
        columns |= {f"{_ANSWER}.{name}": values for name, values in fields.items()}
    return number, len(batch.ids), {name: float(v) for name, v in means.items()}, columns


def _gathered(found: list[_Found], ranks: int) -> list[_Found]:
    """Return what all ranks found."""
    parts: list[list[_Found]] = [[] for _ in range(ranks)]
    torch.distributed.all_gather_object(parts, found)
    return [each for part in parts for each in part]
