"""Jobs side by side, each with the tracker: in this process, or in workers that are started once.

Unlike an executor's, a pool's jobs write runs of their own, and are handed in as they come up.
"""

from collections import deque
from multiprocessing.connection import wait as wait_for
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from hardy.core.errors import HardyError, TrackingError
from hardy.engine.progress import Reporter
from hardy.engine.relay import ASK, DONE, FAILED, READY, TELL
from hardy.engine.signals import Stopped
from hardy.engine.worker import Worker
from hardy.plan.tracker import Status, Tracker

Out = TypeVar("Out", covariant=True)

_GRACE_SECONDS = 10.0


class Task(Protocol[Out]):
    """Something to do; picklable."""

    def __call__(self, tracker: Tracker, reporter: Reporter) -> Out:
        """Do it, in whatever process."""


class WorkerDied(HardyError):
    """The process of a job died, such as for want of memory; the runs it had open are FAILED.

    Args:
        status: Its exit status; below 0 the signal that killed it.
    """

    def __init__(self, status: int) -> None:
        hint = "Fewer jobs take less memory: lower --jobs."
        super().__init__(f"the process of a job died with status {status}", hint=hint)
        self.status = status


class Pool(Protocol):
    """Does jobs. A context: at its end, jobs that have not ended are stopped, their runs KILLED.

    Attributes:
        size: How many jobs run at a time.
    """

    size: int

    def submit(self, key: int, job: Task[Any]) -> None:
        """Hand in a job, to be done after those that were handed in before.

        Args:
            key: What `wait` calls it; no other job's that has not ended.
            job: What to do.
        """

    def wait(self) -> tuple[int, Any | BaseException]:
        """Return the next job that ended: its key, and its result or the error that it raised.

        Workers get their answers while this waits, and only then. A worker that died gives
        `WorkerDied` and is replaced.

        Raises:
            ValueError: If no job is left to wait for.
        """

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Stop what has not ended."""


def make_pool(jobs: int | None, tracker: Tracker, reporter: Reporter) -> Pool:
    """Return what does jobs.

    Args:
        jobs: How many workers; None does each job in this process.
        tracker: Writes runs; only this process calls it.
        reporter: Shows progress; only this process draws.
    """
    return Here(tracker, reporter) if jobs is None else Workers(jobs, tracker, reporter)


class Here:
    """Does each job in this process, when it is waited for."""

    size = 1

    def __init__(self, tracker: Tracker, reporter: Reporter) -> None:
        self._tracker = tracker
        self._reporter = reporter
        self._jobs: deque[tuple[int, Task[Any]]] = deque()

    def submit(self, key: int, job: Task[Any]) -> None:
        """Hand in a job; see `Pool.submit`."""
        self._jobs.append((key, job))

    def wait(self) -> tuple[int, Any | BaseException]:
        """Do the next job; see `Pool.wait`."""
        if not self._jobs:
            raise _nothing_left()
        key, job = self._jobs.popleft()
        try:
            return key, job(self._tracker, self._reporter)
        except Exception as error:
            return key, error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._jobs.clear()


class Workers:
    """Does jobs in processes of their own; each is started with its first job.

    Args:
        size: How many.
        tracker: Writes runs.
        reporter: Shows progress.
    """

    def __init__(self, size: int, tracker: Tracker, reporter: Reporter) -> None:
        self.size = size
        taken: set[str] = set()
        self._workers = [Worker(tracker, reporter.beside(), taken) for _ in range(size)]
        self._waiting: deque[tuple[int, Task[Any]]] = deque()
        self._ended: deque[tuple[int, Any | BaseException]] = deque()

    def submit(self, key: int, job: Task[Any]) -> None:
        """Hand in a job; see `Pool.submit`."""
        self._waiting.append((key, job))
        self._hand_out()

    def _hand_out(self) -> None:
        """Give waiting jobs to workers that have none, those that have started first."""
        idle = [worker for worker in self._workers if worker.key is None]
        for worker in sorted(idle, key=lambda each: not each.alive):
            if self._waiting and (error := worker.take(*self._waiting.popleft())) is not None:
                self._end(worker, error)

    def wait(self) -> tuple[int, Any | BaseException]:
        """Serve the workers until a job has ended; see `Pool.wait`."""
        while not self._ended:
            if not any(worker.key is not None for worker in self._workers):
                raise _nothing_left()
            self._serve(None)
        self._hand_out()
        return self._ended.popleft()

    def _serve(self, seconds: float | None) -> None:
        """Wait for messages, and do what each says."""
        living = {each: worker for worker in self._workers for each in worker.signs}
        for worker in {living[each] for each in wait_for(list(living), seconds)}:
            message = worker.next_message()
            if message is None:
                self._bury(worker)
                continue
            what, *content = message
            if what == READY:
                if (error := worker.ready()) is not None:
                    self._end(worker, error)
            elif what == ASK:
                worker.answer(*content)
            elif what == TELL:
                worker.desk.hear(*content)
            elif what in (DONE, FAILED):
                self._end(worker, *content)

    def _end(self, worker: Worker, result: Any) -> None:  # noqa: ANN401
        key = worker.key
        worker.key = None
        why = str(result) if isinstance(result, Exception) else "its job left it open"
        worker.desk.end_all(Status.FAILED, why)
        if key is not None:
            self._ended.append((key, result))

    def _bury(self, worker: Worker) -> None:
        status = worker.bury(_GRACE_SECONDS)
        worker.desk.end_all(Status.FAILED, f"the process that ran it died with status {status}")
        if worker.key is not None:
            self._ended.append((worker.key, WorkerDied(status)))
            worker.key = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        reason = "stopped: it is no longer needed"
        if isinstance(error, Stopped):
            reason = f"stopped by signal {error.number}"
        elif error is not None:
            reason = "stopped: another job failed"
        try:
            self._stop(reason)
        finally:
            for worker in self._workers:
                worker.bury(0)
            try:
                for worker in self._workers:
                    worker.desk.end_all(Status.KILLED, reason)
            except TrackingError:
                if error is None:
                    raise  # else what stopped them is told, though the store takes no word of it

    def _stop(self, reason: str) -> None:
        """Tell all workers to stop, and let them end their runs for a while."""
        self._waiting.clear()
        for worker in self._workers:
            worker.stop(reason)
        until = monotonic() + _GRACE_SECONDS
        while any(worker.alive for worker in self._workers) and monotonic() < until:
            self._serve(until - monotonic())


def _nothing_left() -> ValueError:
    return ValueError("no job is left to wait for")
