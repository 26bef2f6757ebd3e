"""Ctrl-C and SIGTERM become one exception, so that a stopped run is ended as KILLED."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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
        for each in watched:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    before = {each: signal.signal(each, stop) for each in watched}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
