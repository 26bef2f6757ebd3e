import os
import socket
import threading
import time

import pytest

from hardy.core.errors import TrackingError
from hardy.tracking.pulse import Pulse, is_live, stamp


def beat(*, age: float = 0, host: str | None = None, process: int = 1) -> str:
    return f"{time.time() - age:.0f} {host or socket.gethostname()} {process}"


def test_own_heartbeat_is_not_another_process() -> None:
    assert not is_live(stamp())


@pytest.mark.parametrize(
    ("heartbeat", "live"),
    [
        (beat(process=os.getppid()), True),
        (beat(process=os.getppid(), age=61), False),
        (beat(process=2**22 + 1), False),  # above Linux's largest process id
        (beat(host="elsewhere", process=2**22 + 1), True),
        (beat(host="elsewhere", age=61), False),
        ("", False),
        ("yesterday here 1", False),
        (None, False),
    ],
)
def test_is_live(heartbeat: str | None, live: bool) -> None:
    assert is_live(heartbeat) is live


def test_pulse_goes_on_after_a_failed_beat_and_leaves_no_thread() -> None:
    beats = threading.Semaphore(0)

    def failing() -> None:
        beats.release()
        message = "the store is away"
        raise TrackingError(message)

    before = set(threading.enumerate())
    pulse = Pulse(failing, seconds=0.01)
    pulse.start()
    assert beats.acquire(timeout=5)
    assert beats.acquire(timeout=5)
    pulse.stop()
    pulse.stop()
    assert set(threading.enumerate()) == before
