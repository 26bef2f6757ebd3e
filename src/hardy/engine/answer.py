"""Answering: from samples to records, in this process or in several.

A record is the same whichever process makes it: random numbers belong to the sample, a method is
put back after each, and what it fitted is read from files. A method that adapts nothing answers for
blocks of samples, which lie at fixed places of the manifest.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, groupby, islice
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any, cast

import numpy as np
import pandas as pd
from torch import Tensor

from hardy.data.dataset import Dataset
from hardy.data.item import BadSample, Prepared, Targets
from hardy.data.loader import all_broken, broken
from hardy.data.pipeline import loader
from hardy.engine.device import spread
from hardy.engine.executor import Executor, Inline, Job, Processes, Send
from hardy.engine.fit import load_fitted
from hardy.engine.journal import Journal
from hardy.engine.progress import Reporter
from hardy.engine.setup import Setup, set_up
from hardy.engine.watch import ends
from hardy.measure.records import COST, TIMING, WALL, as_frame
from hardy.methods.base import Adapts, Answers, Outcome, outcome_of, outcomes_of
from hardy.models.weights import Located
from hardy.spec.experiment import Experiment
from hardy.tasks.base import Task

Row = dict[str, Any]
SKIPPED = "skipped"

_NEWS_SECONDS = 0.5

_WORTH = 5_000
"""Samples below which a method that answers whole blocks is done before processes have started."""


def answer(
    setup: Setup, fitted: Path | None, journal: Journal, reporter: Reporter, title: str
) -> pd.DataFrame:
    """Answer for all samples that the journal does not hold yet.

    Args:
        setup: The experiment's parts; the method holds what it fitted.
        fitted: Folder of what the method fitted, for processes that answer.
        journal: Takes every record at once; what it already holds is carried over.
        reporter: Told of every sample.
        title: The unit's name on the progress bar.

    Returns:
        One row a sample, in the dataset's order, broken ones left out: `setup.left_out` has them.

    Raises:
        DataError: If a sample is broken and the spec does not say `on_bad_sample: skip`, or all
            are broken.
    """
    if not setup.experiment.method.episodic:
        journal.restart()  # what the method carried from sample to sample is gone
    made, total = list(journal.entries), len(setup.data["answer"].samples)
    tally = _Tally(setup.task, made)
    reporter.unit(title, total, len(made))
    told = _Told(setup, total)
    told.add(made)
    early: dict[int, Row] = {}
    known = len(made)

    def hear(_: int, sent: tuple[int, Row]) -> None:
        place, row = sent
        early[place] = row  # of the block in which the journal ended some come again, and stay here
        while len(made) in early:
            row = early.pop(len(made))
            journal.append(row)
            made.append(row)
            reporter.sample(len(made), tally.add(row, last=len(made) == total))
            told.add([row])

    begin = known if known == total else known - known % setup.block
    jobs, executor = _jobs(setup, fitted, range(begin, total))
    executor.run(jobs, hear)
    bad = [
        BadSample(place, row[SKIPPED], row["reason"])
        for place, row in enumerate(made)
        if SKIPPED in row
    ]
    for item in bad:
        setup.left_out.add("answer", item)
    if len(bad) == len(made):
        journal.restart()  # another try reads them anew
        raise all_broken(bad)
    return table(setup.task, made)


def _jobs(
    setup: Setup, fitted: Path | None, places: Sequence[int]
) -> tuple[list[Job[None]], Executor]:
    """Return who answers for which samples: this process, or one a core where that is faster."""
    size, device = setup.model.preprocess.side, setup.fabric.device.type
    cores = spread(setup.experiment, size, device)
    count, parts = cores.processes, blocks(places, setup.block)
    asked = setup.experiment.compute.processes is not None
    quick = setup.experiment.method.answer_batch > 1 and len(places) < _WORTH
    if count == 1 or len(parts) <= count or (quick and not asked):
        return [_Here(setup, places, cores.workers)], Inline()
    data = setup.data["answer"]
    jobs: list[Job[None]] = [
        AnswerJob(
            setup.experiment,
            setup.located,
            data,
            fitted,
            tuple(chain(*mine)),
            count,
            setup.turns,
        )
        for mine in (parts[k::count] for k in range(count))
    ]
    return jobs, Processes(count)


def blocks(places: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """Return ascending places of a manifest by the blocks of a size that they lie in."""
    return [tuple(block) for _, block in groupby(places, lambda place: place // size)]


@dataclass(frozen=True)
class _Here:
    """Answers by parts that stand in this process."""

    setup: Setup
    places: Sequence[int]
    workers: int

    def __call__(self, send: Send) -> None:
        for row in timed(records(self.setup, self.places, self.workers)):
            send(row)


@dataclass(frozen=True)
class AnswerJob:
    """Answers in a process that has nothing yet.

    Attributes:
        experiment: The resolved spec.
        located: Its weights.
        data: The samples to answer.
        fitted: Folder of what the method fitted; None where it fits nothing.
        places: Which of the samples.
        processes: How many processes answer side by side.
        turns: See `Setup`.
    """

    experiment: Experiment
    located: Mapping[str, Located]
    data: Dataset
    fitted: Path | None
    places: tuple[int, ...]
    processes: int = 1
    turns: int = 0

    def __call__(self, send: Send) -> None:
        """Set up, load what was fitted, and send each sample's place and record."""
        setup = set_up(self.experiment, self.located, {"answer": self.data})
        setup = replace(setup, turns=self.turns)
        load_fitted(setup.method, self.fitted)
        for row in timed(records(setup, self.places, workers=0), self.processes):
            send(row)


