"""What a method learns from held-out samples before the others: an ensemble's temperatures.

The members' opinions of the held-out samples are kept on disk, so that a resumed run, the processes
of one run, and other experiments with the same members find them.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from filelock import FileLock
from safetensors.numpy import load_file, save

from hardy.core.errors import DataError
from hardy.core.files import write_whole
from hardy.core.hashing import digest
from hardy.core.paths import state_dir
from hardy.data.dataset import Dataset
from hardy.data.pipeline import BadSample, loader
from hardy.engine.device import spread
from hardy.engine.entries import subject_of
from hardy.engine.leak import open_apart
from hardy.engine.setup import Bench
from hardy.methods.ensemble.method import Ensemble


def learn(bench: Bench, say: Callable[[str], None] = lambda _: None) -> dict[str, float]:
    """Fit what the method learns from held-out samples, and set it.

    Args:
        bench: The experiment's parts; the method is changed.
        say: Told before a long computation.

    Returns:
        What was fitted, as metrics; nothing where the method learns nothing so.

    Raises:
        DataError: If a held-out sample is broken, or is one of the experiment's own.
    """
    held_out, method = bench.experiment.method.roles().get("fit"), bench.method
    if held_out is None or not isinstance(method, Ensemble):
        return {}
    dataset = open_apart(held_out, bench.experiment, bench.dataset)
    opinions, labels = _opinions(bench, dataset, say)
    return method.fit(opinions, labels)


def _opinions(
    bench: Bench, dataset: Dataset, say: Callable[[str], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the members' log-probabilities (N, M, C) and the labels (N,)."""
    file = _file(bench, dataset)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        if not file.is_file():
            say(f"asks the members for {len(dataset.samples)} held-out samples")
            write_whole(file, save(_made(bench, dataset)))
        content = load_file(file)
    return content["opinions"], content["labels"]


def _file(bench: Bench, dataset: Dataset) -> Path:
    """Name the file by all that the opinions depend on."""
    experiment = bench.experiment
    method = experiment.method.identity()
    key = {
        "samples": dataset.digest,
        "shift": experiment.data.shift_label,
        "weights": " ".join(each.identity for each in bench.located.values()),
        "model": experiment.model.identity(),
        "members": method["members"],
        "marginal": method["marginal"],
        "seed": experiment.seed,
        "precision": experiment.precision,
    }
    return state_dir() / "held-out" / f"{digest(key)}.safetensors"


def _made(bench: Bench, dataset: Dataset) -> dict[str, np.ndarray]:
    method = cast("Ensemble", bench.method)
    other = replace(bench, dataset=dataset)
    workers = spread(bench.experiment, bench.model.preprocess.size, bench.fabric.device.type)
    opinions, labels = [], []
    pipeline = other.pipeline(range(len(dataset.samples)))
    with closing(loader(pipeline, workers.workers)) as samples:
        for item in samples:
            if isinstance(item, BadSample):
                raise DataError(item.reason, hint=item.hint)
            with bench.fabric.autocast():
                opinions.append(method.unscaled(subject_of(other, item)))
            labels.append(item.label)
    return {"opinions": torch.stack(opinions).numpy(), "labels": np.array(labels)}
