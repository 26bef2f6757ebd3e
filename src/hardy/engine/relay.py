"""The tracker of a job in a process of its own: every call goes to the parent, which alone writes.

SQLite takes one writer at a time, and several wait for each other far longer than one writes. So a
worker holds a `RelayTracker`, and the parent a `Desk` for it, which does what is asked and answers,
with the error that the store raised where it raised one.
"""

import pickle
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

from rich.console import Console

from hardy.core.errors import TrackingError
from hardy.engine.executor import sendable
from hardy.engine.progress import Reporter
from hardy.engine.signals import stops_held_back
from hardy.plan.tracker import PastRun, Run, Scalar, Status, Tracker

JOB, READY, ASK, TELL, DONE, FAILED = "job", "ready", "ask", "tell", "done", "failed"

_TELL_SECONDS = 0.1
_TRACKER = 0  # what a call is of: the tracker, else a run by its number


def send(connection: Connection, *message: object) -> None:
    """Send a message; a stop waits until all of it is on its way."""
    content = pickle.dumps(message)
    with stops_held_back():
        connection.send_bytes(content)


def receive(connection: Connection) -> tuple[Any, ...]:
    """Receive a message that is there; a stop waits until it is read.

    Raises:
        EOFError: If the other process is gone.
        OSError: If it went away while it wrote.
    """
    with stops_held_back():
        content = connection.recv_bytes()
    message: tuple[Any, ...] = pickle.loads(content)  # noqa: S301 - of hardy's own process
    return message


class Line:
    """A worker's line to its parent."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._lock = Lock()

    def ask(self, of: int, name: str, /, *given: object, **named: object) -> Any:  # noqa: ANN401
        """Have the parent call a method; return what it returns, raise what it raises."""
        # Pickled before: what cannot be is an error here, and leaves the line as it is.
        content = pickle.dumps((ASK, of, name, given, named))
        # A stop waits for the answer, so that the next question gets its own.
        with stops_held_back(), self._lock:
            self.connection.send_bytes(content)
            worked, answer = pickle.loads(self.connection.recv_bytes())  # noqa: S301
        if not worked:
            raise answer
        return answer

    def tell(self, *message: object) -> None:
        """Send the parent what needs no answer."""
        with stops_held_back(), self._lock:
            send(self.connection, *message)


class RelayTracker:
    """The parent's tracker, as a worker sees it: see `hardy.plan.tracker.Tracker`."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def find_many(self, fingerprints: Iterable[str]) -> Mapping[str, PastRun]:
        """Return what `find` returns, by fingerprint, for those that have a run."""
        found: Mapping[str, PastRun] = self._ask("find_many", tuple(fingerprints))
        return found

    def mean(self, metric: str, tags: Mapping[str, str]) -> tuple[float, int] | None:
        """Return a metric's mean over the finished runs that have all the tags."""
        found: tuple[float, int] | None = self._ask("mean", metric, dict(tags))
        return found

    def find(self, fingerprint: str) -> PastRun | None:
        """Return the newest finished run of a fingerprint, else a busy one, else the newest."""
        found: PastRun | None = self._ask("find", fingerprint)
        return found

    def get(self, run_id: str) -> PastRun:
        """Return a run by its id."""
        found: PastRun = self._ask("get", run_id)
        return found

    def start(
        self,
        name: str,
        *,
        tags: Mapping[str, str],
        parent: str | None = None,
        resume: str | None = None,
    ) -> Run:
        """Start a run, or resume one; it lives in the parent."""
        number, run_id = self._ask("start", name, tags=dict(tags), parent=parent, resume=resume)
        return RelayRun(self._line, number, run_id)

    def refer(self, run_id: str) -> None:
        """Note on the run that `mlflow run` made, if any, that its work is found in another."""
        self._ask("refer", run_id)

    def artifact(self, run_id: str, path: str) -> Path:
        """Return a local copy of one artifact file."""
        found: Path = self._ask("artifact", run_id, path)
        return found

    def link(self, run_id: str) -> str:
        """Return where a person sees the run."""
        return str(self._ask("link", run_id))

    def _ask(self, name: str, /, *given: object, **named: object) -> Any:  # noqa: ANN401
        return self._line.ask(_TRACKER, name, *given, **named)


