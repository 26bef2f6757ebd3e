"""Worker processes that leave signals to their parent; processes that are gone."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

# Of a clock that was set, and of times that are kept in whole seconds.
_SLACK_SECONDS = 5.0


def is_gone(process_id: int, seen: float) -> bool:
    """Tell whether the process that had an id on this machine then lives no more.

    Args:
        process_id: Its id; another process may have it by now.
        seen: When it lived, in seconds since 1970.
    """
    import psutil  # late: few verbs ask

    try:
        return bool(psutil.Process(process_id).create_time() > seen + _SLACK_SECONDS)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def ignore_interrupts(_: object = None) -> None:
    """Leave Ctrl-C, which the terminal sends to workers too, to the parent that ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Hold SIGINT back while workers start: they inherit the mask, the parent gets it afterwards.

    Without it a Ctrl-C during a worker's imports prints the worker's traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Its first start would lift the mask again, so it is started before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
