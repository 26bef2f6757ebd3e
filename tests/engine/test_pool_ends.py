"""How a pool's jobs end otherwise than well: killed, stopped, left alone; and their runs."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from hardy.core.errors import TrackingError
from hardy.engine.executor import Processes
from hardy.engine.pool import WorkerDied, make_pool
from hardy.engine.signals import Stopped, stop_on_signals
from hardy.plan.tracker import Status
from tests.contracts.executor import Squares
from tests.contracts.pool import Recorder, Says, quiet


@contextmanager
def ending(run):
    """As `hardy.engine.unit.ending`, which imports torch."""
    try:
        yield
    except Stopped as stop:
        run.end(Status.KILLED, f"stopped by signal {stop.number}")
        raise


@dataclass(frozen=True)
class Dying:
    """Ends its process in the middle of a run, one way or another; returns if it is to live."""

    how: str

    def __call__(self, tracker, reporter):
        run = tracker.start(self.how, tags={})
        run.metrics({"loss": 1.0}, 1)
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "exit":
            os._exit(3)
        if self.how == "terminate":  # somebody ends this process alone
            with ending(run):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(600)
        if self.how == "leave open":
            return "left"
        run.end(Status.FINISHED)
        return os.getpid()


@dataclass(frozen=True)
class Long:
    """Has a run open for as long as it is let; puts something in order at the end."""

    folder: Path
    stubborn: bool = False

    def __call__(self, tracker, reporter):
        if self.stubborn:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        run = tracker.start("long", tags={})
        (self.folder / f"begun-{os.getpid()}").touch()
        with ending(run):
            try:
                for step in range(6000):
                    run.metrics({"loss": 1.0}, step)
                    time.sleep(600 if self.stubborn else 0.1)
            finally:
                (self.folder / f"ordered-{os.getpid()}").touch()


@dataclass
class Stopping(Recorder):
    """A tracker in whose calls a signal arrives, or not long after."""

    delay: float = 0.0
    signalled: float = 0.0

    def note(self, of, name, *given, **named):
        super().note(of, name, *given, **named)
        if name == "metrics" and not self.signalled:
            self.signalled = time.monotonic()
            if self.delay:
                signal.setitimer(signal.ITIMER_REAL, self.delay)
            else:
                os.kill(os.getpid(), signal.SIGTERM)


def until_stopped(size, tracker, jobs):
    with stop_on_signals(), make_pool(size, tracker, quiet()) as pool:
        for key, job in enumerate(jobs):
            pool.submit(key, job)
        pool.wait()


def gone(processes):
    return not any(psutil.pid_exists(each) for each in processes)


def begun(folder):
    return [int(path.name.partition("-")[2]) for path in folder.glob("begun-*")]


def test_a_worker_that_died_is_told_and_replaced_and_its_runs_failed(tmp_path):
    tracker = Recorder(tmp_path)
    with make_pool(1, tracker, quiet()) as pool:
        for key, (how, status) in enumerate({"kill": -9, "exit": 3, "terminate": 143}.items()):
            pool.submit(key, Dying(how))
            found, error = pool.wait()
            assert (found, type(error), error.status) == (key, WorkerDied, status)
            assert f"status {status}" in error.message
            assert "--jobs" in error.hint
        pool.submit(7, Dying("live"))
        key, process = pool.wait()
        assert key == 7
        pool.submit(8, Dying("live"))
        assert pool.wait() == (8, process)  # the one that replaced it stays
        pool.submit(9, Dying("leave open"))
        assert pool.wait() == (9, "left")
    assert [run.ended for run in tracker.runs.values()] == [
        (Status.FAILED, "the process that ran it died with status -9"),
        (Status.FAILED, "the process that ran it died with status 3"),
        (Status.KILLED, "stopped by signal 15"),
        (Status.FINISHED, ""),
        (Status.FINISHED, ""),
        (Status.FAILED, "its job left it open"),
    ]


@pytest.fixture(autouse=True)
def alarms():
    """An alarm is a Ctrl-C."""
    before = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("delay", [0.0, 0.25], ids=["in a call", "while waiting"])
def test_a_signal_ends_the_workers_in_time_and_their_runs_as_killed(tmp_path, delay):
    tracker = Stopping(tmp_path, delay=delay)
    with pytest.raises(Stopped):
        until_stopped(2, tracker, [Long(tmp_path)] * 3)
    number = 2 if delay else 15
    assert tracker.runs
    assert {run.ended for run in tracker.runs.values()} == {
        (Status.KILLED, f"stopped by signal {number}")
    }
    assert gone(begun(tmp_path))
    assert len(begun(tmp_path)) == len(list(tmp_path.glob("ordered-*")))
    assert time.monotonic() - tracker.signalled < 8  # before any is killed


def test_a_worker_that_does_not_stop_is_killed_and_its_run_too(tmp_path, monkeypatch):
    monkeypatch.setattr("hardy.engine.pool._GRACE_SECONDS", 0.5)
    tracker = Stopping(tmp_path, delay=0.25)
    with pytest.raises(Stopped):
        until_stopped(1, tracker, [Long(tmp_path, stubborn=True)])
    assert [run.ended for run in tracker.runs.values()] == [(Status.KILLED, "stopped by signal 2")]
    assert gone(begun(tmp_path))
    assert not list(tmp_path.glob("ordered-*"))


def test_an_error_here_stops_the_other_jobs(tmp_path):
    tracker = Recorder(tmp_path)

    def go():
        with make_pool(2, tracker, quiet()) as pool:
            pool.submit(1, Long(tmp_path))
            pool.submit(2, Waiting(tmp_path))
            pool.submit(3, Says("never"))
            assert pool.wait()[0] == 2
            raise KeyError

    with pytest.raises(KeyError):
        go()
    assert [run.ended for run in tracker.runs.values()] == [
        (Status.KILLED, "stopped: another job failed")
    ]
    assert gone(begun(tmp_path))


@dataclass(frozen=True)
class Waiting:
    """Ends when another job has begun."""

    folder: Path

    def __call__(self, tracker, reporter):
        while not begun(self.folder):
            time.sleep(0.02)


def test_a_job_may_start_processes_and_what_cannot_be_sent_is_an_error(tmp_path):
    with make_pool(1, Recorder(tmp_path), quiet()) as pool:
        pool.submit(1, lambda tracker, reporter: 1)
        key, error = pool.wait()
        assert key == 1
        assert "pickle" in str(error)
        pool.submit(2, Returning())
        assert isinstance(pool.wait()[1], Exception)
        pool.submit(3, Spreading())
        assert pool.wait() == (3, [5, 9])


@dataclass(frozen=True)
class Returning:
    """Returns what no other process can be sent."""

    def __call__(self, tracker, reporter):
        return lambda: 1


@dataclass(frozen=True)
class Spreading:
    """Does jobs of its own in processes of its own."""

    def __call__(self, tracker, reporter):
        return Processes(2).run([Squares((1, 2)), Squares((3,))], lambda place, sent: None)


@dataclass(frozen=True)
class Meeting:
    """Asks for a run that another job has open, then tries to go on with it."""

    folder: Path

    def __call__(self, tracker, reporter):
        while not begun(self.folder):
            time.sleep(0.02)
        past = tracker.find("open")
        try:
            tracker.start("mine", tags={}, resume=past.run_id)
        except TrackingError as error:
            return past.busy, error.message


def test_a_run_that_another_job_writes_is_busy(tmp_path):
    tracker = Recorder(tmp_path)
    with make_pool(2, tracker, quiet()) as pool:
        pool.submit(1, Long(tmp_path))
        pool.submit(2, Meeting(tmp_path))
        assert pool.wait() == (2, (True, "the run run-0 is being written by another job"))


ALONE = """\
import sys
from pathlib import Path
from hardy.engine.pool import make_pool
from tests.contracts.pool import Recorder, quiet
from tests.engine.test_pool_ends import Long

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with make_pool(2, Recorder(folder), quiet()) as pool:
        for key in range(2):
            pool.submit(key, Long(folder))
        pool.wait()
"""


def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    script = tmp_path / "alone.py"
    script.write_text(ALONE)
    paths = os.pathsep.join(["src", "."])
    parent = subprocess.Popen(
        [sys.executable, script, tmp_path], env={**os.environ, "PYTHONPATH": paths}
    )
    until = time.monotonic() + 60
    while len(begun(tmp_path)) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    while not gone(begun(tmp_path)):
        assert time.monotonic() < until
        time.sleep(0.05)
