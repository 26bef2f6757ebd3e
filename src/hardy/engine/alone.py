"""Two starts of one thing: the second waits for the first, and takes what that came to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

from filelock import FileLock, Timeout

from hardy.core.errors import TrackingError
from hardy.core.paths import safe_name, state_dir
from hardy.engine.progress import Reporter
from hardy.plan.tracker import PastRun, Tracker

_WAIT_SECONDS = 3.0
_POLL_SECONDS = 0.2


@contextmanager
def alone(
    fingerprint: str, name: str, tracker: Tracker, reporter: Reporter, *, wait: bool = True
) -> Iterator[tuple[PastRun | None, bool]]:
    """Let one process at a time be at a unit or a plan; the others say that they wait.

    Those of one home wait by a lock, which the system gives back however a process ends; those of
    other machines go by the heartbeat of the run.

    Args:
        fingerprint: Of the unit or the plan.
        name: What to call it.
        tracker: Knows its runs.
        reporter: Told of a wait.
        wait: Whether to wait for another process, or to refuse.

    Yields:
        The run that there is of it by now, and whether this process had to wait.

    Raises:
        TrackingError: If another process is at it, and it is not to be waited for.
    """
    lock = FileLock(_locks() / f"{safe_name(fingerprint, what='fingerprint')}.lock")
    waited = False
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waited = True
        _meet(name, tracker.find(fingerprint), reporter if wait else None)
        lock.acquire(poll_interval=_POLL_SECONDS)
    try:
        past = tracker.find(fingerprint)
        if past is not None and past.busy and not waited:
            _meet(name, past, reporter if wait else None)
        while past is not None and past.busy:
            waited = True
            sleep(_WAIT_SECONDS)
            past = tracker.find(fingerprint)
        yield past, waited
    finally:
        # Whoever waits finds the run, so the file may go; one for each fingerprint would add up.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _locks() -> Path:
    folder = state_dir() / "locks"
    folder.mkdir(exist_ok=True)
    return folder


def _meet(name: str, past: PastRun | None, reporter: Reporter | None) -> None:
    """Say that another process is waited for, or refuse where nobody is told of a wait."""
    run = f" (run {past.run_id})" if past is not None and past.busy else ""
    if reporter is None:
        message = f"another process is at {name}{run}"
        raise TrackingError(message, hint="Wait until it ends, or stop it first.")
    reporter.say(f"{name}: waiting for another process, which is at it{run}")
