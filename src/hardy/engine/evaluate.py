"""The loop of every test-time method: what the journal lacks is made, then all is one table."""

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from time import perf_counter

import pandas as pd

from hardy.engine.device import spread
from hardy.engine.entries import SKIPPED, Entry, Shard, entries
from hardy.engine.executor import sharded
from hardy.engine.journal import Journal
from hardy.engine.progress import Reporter
from hardy.engine.setup import Bench
from hardy.measure.records import WALL, as_frame
from hardy.methods.fitting import Trainer
from hardy.tasks.base import Task

_RANK = ".label_rank"


def evaluate(bench: Bench, journal: Journal, reporter: Reporter, title: str) -> pd.DataFrame:
    """Run a method over all samples that the journal does not hold yet.

    Args:
        bench: The experiment's parts.
        journal: Takes every record at once; what it already holds is carried over.
        reporter: Told of every sample.
        title: The unit's name on the progress bar.

    Returns:
        One row a sample, in the dataset's order; `attrs["skipped"]` counts broken samples.

    Raises:
        DataError: If a sample is broken and the spec does not say `on_bad_sample: skip`.
    """
    if not bench.experiment.method.episodic:
        journal.restart()  # what the method carried from sample to sample is gone
    made = list(journal.entries)
    tally = _Tally(made)
    reporter.unit(title, len(bench.dataset.samples), len(made))
    with closing(_missing(bench, range(len(made), len(bench.dataset.samples)))) as samples:
        clock = perf_counter()
        for entry in samples:
            now = perf_counter()
            entry[WALL], clock = 1e3 * (now - clock), now
            journal.append(entry)
            made.append(entry)
            reporter.sample(len(made), tally.add(entry))
    return _table(made, bench.task)


def _missing(bench: Bench, indices: Sequence[int]) -> Generator[Entry, None, None]:
    """Make entries in this process, or in several where that is the faster way."""
    size, device = bench.model.preprocess.size, bench.fabric.device.type
    cores = spread(bench.experiment, size, device)
    # What was trained here is in this process alone.
    divisible = not isinstance(bench.method, Trainer)
    if divisible and cores.processes > 1 and len(indices) > cores.processes:
        shard = Shard(bench.experiment, bench.located, cores.threads)
        yield from sharded(shard, indices, cores.processes)
    else:
        yield from entries(bench, indices, cores.workers)


def _table(made: list[Entry], task: Task) -> pd.DataFrame:
    kept = [entry for entry in made if SKIPPED not in entry]
    frame = as_frame(kept, task.truth_fields, task.fields)
    frame.attrs[SKIPPED] = len(made) - len(kept)
    return frame


class _Tally:
    """Counts right answers by name, so that the progress bar can show the accuracy so far."""

    def __init__(self, entries: list[Entry]) -> None:
        self._samples = 0
        self._right: Counter[str] = Counter()
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> str:
        """Count one entry, and say the accuracies so far."""
        if SKIPPED not in entry:
            self._samples += 1
            for key, value in entry.items():
                if key.endswith(_RANK):
                    self._right[key.removesuffix(_RANK)] += value == 0
        return "  ".join(
            f"{name} {right / self._samples:.1%}" for name, right in self._right.items()
        )
