"""Two starts of one thing at once: the second waits, and takes what the first came to."""

import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from hardy.core.errors import TrackingError
from hardy.engine import alone as module
from hardy.engine import runner
from hardy.engine import unit as unit_module
from hardy.engine.alone import alone
from hardy.engine.progress import Reporter
from hardy.engine.runner import run_plan
from hardy.engine.unit import run_unit
from hardy.plan.tracker import PastRun
from hardy.plan.units import make_plan
from hardy.registry.stores import default_stores
from hardy.spec import resolve
from hardy.tracking.mlflow_tracker import MlflowTracker

MARK = "f" * 32


class Store:
    """Says one thing after the other of a fingerprint."""

    def __init__(self, *found):
        self.found = list(found)

    def find(self, fingerprint):
        assert fingerprint == MARK
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]


class Said(list):
    def say(self, line):
        self.append(line)


def past(**named):
    return PastRun("run", "unit", **{"finished": False, **named})


def test_the_first_start_waits_for_nothing():
    said = Said()
    with alone(MARK, "unit", Store(None), said) as (found, waited):
        assert (found, waited, said) == (None, False, [])


def test_a_second_process_waits_and_says_for_which_run(isolated_home):
    script = (
        "import sys; from hardy.engine.alone import alone\n"
        "class Store:\n    def find(self, mark): return None\n"
        f"with alone({MARK!r}, 'unit', Store(), None):\n"
        "    print('in', flush=True); sys.stdin.read()"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert first.stdout.readline() == b"in\n"
    ended = []

    def end():
        ended.append(time.monotonic())
        first.communicate()

    said = Said()
    threading.Timer(0.3, end).start()
    with alone(MARK, "unit", Store(past(busy=True), past(finished=True)), said) as (found, waited):
        assert ended
        assert (found.finished, waited) == (True, True)
    assert said == ["unit: waiting for another process, which is at it (run run)"]
    assert first.wait() == 0
    assert list((isolated_home / ".hardy" / "locks").iterdir()) == []


def test_another_machine_is_waited_for_by_its_heartbeat(monkeypatch):
    monkeypatch.setattr(module, "_WAIT_SECONDS", 0.0)
    busy, said = past(busy=True), Said()
    with alone(MARK, "unit", Store(busy, busy, past()), said) as (found, waited):
        assert (found, waited) == (past(), True)
    assert len(said) == 1


def test_a_search_is_refused_and_not_waited_for():
    """Its name is that of its run; both ways to know of another process tell it."""
    refused = pytest.raises(TrackingError, match=r"another process is at unit \(run run\)")
    store = Store(past(busy=True))
    with refused, alone(MARK, "unit", store, Said(), wait=False):
        pass
    with (
        alone(MARK, "unit", Store(None), Said()),
        pytest.raises(TrackingError, match="another process"),
        alone(MARK, "unit", store, Said(), wait=False),
    ):
        pass


def test_a_process_that_fails_gives_its_turn_back():
    @contextmanager
    def failing():
        with alone(MARK, "unit", Store(None), Said()):
            raise ValueError
        yield

    with pytest.raises(ValueError), failing():  # noqa: PT011
        pass
    with alone(MARK, "unit", Store(None), Said()) as (_, waited):
        assert not waited


SPEC = """\
name: twice
data:
  dataset: shapes
  split: test
  shapes: {count: 12, size: 32}
  subset: {count: 6}
model: {kind: hardy, name: resnet26-gn8, weights: random, classes: 6}
method: {kind: evaluate}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu, processes: 1}
matrix: {seed: [0, 1]}
"""


def test_a_plan_that_waited_takes_what_was_made_meanwhile(store, tmp_path, monkeypatch):
    (tmp_path / "twice.yaml").write_text(SPEC)
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    tracker = MlflowTracker()
    resolved = resolve(str(tmp_path / "twice.yaml"))
    first, second = (make_plan(resolved, default_stores(), tracker) for _ in range(2))
    reporter = Reporter(Console(file=StringIO()))
    parent, units = run_plan(first, tracker, reporter, resume_command="")

    @contextmanager
    def waited(mark, *_):
        yield tracker.find(mark), True

    monkeypatch.setattr(runner, "alone", waited)
    monkeypatch.setattr(tracker, "start", lambda *_, **__: pytest.fail("a run was made"))
    again, reused = run_plan(second, tracker, reporter, resume_command="")
    assert again == parent
    assert [unit.run_id for unit in reused] == [unit.run_id for unit in units]
    monkeypatch.setattr(unit_module, "alone", waited)
    planned = second.units[0]
    assert run_unit(planned, tracker, reporter).run_id == units[0].run_id


def test_a_unit_that_is_to_run_again_does_not_take_the_finished_run(monkeypatch):
    """What is started anew on purpose has no earlier run in its plan, and nobody was waited for."""
    started = []

    @contextmanager
    def first(mark, *_):
        yield past(finished=True), False

    class Tracker:
        def start(self, name, *, resume, **_):
            started.append(resume)
            raise KeyboardInterrupt

    monkeypatch.setattr(unit_module, "alone", first)
    monkeypatch.setattr(unit_module, "_tags", lambda _: {})
    name = SimpleNamespace(experiment=SimpleNamespace(name="unit"))
    again = SimpleNamespace(past=None, unit=name, fingerprint=MARK)
    with pytest.raises(KeyboardInterrupt):
        run_unit(again, Tracker(), Said())
    assert started == [None]
