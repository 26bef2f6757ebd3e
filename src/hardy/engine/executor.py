"""Jobs carried out: one after the other here, or side by side in processes.

A job is a picklable callable. It may send things on its way, which the caller hears, and returns a
result. A unit's answers are spread so over the cores of a machine.
"""

import multiprocessing
import os
import pickle
import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, Protocol, TypeVar

from hardy.core.errors import MethodError
from hardy.core.processes import ignore_interrupts, interrupts_held_back

R = TypeVar("R")
Out = TypeVar("Out", covariant=True)
Send = Callable[[Any], None]
Hear = Callable[[int, Any], None]

_POLL_SECONDS = 1.0
_GRACE_SECONDS = 10.0
_SAID, _DONE, _FAILED = "said", "done", "failed"


class Job(Protocol[Out]):
    """Something to do."""

    def __call__(self, send: Send) -> Out:
        """Do it; whatever is given to `send` on the way reaches the caller in its order."""


class Executor(Protocol):
    """Carries out jobs."""

    def run(self, jobs: Sequence[Job[R]], hear: Hear) -> list[R]:
        """Return the jobs' results in their order.

        Args:
            jobs: What to do.
            hear: Called here, one at a time, with a job's place and what it sent. An error that it
                raises, and one of a job, ends the other jobs.

        Raises:
            Exception: Whatever a job or `hear` raised.
        """


class Inline:
    """Does one job after the other in this process."""

    def run(self, jobs: Sequence[Job[R]], hear: Hear) -> list[R]:
        """Return the jobs' results in their order; see `Executor.run`."""
        return [job(partial(hear, place)) for place, job in enumerate(jobs)]


class Processes:
    """Does jobs in processes of their own.

    Args:
        count: How many processes run at a time.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def run(self, jobs: Sequence[Job[R]], hear: Hear) -> list[R]:
        """Return the jobs' results in their order; see `Executor.run`.

        Raises:
            MethodError: If a process died, such as for want of memory.
        """
        context = multiprocessing.get_context("spawn")
        inbox = context.Queue()
        waiting = list(enumerate(jobs))[::-1]
        running: dict[int, BaseProcess] = {}
        results: dict[int, R] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.count:
                    place, job = waiting.pop()
                    running[place] = _started(context, job, place, inbox)
                place, what, content = _next(inbox, running)
                if what == _SAID:
                    hear(place, content)
                elif what == _FAILED:
                    raise content
                else:
                    results[place] = content
                    running.pop(place).join()
        finally:
            _end(running.values())
            inbox.close()
        return [results[place] for place in range(len(jobs))]


@contextmanager
def beside(jobs: Sequence[Job[Any]]) -> Iterator[None]:
    """Do jobs in processes of their own while this one does its part of the same work.

    They end when the context does.

    Raises:
        Exception: Whatever a job raised, in place of an error here that may have come of it.
        MethodError: If a process died, such as for want of memory.
    """
    context = multiprocessing.get_context("spawn")
    inbox = context.Queue()
    running = {place: _started(context, job, place, inbox) for place, job in enumerate(jobs)}
    try:
        yield
        while running:
            place, what, content = _next(inbox, running)
            if what == _FAILED:
                raise content
            if what == _DONE:
                running.pop(place).join()
    except Exception as error:
        # It may have come of an error there, which is then on its way.
        for what, content in _told(inbox):
            if what == _FAILED:
                raise content from None
        if dead := [process for process in running.values() if process.exitcode]:
            raise _died(dead[0]) from error
        raise
    finally:
        _end(running.values())
        inbox.close()


def _told(inbox: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield what processes have said and nobody has heard."""
    try:
        while True:
            _, what, content = inbox.get(timeout=_POLL_SECONDS)
            yield what, content
    except queue.Empty:
        return


def _started(context: Any, job: Job[R], place: int, inbox: Any) -> BaseProcess:  # noqa: ANN401
    with interrupts_held_back():
        process: BaseProcess = context.Process(target=_work, args=(job, place, inbox), daemon=True)
        process.start()
    return process


def _next(inbox: Any, running: dict[int, BaseProcess]) -> tuple[int, str, Any]:  # noqa: ANN401
    """Wait for the next message, and notice if nobody is left to send it."""
    while True:
        # Asked before the wait: what a process sent before it ended is then still found.
        dead = [process for process in running.values() if process.exitcode is not None]
        try:
            found: tuple[int, str, Any] = inbox.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            if dead:
                raise _died(dead[0]) from None
        else:
            return found


def _died(process: BaseProcess) -> MethodError:
    message = f"a process died with status {process.exitcode}"
    hint = "Fewer (compute.processes, or compute.devices of a training) take less memory."
    return MethodError(message, hint=hint)


def _end(processes: Any) -> None:  # noqa: ANN401 - any iterable of them
    """Ask processes to end, wait a while, then end those that did not."""
    left = list(processes)
    for process in left:
        process.terminate()
    for process in left:
        process.join(_GRACE_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()


def _work(job: Job[Any], place: int, inbox: Any) -> None:  # noqa: ANN401
    """Run in a process of its own: send what the job sends, then its result or its error."""
    ignore_interrupts()
    Thread(target=end_with_parent, daemon=True).start()

    def send(content: Any) -> None:  # noqa: ANN401
        inbox.put((place, _SAID, content))

    try:
        result = job(send)
    except Exception as error:
        inbox.put((place, _FAILED, sendable(error)))
    else:
        inbox.put((place, _DONE, result))


def end_with_parent() -> None:
    """End this process when its parent is gone, whatever it waits for."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def sendable(error: Exception) -> Exception:
    """Return the error; what cannot be sent to another process, as its words."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
    except Exception:
        return RuntimeError(repr(error))
    return error
