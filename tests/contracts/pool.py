"""What every pool promises, written once; each pool's test class inherits it."""

import inspect
import io
import os
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console

from hardy.core.errors import DataError, TrackingError
from hardy.engine.pool import Pool
from hardy.engine.progress import Reporter
from hardy.engine.signals import Stopped
from hardy.plan.tracker import PastRun, Run, Status, Tracker


def quiet():
    """A reporter that nobody sees."""
    return Reporter(Console(file=io.StringIO()))


PAST = PastRun("past", "of old", finished=True, metrics={"a": 0.1}, tags={"b": "c"})
REFUSED = "metric 'bad' is nan at step 3"


@dataclass
class Recorder:
    """A tracker that keeps what it is told, and in which process."""

    home: Path
    calls: list = field(default_factory=list)
    runs: dict = field(default_factory=dict)

    def note(self, of, name, *given, **named):
        self.calls.append((of, name, given, named, os.getpid()))

    def find(self, fingerprint):
        self.note("", "find", fingerprint)
        open_ones = [run for run in self.runs.values() if run.ended is None]
        if fingerprint == "open" and open_ones:
            return PastRun(open_ones[0].run_id, "open", finished=False)
        return PAST if fingerprint == "known" else None

    def find_many(self, fingerprints):
        self.note("", "find_many", *fingerprints)
        return {mark: PAST for mark in fingerprints if mark == "known"}

    def mean(self, metric, tags):
        self.note("", "mean", metric, tags)
        return 0.5, 3

    def get(self, run_id):
        self.note("", "get", run_id)
        if run_id != "past":
            message = f"there is no run {run_id}"
            raise TrackingError(message, hint="look again")
        return PAST

    def start(self, name, *, tags, parent=None, resume=None):
        self.note("", "start", name, tags=tags, parent=parent, resume=resume)
        run_id = resume or f"run-{len(self.runs)}"
        self.runs[run_id] = RecordedRun(self, run_id)
        return self.runs[run_id]

    def refer(self, run_id):
        self.note("", "refer", run_id)

    def artifact(self, run_id, path):
        self.note("", "artifact", run_id, path)
        return self.home / path

    def link(self, run_id):
        self.note("", "link", run_id)
        return f"see {run_id}"


class RecordedRun:
    """A run of it; what has no method of its own is noted alone."""

    def __init__(self, tracker, run_id):
        self.tracker, self.run_id, self.ended, self.files = tracker, run_id, None, {}

    def metrics(self, values, step=0):
        self.tracker.note(self.run_id, "metrics", values, step)
        if "bad" in values:
            raise TrackingError(REFUSED, hint="lower the rate")

    def last_step(self, metric):
        self.tracker.note(self.run_id, "last_step", metric)
        return 7

    def flush(self, *, wait=True):
        self.tracker.note(self.run_id, "flush", wait=wait)
        return True

    def artifact(self, file, path):
        self.tracker.note(self.run_id, "artifact", path)
        self.files[path] = file.read_bytes()

    def end(self, status, reason=""):
        if self.ended is None:
            self.tracker.note(self.run_id, "end", status, reason)
            self.ended = status, reason

    def __getattr__(self, name):
        if name not in ("params", "tags", "dataset", "text", "note"):
            raise AttributeError(name)
        return lambda *given: self.tracker.note(self.run_id, name, *given)


@dataclass(frozen=True)
class Everything:
    """Calls each method of Tracker and of Run once, and returns what it got."""

    folder: Path

    def __call__(self, tracker, reporter):
        got = {
            "find": tracker.find("known"),
            "absent": tracker.find("unknown"),
            "find_many": dict(tracker.find_many({"known"})),
            "mean": tracker.mean("accuracy", {"a": "b"}),
            "get": tracker.get("past"),
            "artifact": tracker.artifact("past", "there.txt"),
            "link": tracker.link("past"),
        }
        tracker.refer("past")
        run = tracker.start("mine", tags={"x": "y"}, parent="above")
        got["run_id"] = run.run_id
        run.params({"lr": 0.1, "name": None})
        run.tags({"t": "u"})
        run.metrics({"loss": 0.1 + 0.2}, 3)
        got["last_step"] = run.last_step("loss")
        got["flushed"] = run.flush(wait=False)
        run.dataset("digits", "d" * 32, {"dataset": "digits"}, "test")
        run.text("words", "notes/a.txt")
        file = self.folder / "short-lived"
        file.write_bytes(b"whole")
        run.artifact(file, "files/it.bin")
        file.unlink()  # as a job's temporary folder
        run.note("# read me")
        run.end(Status.FINISHED)
        run.end(Status.FAILED, "a second end is none")
        resumed = tracker.start("again", tags={}, resume="past")
        resumed.end(Status.KILLED, "enough")
        return got


