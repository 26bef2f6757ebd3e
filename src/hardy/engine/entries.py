"""From a sample to its journal entry: views in, one flat record out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from hardy.core.errors import DataError
from hardy.data.item import Targets
from hardy.data.pipeline import BadSample, Prepared, loader
from hardy.engine.setup import Bench, assemble
from hardy.measure.records import TIMING
from hardy.methods.base import Subject
from hardy.models.weights import Located
from hardy.spec.experiment import Experiment

Entry = dict[str, Any]
SKIPPED = "skipped"


def entries(bench: Bench, indices: Sequence[int], workers: int) -> Iterator[Entry]:
    """Yield the entries of some samples in order, made in this process.

    Args:
        bench: The experiment's parts.
        indices: Places in the manifest.
        workers: Processes that prepare views ahead.

    Raises:
        DataError: If a sample is broken and the spec does not say `on_bad_sample: skip`.
    """
    size = bench.experiment.compute.batch
    with closing(loader(bench.pipeline(indices), workers)) as samples:
        while group := list(islice(samples, size)):
            subjects = {
                item.id: subject_of(bench, item) for item in group if isinstance(item, Prepared)
            }
            if size > 1:
                with bench.fabric.autocast():
                    bench.method.prepare(list(subjects.values()))
            for item in group:
                if isinstance(item, BadSample):
                    yield _skip(bench, item)
                else:
                    yield _record(bench, item, subjects[item.id])


@dataclass(frozen=True)
class Shard:
    """Makes entries in a process that has no bench yet.

    Attributes:
        experiment: The resolved spec.
        located: Its weights, by path.
        threads: Threads of one operation; 0 leaves torch's own choice.
    """

    experiment: Experiment
    located: Mapping[str, Located]
    threads: int

    def __call__(self, indices: Sequence[int]) -> Iterator[Entry]:
        """Build the bench, then yield the entries of some samples in order."""
        if self.threads:
            torch.set_num_threads(self.threads)
        yield from entries(assemble(self.experiment, self.located), indices, workers=0)


def subject_of(bench: Bench, item: Prepared) -> Subject:
    """Return a prepared sample as a method sees it: normalised, on the device, without a label."""
    views = bench.model.preprocess.normalise(item.pixels.to(bench.fabric.device))
    return Subject(views, item.id, bench.experiment.seed, item.canvas, others=item.others)


def _record(bench: Bench, item: Prepared, subject: Subject) -> Entry:
    with bench.fabric.autocast():
        outcome = bench.method.predict(subject)
    bench.method.reset()
    columns: Entry = {
        "sample": item.id,
        "dataset": bench.dataset.name,
        "shift": bench.experiment.data.shift_label,
    }
    task, targets = bench.task, Targets(label=torch.tensor([item.label]))
    columns |= {field: values[0] for field, values in task.truth(targets).items()}
    for name, answer in outcome.answers.items():
        found = task.columns(name, answer[None], targets)
        columns |= {f"{name}.{field}": values[0] for field, values in found.items()}
    columns |= outcome.details
    if len(item.names) > 1:
        columns["operations"] = item.names
    columns[f"{TIMING}views"] = item.ms
    return columns | {f"{TIMING}{stage}": value for stage, value in outcome.milliseconds.items()}


def _skip(bench: Bench, item: BadSample) -> Entry:
    if bench.experiment.data.on_bad_sample == "error":
        hint = f"{item.hint} Or set data.on_bad_sample to skip.".lstrip()
        raise DataError(item.reason, hint=hint)
    return {SKIPPED: item.id, "reason": item.reason}