class RelayRun:
    """A run that the parent writes, as a worker sees it: see `hardy.plan.tracker.Run`."""

    def __init__(self, line: Line, number: int, run_id: str) -> None:
        self._line = line
        self._number = number
        self._run_id = run_id

    @property
    def run_id(self) -> str:
        """The store's id."""
        return self._run_id

    def params(self, values: Mapping[str, Scalar]) -> None:
        """Log parameters."""
        self._ask("params", dict(values))

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self._ask("tags", dict(values))

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Buffer metrics, in the parent."""
        self._ask("metrics", dict(values), step)

    def last_step(self, metric: str) -> int:
        """Return the last step at which the store has a metric; 0 where it has none."""
        return int(self._ask("last_step", metric))

    def flush(self, *, wait: bool = True) -> bool:
        """Write what is buffered; return whether the store has it."""
        return bool(self._ask("flush", wait=wait))

    def dataset(self, name: str, digest: str, source: Mapping[str, Any], context: str) -> None:
        """Link the run to the data it saw."""
        self._ask("dataset", name, digest, dict(source), context)

    def text(self, content: str, path: str) -> None:
        """Write a text artifact."""
        self._ask("text", content, path)

    def artifact(self, file: Path, path: str) -> None:
        """Have the parent copy a finished file; it is copied when this returns."""
        self._ask("artifact", file.absolute(), path)

    def note(self, markdown: str) -> None:
        """Set the description that the UI shows."""
        self._ask("note", markdown)

    def end(self, status: Status, reason: str = "") -> None:
        """Flush and end the run."""
        self._ask("end", status, reason)

    def _ask(self, name: str, /, *given: object, **named: object) -> Any:  # noqa: ANN401
        return self._line.ask(self._number, name, *given, **named)


class RelayReporter(Reporter):
    """The parent's display, as a worker sees it."""

    def __init__(self, line: Line) -> None:
        super().__init__(Console(quiet=True))
        self._line = line

    def say(self, line: str) -> None:
        """Print one line above the bars."""
        self._line.tell(TELL, "say", (line,), {})

    def unit(self, title: str, total: int, done: int = 0, *, what: str = "samples") -> None:
        """Begin a unit."""
        self._total, self._said = total, 0.0
        self._line.tell(TELL, "unit", (title, total, done), {"what": what})

    def sample(self, done: int, news: str) -> None:
        """Say how many samples are done, as often as an eye can follow."""
        if done == self._total or monotonic() - self._said >= _TELL_SECONDS:
            self._said = monotonic()
            self._line.tell(TELL, "sample", (done, news), {})

    def unit_done(self) -> None:
        """Say that one unit is done."""
        self._line.tell(TELL, "unit_done", (), {})


class Desk:
    """Does in the parent what one worker asks for.

    Args:
        tracker: Writes the runs.
        reporter: This worker's part of the display.
        taken: Ids of the runs that any worker has open; shared by all desks.
    """

    def __init__(self, tracker: Tracker, reporter: Reporter, taken: set[str]) -> None:
        self._tracker = tracker
        self._reporter = reporter
        self._taken = taken
        self._open: dict[int, Run] = {}
        self._started = 0
        self.stopping = ""  # why the worker is told to stop, once it is

    def hear(self, name: str, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        """Show what a worker reports."""
        getattr(self._reporter, name)(*given, **named)

    def answer(
        self, of: int, name: str, given: tuple[Any, ...], named: Mapping[str, Any]
    ) -> tuple[bool, Any]:
        """Do what a worker asks for; return whether that worked, and the answer or the error."""
        try:
            return True, self._do(of, name, given, named)
        except Exception as error:
            return False, sendable(error)

    def _do(self, of: int, name: str, given: tuple[Any, ...], named: Mapping[str, Any]) -> Any:  # noqa: ANN401
        if of == _TRACKER:
            if name == "start":
                return self._start(*given, **named)
            return _marked(getattr(self._tracker, name)(*given, **named), self._busy)
        if name == "end":
            return self._end(of, *given)
        return getattr(self._open[of], name)(*given, **named)

    def _start(self, name: str, *, resume: str | None, **named: Any) -> tuple[int, str]:  # noqa: ANN401
        if resume in self._taken:
            message = f"the run {resume} is being written by another job"
            raise TrackingError(message, hint="Wait until it ends.")
        run = self._tracker.start(name, resume=resume, **named)
        self._started += 1
        self._open[self._started] = run
        self._taken.add(run.run_id)
        return self._started, run.run_id

    def _end(self, number: int, status: Status, reason: str) -> None:
        if number in self._open:  # a second end is none
            stopped = status == Status.KILLED and self.stopping
            self._open[number].end(status, stopped or reason)
            self._taken.discard(self._open.pop(number).run_id)

    @property
    def _busy(self) -> Set[str]:
        """Runs that other workers are writing."""
        return self._taken - {run.run_id for run in self._open.values()}

    def end_all(self, status: Status, reason: str) -> None:
        """End the runs that a worker left open."""
        if self.stopping:
            status, reason = Status.KILLED, self.stopping
        failures = []
        for number in list(self._open):
            try:
                self._end(number, status, reason)
            except TrackingError as error:  # the store may take the next
                failures.append(error)
        if failures:
            raise failures[0]


def _marked(found: Any, busy: Set[str]) -> Any:  # noqa: ANN401
    """Return what was found, with the runs that other workers are writing marked as such."""
    if isinstance(found, PastRun):
        return replace(found, busy=True) if found.run_id in busy else found
    if isinstance(found, Mapping):
        return {mark: _marked(past, busy) for mark, past in found.items()}
    return found