@dataclass(frozen=True)
class Says:
    """Returns a word, after a while, and from which process."""

    word: str
    seconds: float = 0.0

    def __call__(self, tracker, reporter):
        reporter.unit(self.word, 2)
        for done in (1, 2):
            time.sleep(self.seconds / 2)
            reporter.sample(done, "news")
        reporter.say(f"said {self.word}")
        reporter.unit_done()
        return self.word, os.getpid()


@dataclass(frozen=True)
class Refused:
    """Meets an error of the tracker, and ends its run by it."""

    def __call__(self, tracker, reporter):
        run = tracker.start("refused", tags={})
        try:
            run.metrics({"bad": float("nan")}, 3)
        except TrackingError as error:
            run.end(Status.FAILED, error.message)
            raise


@dataclass(frozen=True)
class Broken:
    """Fails."""

    def __call__(self, tracker, reporter):
        message = "sample 3 is broken"
        raise DataError(message, hint="mend it")


class PoolContract(ABC):
    """Inherit, and say how to build it."""

    @abstractmethod
    def build(self, tracker) -> Pool: ...

    @abstractmethod
    def pool(self) -> Pool:
        """Return one by way of a fixture."""

    @pytest.fixture
    def tracker(self, tmp_path):
        return Recorder(tmp_path)

    def test_every_method_of_tracker_and_run_reaches_the_tracker_here(
        self, pool, tracker, tmp_path
    ):
        pool.submit(5, Everything(tmp_path))
        key, got = pool.wait()
        assert key == 5
        assert got == {
            "find": PAST,
            "absent": None,
            "find_many": {"known": PAST},
            "mean": (0.5, 3),
            "get": PAST,
            "artifact": tmp_path / "there.txt",
            "link": "see past",
            "run_id": "run-0",
            "last_step": 7,
            "flushed": True,
        }
        assert {pid for *_, pid in tracker.calls} == {os.getpid()}
        called = [(of, name, given, named) for of, name, given, named, _ in tracker.calls]
        assert [each for each in called if each[0] == "run-0"] == [
            ("run-0", "params", ({"lr": 0.1, "name": None},), {}),
            ("run-0", "tags", ({"t": "u"},), {}),
            ("run-0", "metrics", ({"loss": 0.1 + 0.2}, 3), {}),
            ("run-0", "last_step", ("loss",), {}),
            ("run-0", "flush", (), {"wait": False}),
            ("run-0", "dataset", ("digits", "d" * 32, {"dataset": "digits"}, "test"), {}),
            ("run-0", "text", ("words", "notes/a.txt"), {}),
            ("run-0", "artifact", ("files/it.bin",), {}),
            ("run-0", "note", ("# read me",), {}),
            ("run-0", "end", (Status.FINISHED, ""), {}),
        ]
        starts = [each for each in called if each[1] == "start"]
        assert starts == [
            ("", "start", ("mine",), {"tags": {"x": "y"}, "parent": "above", "resume": None}),
            ("", "start", ("again",), {"tags": {}, "parent": None, "resume": "past"}),
        ]
        assert tracker.runs["run-0"].files == {"files/it.bin": b"whole"}
        assert tracker.runs["past"].ended == (Status.KILLED, "enough")
        # A method that the protocols gain is to be called here, too.
        names = {name for _, name, *_ in called}
        for protocol in (Tracker, Run):
            wanted = {n for n, _ in inspect.getmembers(protocol) if not n.startswith("_")}
            assert wanted - {"run_id"} <= names

    def test_each_job_gives_its_result_once(self, pool):
        for key, word in enumerate("abc"):
            pool.submit(key, Says(word))
        found = dict(pool.wait() for _ in range(3))
        assert {key: word for key, (word, _) in found.items()} == {0: "a", 1: "b", 2: "c"}
        with pytest.raises(ValueError, match="no job is left"):
            pool.wait()

    def test_an_error_is_a_result_and_the_pool_goes_on(self, pool, tracker):
        pool.submit(1, Broken())
        key, error = pool.wait()
        assert (key, type(error), error.message) == (1, DataError, "sample 3 is broken")
        assert error.hint == "mend it"
        pool.submit(2, Refused())
        key, error = pool.wait()
        assert (key, type(error), error.message) == (2, TrackingError, REFUSED)
        assert error.hint == "lower the rate"
        assert [run.ended for run in tracker.runs.values()] == [(Status.FAILED, REFUSED)]
        pool.submit(3, Says("on"))
        assert pool.wait()[1][0] == "on"

    def test_a_stop_here_ends_it(self, tracker):
        start = time.monotonic()

        def go():
            with self.build(tracker) as pool:
                pool.submit(1, Says("a", 600))
                raise Stopped(2)

        with pytest.raises(Stopped):
            go()
        assert time.monotonic() - start < 30
