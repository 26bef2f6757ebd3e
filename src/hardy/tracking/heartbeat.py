"""Tell a run that is alive from one whose process died: a heartbeat in a tag."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from hardy.core.errors import TrackingError
from hardy.core.processes import is_gone

HEARTBEAT_TAG = "hardy.heartbeat"
HEARTBEAT_SECONDS = 15.0
# Four beats: a slow disk or a busy machine may delay one or two.
FRESH_SECONDS = 60.0


def stamp() -> str:
    """Return the heartbeat of this process, now: seconds since 1970, host, process id."""
    return f"{time.time():.0f} {socket.gethostname()} {os.getpid()}"


class Beat(NamedTuple):
    """A heartbeat that was read: seconds since 1970, host, process id."""

    seconds: float
    host: str
    process: int

    @property
    def age(self) -> float:
        """Seconds since it."""
        return time.time() - self.seconds

    @property
    def is_dead(self) -> bool:
        """Whether its process is known to live no more, which its own host alone can tell."""
        return self.host == socket.gethostname() and is_gone(self.process, self.seconds)


def read(heartbeat: str | None) -> Beat | None:
    """Read a heartbeat; None where it is none."""
    try:
        seconds, host, process = (heartbeat or "").split(" ")
        return Beat(float(seconds), host, int(process))
    except ValueError:
        return None


def is_live(heartbeat: str | None) -> bool:
    """Tell whether a heartbeat is younger than a minute and of another, living process.

    Whether the process lives can be asked on its own host only; elsewhere the age decides.
    """
    beat = read(heartbeat)
    if beat is None or beat.age > FRESH_SECONDS or beat.is_dead:
        return False
    return beat.host != socket.gethostname() or beat.process != os.getpid()


def is_lost(heartbeat: str | None) -> bool:
    """Tell whether a heartbeat is of a process that is gone, or not heard of for a minute."""
    beat = read(heartbeat)
    return beat is not None and (beat.age > FRESH_SECONDS or beat.is_dead)


class Heartbeat:
    """A thread that calls `beat` every `seconds` until stopped.

    A beat that fails is left out: the store may be back at the next one, and what matters is
    written, and its failure reported, by the run's own thread.
    """

    def __init__(self, beat: Callable[[], None], seconds: float) -> None:
        self._beat = beat
        self._seconds = seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hardy-heartbeat", daemon=True)

    def start(self) -> None:
        """Start beating."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for a beat under way; a second call does nothing."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            with contextlib.suppress(TrackingError):
                self._beat()
