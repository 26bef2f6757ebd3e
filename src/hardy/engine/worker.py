"""A worker of a pool: the process, and the parent's end of it."""

import multiprocessing
import sys
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any

from hardy.core.errors import HardyError, TrackingError
from hardy.core.processes import interrupts_held_back
from hardy.engine.executor import end_with_parent, sendable
from hardy.engine.packing import Packer, Unpacker
from hardy.engine.progress import Reporter
from hardy.engine.relay import (
    DONE,
    FAILED,
    JOB,
    READY,
    Desk,
    Line,
    RelayReporter,
    RelayTracker,
    receive,
    send,
)
from hardy.engine.signals import Stopped, stop_on_signals, stops_held_back
from hardy.plan.tracker import Tracker

_working = False


def is_worker() -> bool:
    """Tell whether this process is a pool's worker, and so shares the machine with others."""
    return _working


class Worker:
    """The parent's end: one process at a time, which is started with its first job.

    Args:
        tracker: Writes the runs.
        reporter: This worker's part of the display.
        taken: Ids of the runs that any worker has open.

    Attributes:
        desk: Does what the process asks for.
        key: Of the job that it is at; None while it has none.
    """

    def __init__(self, tracker: Tracker, reporter: Reporter, taken: set[str]) -> None:
        self.desk = Desk(tracker, reporter, taken)
        self.key: int | None = None
        self._job: Any = None
        self._started: tuple[BaseProcess, Connection] | None = None
        self._ready = False
        self._owed = False  # an answer
        self._packer = Packer()

    @property
    def alive(self) -> bool:
        """Whether there is a process."""
        return self._started is not None

    @property
    def signs(self) -> tuple[Any, ...]:
        """What becomes readable when the process says something, or ends."""
        return (self._connection, self._process.sentinel) if self._started else ()

    @property
    def _process(self) -> BaseProcess:
        return self._started[0] if self._started else _never()

    @property
    def _connection(self) -> Connection:
        return self._started[1] if self._started else _never()

    def take(self, key: int, job: Any) -> Exception | None:  # noqa: ANN401 - a Task
        """Give it a job, and start it where it has not been; return why that cannot be sent."""
        self.key, self._job = key, job
        if self._started is None:
            self._start()
        return self._hand_over() if self._ready else None

    def ready(self) -> Exception | None:
        """Hand over the job that was given before the process had begun; see `take`."""
        self._ready = True
        return self._hand_over()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._ready, self._owed, self._packer = False, False, Packer()
        # No daemon: a job may start processes of its own.
        with stops_held_back(), interrupts_held_back():
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs,), name="hardy-worker")
            process.start()
            theirs.close()
            self._started = process, ours

    def _hand_over(self) -> Exception | None:
        job, self._job = self._job, None
        try:
            packed = self._packer.pack(job)
        except Exception as error:
            return error
        with suppress(OSError):  # it has died, which is noticed next
            send(self._connection, JOB, packed)
        return None

    def next_message(self) -> tuple[Any, ...] | None:
        """Return what it says; None where it has died."""
        try:
            return receive(self._connection) if self._connection.poll() else None
        except (EOFError, OSError):
            return None

    def answer(self, *question: Any) -> None:  # noqa: ANN401
        """Do what it asks for, and say what came of it."""
        self._owed = True
        self._reply(self.desk.answer(*question))

    def _reply(self, answer: tuple[bool, Any]) -> None:
        with stops_held_back(), suppress(OSError):
            send(self._connection, *answer)
            self._owed = False

    def stop(self, reason: str) -> None:
        """Tell it to stop."""
        self.desk.stopping = reason
        if self._started is None:
            return
        if self._owed:
            self._reply((False, TrackingError(reason)))
        self._process.terminate()

    def bury(self, seconds: float) -> int:
        """Let the process end, and see that it does; return its exit status."""
        if self._started is None:
            return 0
        process, connection = self._started
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            process.join()
        connection.close()
        self._started = None
        return process.exitcode or 0


def _never() -> Any:  # noqa: ANN401
    message = "the worker has no process"
    raise ValueError(message)


def _work(connection: Connection) -> None:
    """Do jobs, in a process of its own, until it is told to stop."""
    global _working
    _working = True
    Thread(target=end_with_parent, daemon=True).start()
    try:
        with stop_on_signals():
            _do_jobs(Line(connection))
    except Stopped as stop:
        sys.exit(128 + stop.number)


def _do_jobs(line: Line) -> None:
    tracker, reporter, unpacker = RelayTracker(line), RelayReporter(line), Unpacker()
    line.tell(READY)
    while line.connection.poll(None):
        _, packed = receive(line.connection)
        try:
            line.tell(DONE, unpacker.unpack(packed)(tracker, reporter))
        except Exception as error:
            if not isinstance(error, HardyError):  # a fault of hardy's: say where
                error.add_note(f"in a worker:\n{traceback.format_exc()}")
            line.tell(FAILED, sendable(error))
