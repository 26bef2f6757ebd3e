"""The loop of every test-time method: views in, one record a sample out."""

from collections import Counter
from contextlib import closing
from time import perf_counter
from typing import Any

import pandas as pd

from hardy.core.errors import DataError
from hardy.data.pipeline import BadSample, Prepared, loader
from hardy.engine.bench import Bench
from hardy.engine.device import worker_count
from hardy.engine.journal import Journal
from hardy.engine.progress import Reporter
from hardy.measure.records import TIMING, WALL, answer_columns, as_frame
from hardy.methods.base import Outcome

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
    done = len(journal.entries)
    total = len(bench.dataset.samples)
    entries = list(journal.entries)
    tally = _Tally(entries)
    reporter.unit(title, total, done)
    samples = loader(bench.pipeline(range(done, total)), worker_count(bench.experiment))
    with closing(samples):
        clock = perf_counter()
        for item in samples:
            entry = _skip(bench, item) if isinstance(item, BadSample) else _record(bench, item)
            now = perf_counter()
            entry[WALL], clock = 1e3 * (now - clock), now
            journal.append(entry)
            entries.append(entry)
            reporter.sample(len(entries), tally.add(entry))
    return _table(entries)


def outcome_of(bench: Bench, item: Prepared) -> Outcome:
    """Let the method answer for one prepared sample; the classifier stays adapted until `reset`."""
    views = bench.classifier.preprocess.normalise(item.pixels.to(bench.fabric.device))
    with bench.fabric.autocast():
        return bench.method.predict(views)


def _record(bench: Bench, item: Prepared) -> dict[str, Any]:
    outcome = outcome_of(bench, item)
    bench.method.reset()
    columns: dict[str, Any] = {
        "sample": item.id,
        "dataset": bench.dataset.name,
        "shift": bench.experiment.data.shift_label,
        "label": item.label,
    }
    for name, log_p in outcome.answers.items():
        columns |= answer_columns(name, log_p.numpy(), item.label)
    columns |= outcome.details
    columns[f"{TIMING}views"] = item.ms
    return columns | {f"{TIMING}{stage}": value for stage, value in outcome.milliseconds.items()}


def _skip(bench: Bench, item: BadSample) -> dict[str, Any]:
    if bench.experiment.data.on_bad_sample == "error":
        hint = f"{item.hint} Or set data.on_bad_sample to skip.".lstrip()
        raise DataError(item.reason, hint=hint)
    return {"skipped": item.id, "reason": item.reason}


def _table(entries: list[dict[str, Any]]) -> pd.DataFrame:
    kept = [entry for entry in entries if "skipped" not in entry]
    frame = as_frame(kept)
    frame.attrs["skipped"] = len(entries) - len(kept)
    return frame


class _Tally:
    """Counts right answers by name, so that the progress bar can show the accuracy so far."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self._samples = 0
        self._right: Counter[str] = Counter()
        for entry in entries:
            self.add(entry)

    def add(self, entry: dict[str, Any]) -> str:
        """Count one entry, and say the accuracies so far."""
        if "skipped" not in entry:
            self._samples += 1
            for key, value in entry.items():
                if key.endswith(_RANK):
                    self._right[key.removesuffix(_RANK)] += value == 0
        return "  ".join(
            f"{name} {right / self._samples:.1%}" for name, right in self._right.items()
        )