def timed(made: Iterator[list[tuple[int, Row]]], processes: int = 1) -> Iterator[tuple[int, Row]]:
    """Yield records with the time that a sample took: to start a process and set up is no part.

    Samples that were answered together share it evenly. This and the costs of answers are divided
    by the number of processes, as they share the work.

    Args:
        made: Places and records, those of samples that were answered together at once.
        processes: How many processes make such records side by side.
    """
    clock = perf_counter()
    for together in made:
        now = perf_counter()
        each, clock = 1e3 * (now - clock) / len(together), now
        for place, row in together:
            row[WALL] = each
            for name in row:
                if name == WALL or name.startswith(COST):
                    row[name] /= processes
            yield place, row


def rows(setup: Setup, places: Sequence[int], workers: int) -> Iterator[tuple[int, Row]]:
    """Yield the places and the records of some samples one by one: see `records`."""
    with closing(records(setup, places, workers)) as made:
        for together in made:
            yield from together


def records(
    setup: Setup, places: Sequence[int], workers: int
) -> Generator[list[tuple[int, Row]], None, None]:
    """Yield the places and the records of some samples in order, made in this process.

    Those that were answered together come together, one by one where the method adapts.

    Args:
        setup: The experiment's parts.
        places: Places in the manifest, ascending; whole blocks, or the answers' last digits are
            others.
        workers: Threads that prepare views ahead.

    Raises:
        DataError: If a sample is broken and the spec does not say `on_bad_sample: skip`.
    """
    method = setup.method
    pipeline = setup.pipeline("answer", places)
    with closing(loader(pipeline, workers, ahead=2 * setup.block)) as samples:
        if isinstance(method, Adapts):
            yield from _one_by_one(setup, method, samples)
            return
        for block in blocks(places, setup.block):
            items = list(islice(samples, len(block)))
            yield _together(setup, cast("Answers", method), items)


def _one_by_one(
    setup: Setup, method: Adapts, samples: Iterator[Prepared | BadSample]
) -> Iterator[list[tuple[int, Row]]]:
    size = setup.experiment.compute.batch
    while group := list(islice(samples, size)):
        subjects = {item.id: setup.subject(item) for item in group if isinstance(item, Prepared)}
        if size > 1:
            with setup.fabric.autocast():
                method.prepare(list(subjects.values()))
        for item in group:
            if isinstance(item, BadSample):
                yield [(item.index, _skipped(setup, item))]
                continue
            with setup.fabric.autocast():
                outcome = outcome_of(method, subjects[item.id])
            yield [(item.index, _record(setup, item, outcome))]


def _together(
    setup: Setup, method: Answers, items: Sequence[Prepared | BadSample]
) -> list[tuple[int, Row]]:
    """Return the records of a block; what is broken leaves a smaller one, the same each time."""
    found = {i.index: _skipped(setup, i) for i in items if isinstance(i, BadSample)}
    if good := [item for item in items if isinstance(item, Prepared)]:
        images = setup.images(good)
        with setup.fabric.autocast():
            outcomes = outcomes_of(method, images)
        for item, outcome in zip(good, outcomes, strict=True):
            found[item.index] = _record(setup, item, outcome)
    return [(item.index, found[item.index]) for item in items]


