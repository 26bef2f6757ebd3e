"""Two starts of one thing: the second waits for the first, and takes what that came to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

from filelock import FileLock, Timeout

from hardy.core.paths import safe_name, state_dir
from hardy.engine.progress import Reporter
from hardy.plan.tracker import PastRun, Tracker

_WAIT_SECONDS = 3.0
_POLL_SECONDS = 0.2


@contextmanager
def alone(
    fingerprint: str, name: str, tracker: Tracker, reporter: Reporter
) -> Iterator[tuple[PastRun | None, bool]]:
    """Let one process at a time be at a unit or a plan; the others say that they wait.

    Those of one home wait by a lock, which the system gives back however a process ends; those of
    other machines go by the heartbeat of the run.

    Args:
        fingerprint: Of the unit or the plan.
        name: What to call it.
        tracker: Knows its runs.
        reporter: Told of a wait.

    Yields:
        The run that there is of it by now, and whether this process had to wait.
    """
    lock = FileLock(_locks() / f"{safe_name(fingerprint, what='fingerprint')}.lock")
    waited = False
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waited = True
        _say(name, tracker.find(fingerprint), reporter)
        lock.acquire(poll_interval=_POLL_SECONDS)
    try:
        past = tracker.find(fingerprint)
        if past is not None and past.busy and not waited:
            _say(name, past, reporter)
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


def _say(name: str, past: PastRun | None, reporter: Reporter) -> None:
    run = f" (run {past.run_id})" if past is not None and past.busy else ""
    reporter.say(f"{name}: waiting for another process, which is at it{run}")
