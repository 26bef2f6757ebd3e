"""Jobs in this process and in others."""

import os
import signal
import threading
import time
from dataclasses import dataclass

import pytest

from hardy.core.errors import MethodError
from hardy.engine.executor import Inline, Processes
from tests.contracts.executor import ExecutorContract, Squares


class TestInline(ExecutorContract):
    def build(self):
        return Inline()

    def test_it_is_this_process(self, executor):
        heard = []
        executor.run([Squares((1,))], lambda place, sent: heard.append(sent[2]))
        assert heard == [os.getpid()]


class TestProcesses(ExecutorContract):
    def build(self):
        return Processes(2)

    def test_no_more_processes_than_asked_for_and_none_is_this_one(self, executor):
        heard = []
        jobs = [Squares((1, 2, 3), 0.1) for _ in range(4)]
        assert executor.run(jobs, lambda place, sent: heard.append((place, sent[2]))) == [14] * 4
        of_jobs = {place: {p for k, p in heard if k == place} for place in range(4)}
        assert all(len(processes) == 1 for processes in of_jobs.values())
        assert os.getpid() not in set.union(*of_jobs.values())
        # The first two ran side by side: each was heard before the other had ended.
        order = [place for place, _ in heard]
        assert {0, 1} == set(order[:6])


@dataclass(frozen=True)
class Dying:
    """Sends once, then is killed, as for want of memory."""

    def __call__(self, send):
        send(1)
        time.sleep(0.2)  # what was sent is on its way
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Leaving:
    """Ends without a word."""

    def __call__(self, send):
        os._exit(0)


@dataclass(frozen=True)
class Unspeakable:
    """Fails with an error that no other process could be sent."""

    def __call__(self, send):
        error = RuntimeError("it holds a lock")
        error.lock = threading.Lock()
        raise error


@dataclass(frozen=True)
class Stubborn:
    """Does not end when it is asked to."""

    def __call__(self, send):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        send(os.getpid())
        time.sleep(600)


@pytest.mark.parametrize(("job", "status"), [(Dying(), "-9"), (Leaving(), "0")])
def test_a_process_that_died_is_an_error_and_no_wait(job, status):
    with pytest.raises(MethodError, match=f"died with status {status}") as caught:
        Processes(1).run([job], lambda place, sent: None)
    assert "compute.processes" in caught.value.hint


def test_an_error_that_cannot_be_sent_arrives_as_words():
    with pytest.raises(RuntimeError, match="it holds a lock"):
        Processes(1).run([Unspeakable()], lambda place, sent: None)


def test_a_job_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr("hardy.engine.executor._GRACE_SECONDS", 0.3)
    heard = []

    def hear(place, sent):
        heard.append(sent)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Processes(1).run([Stubborn()], hear)
    with pytest.raises(ProcessLookupError):
        os.kill(heard[0], 0)
