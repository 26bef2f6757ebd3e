"""Two starts of one thing at once: the second waits, and takes what the first came to."""

import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from hardy.engine import alone as module
from hardy.engine.alone import alone
from hardy.plan.tracker import PastRun

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
