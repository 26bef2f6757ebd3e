"""Which samples are labelled, and what each class weighs in the loss."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from hardy.core.catalog import did_you_mean
from hardy.core.errors import DataError, SpecError
from hardy.core.seeding import generator
from hardy.data.dataset import Dataset
from hardy.tasks.base import Task


def labelled(dataset: Dataset, share: float, seed: int) -> Dataset:
    """Return the share of a dataset's samples whose truth a loss sees; at least one.

    They follow from the seed and the manifest alone, so that all processes draw the same.
    """
    count = max(1, round(share * len(dataset.samples)))
    drawn = generator(seed, "labelled").permutation(len(dataset.samples))[:count]
    return replace(dataset, samples=tuple(dataset.samples[n] for n in sorted(drawn.tolist())))


def class_weights(
    stated: str | Mapping[str, float] | None, dataset: Dataset, task: Task
) -> Tensor | None:
    """Return the weight of each output in the loss (C,), float32; None for 1 each.

    Args:
        stated: As in the schema.
        dataset: The samples to learn from.
        task: Whose classes they are.

    Raises:
        SpecError: If a name is no class.
    """
    if stated is None:
        return None
    labels = [label for label in range(len(task.names)) if label != task.void]
    names = [task.names[label] for label in labels]
    if not isinstance(stated, str):
        for name in stated:
            if name not in names:
                message = f"method.class_weights: there is no class {name!r}"
                known = f"The classes are {', '.join(names[:8])}."
                raise SpecError(message, hint=did_you_mean(name, names) or known)
        return torch.tensor([float(stated.get(name, 1.0)) for name in names])
    counts = _counts(dataset, task)[labels]
    weights = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    weights[counts == 0] = 0.0  # nothing is known of it; smoothing would weigh it above all
    return torch.from_numpy(weights).float()


def _counts(dataset: Dataset, task: Task) -> np.ndarray:
    """Count the samples, or the pixels, of each label: (L,)."""
    labels = len(task.names)
    if dataset.read_mask is None or task.target != "mask":
        found = [sample.label for sample in dataset.samples]
        return np.bincount(found, minlength=labels).astype(np.float64)
    counts = np.zeros(labels)
    for sample in dataset.samples:
        try:
            pixels = np.asarray(dataset.read_mask(sample)).ravel()
        except DataError:
            continue  # the training stops at it, or leaves it out
        counts += np.bincount(pixels, minlength=labels)[:labels]
    return counts
