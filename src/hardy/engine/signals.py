"""Ctrl-C and SIGTERM become one exception, so that a stopped run is ended as KILLED."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_holding = 0
_held: int | None = None


class Stopped(BaseException):
    """The process was told to stop.

    Not an `Exception`, so that no library's handler for errors swallows it.

    Args:
        number: The signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Raise `Stopped` at the first SIGINT or SIGTERM and ignore further ones.

    Further signals are ignored because ending a run takes a moment, and `mlflow run` sends a
    SIGTERM after the terminal's SIGINT.
    """
    watched = (signal.SIGINT, signal.SIGTERM)

    def stop(number: int, _: FrameType | None) -> None:
        global _held
        for each in watched:
            signal.signal(each, signal.SIG_IGN)
        if _holding:
            _held = number
        else:
            raise Stopped(number)

    before = {each: signal.signal(each, stop) for each in watched}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def stops_held_back() -> Iterator[None]:
    """Let a stop wait for the end of the context, such as of a message half sent.

    Signals are handled by a process's main thread; in another one this does nothing.
    """
    global _holding, _held
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _holding += 1
    try:
        yield
    finally:
        _holding -= 1
        if not _holding and _held is not None:
            number, _held = _held, None
            raise Stopped(number)