def _record(setup: Setup, item: Prepared, outcome: Outcome) -> Row:
    row: Row = {
        "sample": item.id,
        "dataset": setup.data["answer"].name,
        "shift": setup.experiment.data.shift_label,
    }
    row |= columns(setup.task, outcome.answers, item.targets) | outcome.details
    if len(item.names) > 1:
        row["operations"] = item.names
    prepared = {**item.stages, "views": item.ms}
    took = prepared | outcome.milliseconds
    row |= {f"{TIMING}{stage}": value for stage, value in took.items()}
    if setup.keeps_views:  # they may have been read: what making them takes is not known
        prepared = {name: ms for name, ms in prepared.items() if not name.startswith("views")}
    return row | {f"{COST}{name}": value for name, value in outcome.costs(prepared).items()}


def columns(task: Task, answers: Mapping[str, Tensor], targets: Targets) -> Row:
    """Return what a record holds of one sample's truth and of its answers (...) by name."""
    row = {name: values[0] for name, values in task.truth(targets).items()}
    for name, found in answers.items():
        fields = task.columns(name, found[None], targets)
        row |= {f"{name}.{field}": values[0] for field, values in fields.items()}
    return row


def _skipped(setup: Setup, item: BadSample) -> Row:
    if not setup.skips:
        raise broken(item)
    return {SKIPPED: item.id, "reason": item.reason}


def table(task: Task, made: Sequence[Row]) -> pd.DataFrame:
    """Return a table of records, broken samples left out."""
    kept = [row for row in made if SKIPPED not in row]
    return as_frame(kept, task.truth_fields, task.fields)


class _Told:
    """Tells the setup's watch of answers, at the ends of blocks."""

    def __init__(self, setup: Setup, total: int) -> None:
        trains = setup.experiment.method.yields_weights  # then it is told of epochs
        self._watch = None if trains else setup.watch
        self._task, self._main = setup.task, str(setup.experiment.method.kind)
        self._total, self._ends = total, ends(total)
        self._done = 0
        self._waiting: dict[int, Row] = {}

    def add(self, rows: Iterable[Row]) -> None:
        """Take records in order.

        Raises:
            Pruned: If the unit is to stop.
        """
        for row in rows if self._watch is not None else ():
            if SKIPPED not in row:
                self._waiting[self._done] = row
            self._done += 1
            if self._done in self._ends:
                self._tell()

    def _tell(self) -> None:
        places, rows = list(self._waiting), list(self._waiting.values())
        found = self._task.score(table(self._task, rows), self._main) if rows else ()
        self._waiting = {}
        if self._watch is not None:
            scores = dict(zip(places, map(float, found), strict=True))
            self._watch.samples(self._done, self._total, scores)


class _Tally:
    """Keeps the mean score of each answer, so that the progress bar can show how it goes.

    Scores are of tables, so that rows wait for each other half a second.
    """

    def __init__(self, task: Task, made: Sequence[Row]) -> None:
        self._task = task
        self._waiting = [row for row in made if SKIPPED not in row]
        self._sums: dict[str, np.ndarray] = {}
        self._news, self._told = "", 0.0

    def add(self, row: Row, *, last: bool = False) -> str:
        """Take one record, and say the means so far; after the last one, those of all."""
        if SKIPPED not in row:
            self._waiting.append(row)
        if self._waiting and (last or monotonic() - self._told >= _NEWS_SECONDS):
            self._told = monotonic()
            self._news = self._summed()
        return self._news

    def _summed(self) -> str:
        frame = table(self._task, self._waiting)
        self._waiting = []
        for name in self._task.answers(frame):
            score = self._task.score(frame, name)
            before = self._sums.get(name, np.zeros(2))
            self._sums[name] = before + np.array([score.sum(), len(score)])
        means = ((name, total / count) for name, (total, count) in self._sums.items())
        if self._task.binary:
            return "  ".join(f"{name} {mean:.1%}" for name, mean in means)
        return "  ".join(f"{name} {mean:.4g}" for name, mean in means)
