import os
import socket
import threading
import time

import pytest

from hardy.core.errors import TrackingError
from hardy.tracking.heartbeat import Heartbeat, is_live, stamp

ABSENT = 2**22 + 1  # above Linux's largest process id


def beat(*, age: float = 0, host: str | None = None, process: int = 1) -> str:
    return f"{time.time() - age:.0f} {host or socket.gethostname()} {process}"


def test_own_heartbeat_is_not_another_process() -> None:
    assert not is_live(stamp())


def test_a_young_beat_of_another_living_process_is_live() -> None:
    assert is_live(beat(process=os.getppid()))
    assert is_live(beat(host="elsewhere", process=ABSENT))


def test_an_old_beat_is_not() -> None:
    assert not is_live(beat(process=os.getppid(), age=61))
    assert not is_live(beat(host="elsewhere", age=61))


def test_the_beat_of_a_process_that_is_gone_is_not() -> None:
    assert not is_live(beat(process=ABSENT))


@pytest.mark.parametrize("heartbeat", ["", "yesterday here 1", None])
def test_nonsense_is_not(heartbeat: str | None) -> None:
    assert not is_live(heartbeat)


def test_pulse_goes_on_after_a_failed_beat_and_leaves_no_thread() -> None:
    beats = threading.Semaphore(0)

    def failing() -> None:
        beats.release()
        message = "the store is away"
        raise TrackingError(message)

    before = set(threading.enumerate())
    heartbeat = Heartbeat(failing, seconds=0.01)
    heartbeat.start()
    assert beats.acquire(timeout=5)
    assert beats.acquire(timeout=5)
    (beating,) = set(threading.enumerate()) - before
    assert beating.daemon  # a process that fails to stop it ends all the same
    heartbeat.stop()
    heartbeat.stop()
    assert set(threading.enumerate()) == before
