"""What every executor promises, written once; each executor's test class inherits it."""

import os
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

import pytest

from hardy.core.errors import DataError
from hardy.engine.executor import Executor
from hardy.engine.signals import Stopped


@dataclass(frozen=True)
class Squares:
    """Sends the squares of some numbers, and returns their sum; slow where told so."""

    numbers: tuple[int, ...]
    seconds: float = 0.0

    def __call__(self, send):
        for number in self.numbers:
            time.sleep(self.seconds)
            send((number, number**2, os.getpid()))
        return sum(number**2 for number in self.numbers)


@dataclass(frozen=True)
class Broken:
    """Sends once, then fails."""

    def __call__(self, send):
        send((0, 0, os.getpid()))
        message = "sample 3 is broken"
        raise DataError(message, hint="mend it")


class ExecutorContract(ABC):
    """Inherit, and say how to build it."""

    @abstractmethod
    def build(self) -> Executor: ...

    @pytest.fixture
    def executor(self) -> Executor:
        return self.build()

    def test_results_come_in_the_order_of_the_jobs(self, executor):
        jobs = [Squares((1, 2), 0.05), Squares((3,)), Squares(())]
        assert executor.run(jobs, lambda place, sent: None) == [5, 9, 0]
        assert executor.run([], lambda place, sent: None) == []

    def test_what_a_job_sends_is_heard_in_its_order_and_in_the_caller(self, executor):
        heard, here = {}, set()

        def hear(place, sent):
            here.add(os.getpid())
            heard.setdefault(place, []).append(sent[:2])

        executor.run([Squares((1, 2, 3), 0.02), Squares((5, 4))], hear)
        assert heard == {0: [(1, 1), (2, 4), (3, 9)], 1: [(5, 25), (4, 16)]}
        assert here == {os.getpid()}

    def test_an_error_in_a_job_arrives_whole_and_ends_the_others(self, executor):
        heard = []
        start = time.monotonic()
        jobs = [Broken(), Squares(tuple(range(600)), 0.1)]
        with pytest.raises(DataError, match="sample 3 is broken") as caught:
            executor.run(jobs, lambda place, sent: heard.append(sent))
        assert caught.value.hint == "mend it"
        assert time.monotonic() - start < 30
        assert len(heard) < 600
        self.check_gone({sent[2] for sent in heard})

    def test_a_stop_in_the_caller_ends_the_jobs(self, executor):
        heard = []

        def hear(place, sent):
            heard.append(sent)
            raise Stopped(15)

        with pytest.raises(Stopped):
            executor.run([Squares(tuple(range(600)), 0.1)] * 2, hear)
        assert len(heard) == 1
        self.check_gone({heard[0][2]})

    def check_gone(self, processes):
        for process in processes - {os.getpid()}:
            with pytest.raises(ProcessLookupError):
                os.kill(process, 0)
