"""Jobs in this process and in workers, with a tracker that is here."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from hardy.data.dataset import Dataset, Sample, read_file
from hardy.engine.packing import Packer, Unpacker
from hardy.engine.pool import WorkerDied, make_pool
from hardy.engine.progress import Reporter
from hardy.engine.signals import Stopped, stop_on_signals
from hardy.engine.worker import is_worker
from hardy.plan.tracker import Status
from tests.contracts.pool import PoolContract, Recorder, Says


def quiet():
    return Reporter(Console(file=io.StringIO()))


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
