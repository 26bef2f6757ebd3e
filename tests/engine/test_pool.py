"""Jobs in this process and in workers, with a tracker that is here."""

import io
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from hardy.data.dataset import Dataset, Sample, read_file
from hardy.engine.packing import Packer, Unpacker
from hardy.engine.pool import make_pool
from hardy.engine.progress import Reporter
from hardy.engine.worker import is_worker
from hardy.plan.units import make_plan
from hardy.registry.stores import default_stores
from hardy.spec import resolve
from tests.contracts.pool import PoolContract, Recorder, Says, quiet


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Workers that are started once for all tests that leave them as they were."""
    tracker = Recorder(tmp_path_factory.mktemp("recorder"))
    with make_pool(2, tracker, quiet()) as pool:
        yield tracker, pool


class TestHere(PoolContract):
    def build(self, tracker):
        return make_pool(None, tracker, quiet())

    @pytest.fixture
    def pool(self, tracker):
        with self.build(tracker) as pool:
            yield pool

    def test_it_is_this_process_with_what_it_was_given(self, tracker):
        reporter = quiet()
        with make_pool(None, tracker, reporter) as pool:
            assert pool.size == 1
            pool.submit(1, Given())
            assert pool.wait() == (1, (tracker, reporter, False))


class TestWorkers(PoolContract):
    def build(self, tracker):
        return make_pool(2, tracker, quiet())

    @pytest.fixture
    def tracker(self, shared):
        tracker, _ = shared
        tracker.calls.clear()
        tracker.runs.clear()
        return tracker

    @pytest.fixture
    def pool(self, shared, tracker, tmp_path):
        tracker.home = tmp_path
        return shared[1]

    def test_two_at_a_time_in_processes_that_stay(self, pool):
        assert pool.size == 2
        for key in range(6):
            pool.submit(key, Says(str(key), 0.2))
        found = [pool.wait() for _ in range(6)]
        processes = [process for _, (_, process) in found]
        assert len(set(processes)) == 2
        assert os.getpid() not in processes
        assert {key for key, _ in found[:2]} == {0, 1}


@dataclass(frozen=True)
class Given:
    """Returns what a job is given, and whether it is one of several."""

    def __call__(self, tracker, reporter):
        return tracker, reporter, is_worker()


@dataclass(frozen=True)
class Counting:
    """Returns how many samples a dataset has, and which object it is where it runs."""

    dataset: Dataset
    other: Dataset | None = None

    def __call__(self, tracker, reporter):
        return len(self.dataset.samples), id(self.dataset), self.other is self.dataset


def many(count):
    samples = (Sample(f"n{n:08d}", 0, Path(f"/d/n{n:08d}"), f"{n:032x}") for n in range(count))
    return Dataset("folder", ("a",), None, tuple(samples), read_file)


def test_a_dataset_goes_to_a_worker_once_and_is_forgotten_with_the_last_job(pool_of_one):
    dataset = many(50_000)
    pool_of_one.submit(0, Counting(dataset, dataset))
    _, (count, first, same) = pool_of_one.wait()
    assert (count, same) == (50_000, True)
    pool_of_one.submit(1, Counting(dataset))
    assert pool_of_one.wait() == (1, (50_000, first, False))  # the same object
    packer, unpacker = Packer(), Unpacker()
    few, others = many(3), many(4)
    packed = packer.pack((few, others, few))
    assert sorted(packed.datasets) == [0, 1]
    got = unpacker.unpack(packed)
    assert got == (few, others, few)
    assert got[0] is got[2]
    del others
    packed = packer.pack((few, many(5)))
    assert len(packed.content) < 100
    assert (list(packed.datasets), packed.forgotten) == ([2], [1])
    again = unpacker.unpack(packed)
    assert again[0] is got[0]
    assert len(unpacker._datasets) == 2


def test_a_planned_unit_arrives_as_it_was():
    (unit, *_) = make_plan(resolve("quickstart"), default_stores(), None).units
    got = Unpacker().unpack(Packer().pack(unit))
    assert got == unit
    assert got.samples["answer"].dataset == unit.samples["answer"].dataset
    assert got.unit.experiment.method.identity() == unit.unit.experiment.method.identity()


@pytest.fixture
def pool_of_one(tmp_path):
    with make_pool(1, Recorder(tmp_path), quiet()) as pool:
        yield pool


def shown(terminal, jobs):
    """Return what two workers, or none, print of some jobs."""
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=120)
    reporter = Reporter(console)
    with reporter.showing(len(jobs)), make_pool(2, Recorder(Path()), reporter) as pool:
        for key, job in enumerate(jobs):
            pool.submit(key, job)
        for _ in jobs:
            pool.wait()
        bars = dict(reporter._display.samples)
        done = [task.completed for task in reporter._display.bars.tasks] if terminal else []
    return written.getvalue(), bars, done


def test_lines_are_those_of_each_unit():
    text, *_ = shown(False, [Says("first", 0.4), Says("second", 0.4)])
    for word in ("first", "second"):
        mine = [line for line in text.splitlines() if word in line]
        assert mine == [f"{word}: 2 samples", f"{word}: 2/2  news", f"said {word}"]


def test_a_terminal_has_a_bar_of_units_and_one_for_each_worker():
    text, bars, done = shown(True, [Says("first", 0.4), Says("second", 0.4), Says("third")])
    assert len(bars) == 2
    assert done == [3, 2, 2]
    for word in ("said first", "said second", "first", "second", "third"):
        assert word in text
