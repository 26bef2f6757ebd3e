"""A tracking server that does not answer for a while: say so at once, go on, try again.

MLflow's own retries take 12 minutes and say nothing. hardy leaves them at one, tries again itself,
and says on stderr until when.
"""

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from hardy.core.errors import SpecError, TrackingError
from hardy.tracking.store import public

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")

WAIT = "HARDY_SERVER_WAIT"
"""The variable that says for how many minutes a server that went away is waited for."""

_WAIT_MINUTES = 30.0
_PAUSE_SECONDS = 2.0
# A call that takes so long is no sign yet; the server is asked whether it is well.
_SLOW_SECONDS = 5.0
_HEALTH_SECONDS = 5.0
_LOOK_SECONDS = 0.1


class Patience:
    """Repeats calls to one store while its server does not answer; any thread may use it.

    A store that is no server is never waited for: its errors pass.

    Args:
        uri: The store's address.

    Raises:
        SpecError: If `HARDY_SERVER_WAIT` is no number of minutes.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._server = uri.startswith(("http://", "https://"))
        self._seconds = _stated_minutes() * 60
        self._lock = threading.Lock()
        self._since: datetime | None = None
        self._until = 0.0  # of the monotonic clock

    @property
    def away(self) -> bool:
        """Whether the server did not answer when it was last asked."""
        return self._since is not None

    def __call__(self, call: Callable[[], T]) -> T:
        """Return what a call gives, however long the server takes to come back.

        Raises:
            TrackingError: If it does not come back in time.
        """
        while True:
            done, found = self.once(call)
            if done:
                return cast("T", found)
            time.sleep(_PAUSE_SECONDS)

    def once(self, call: Callable[[], T]) -> tuple[bool, T | None]:
        """Try a call; return whether the server answered, and what the call gave.

        Raises:
            TrackingError: If the server has been away for too long.
            Exception: What the call raises while the server answers.
        """
        if self.away and not self._is_well():
            self.check()
            return False, None
        try:
            with self._watched():
                found = call()
        except Exception as error:
            if not self._server or not (_is_outage(error) or not self._is_well()):
                raise
            self._leave(_reason(error))
            self.check()
            return False, None
        self._return()
        return True, found

    def meanwhile(self, call: Callable[[], object]) -> bool:
        """Try a call as `once` does, and leave it to a thread once the server is known to be away.

        A server that takes a call and says nothing holds it for minutes.

        Returns:
            Whether the server has answered.

        Raises:
            TrackingError: If the server has been away for too long.
            Exception: What the call raises while the server answers.
        """
        if not self._server:
            return self.once(call)[0]
        made: Future[bool] = Future()

        def make() -> None:
            try:
                made.set_result(self.once(call)[0])
            except BaseException as error:  # it is raised where it is waited for
                made.set_exception(error)

        threading.Thread(target=make, name="hardy-call", daemon=True).start()
        while not self.away and not made.done():
            wait([made], timeout=_LOOK_SECONDS)
        return made.done() and made.result()

    def check(self) -> None:
        """Raise if the server has been away for too long.

        Raises:
            TrackingError: In that case.
        """
        if self._since is not None and time.monotonic() >= self._until:
            message = (
                f"the server at {public(self._uri)} has not answered since {self._since:%H:%M}"
            )
            hint = f"Start it again; {WAIT}=MINUTES says how long hardy waits for it."
            raise TrackingError(message, hint=hint)

    def hurry(self) -> None:
        """Wait no longer for a server that is away: the process is told to stop."""
        self._seconds = self._until = 0.0

    def around(self, client: "MlflowClient") -> "MlflowClient":
        """Return a client whose every call is repeated so."""
        return cast("MlflowClient", _PatientClient(client, self))

    def _leave(self, reason: str) -> None:
        with self._lock:
            if self._since is not None:
                return
            self._since = datetime.now().astimezone()
            self._until = time.monotonic() + self._seconds
            until = self._since + timedelta(seconds=self._seconds)
        where = public(self._uri)
        again = f"; trying again until {until:%H:%M}" if self._seconds else ""
        _say(f"the server at {where} does not answer ({reason}){again}")

    def _return(self) -> None:
        with self._lock:
            if self._since is None:
                return
            self._since = None
        _say(f"the server at {public(self._uri)} answers again")

    def _is_well(self) -> bool:
        import requests

        try:
            found = requests.get(f"{self._uri.rstrip('/')}/health", timeout=_HEALTH_SECONDS)
        except requests.exceptions.SSLError:  # MLflow has settings of its own for these
            return True
        except requests.exceptions.RequestException:
            return False
        return found.status_code < 500

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Notice a server that takes a call and says nothing, long before the call gives up."""
        if not self._server or self.away:
            yield
            return
        timer = threading.Timer(_SLOW_SECONDS, self._look)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _look(self) -> None:
        if not self._is_well():
            self._leave("no answer")


class _PatientClient:
    """A client whose every call goes through a `Patience`."""

    def __init__(self, client: "MlflowClient", patience: Patience) -> None:
        self._client = client
        self._patience = patience

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the client has
        found = getattr(self._client, name)
        if not callable(found):
            return found

        @wraps(found)
        def call(*given: Any, **named: Any) -> Any:  # noqa: ANN401
            return self._patience(partial(_from_the_start, found, *given, **named))

        return call


def _from_the_start(call: Callable[..., T], *given: Any, **named: Any) -> T:  # noqa: ANN401
    """Call, with streams at their beginning: an attempt before may have read them."""
    for each in given:
        if isinstance(each, io.IOBase):
            each.seek(0)
    return call(*given, **named)


def _is_outage(error: BaseException | None) -> bool:
    """Tell whether an error comes of a connection that failed, or of a server that is busy."""
    import requests

    kinds = (
        requests.exceptions.ConnectionError,
        requests.exceptions.Timeout,
        requests.exceptions.RetryError,
    )
    while error is not None:
        if isinstance(error, kinds) and not isinstance(error, requests.exceptions.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _reason(error: Exception) -> str:
    text = str(error)
    for part, words in (
        ("Connection refused", "connection refused"),
        ("timed out", "timed out"),
        ("error responses", "only errors"),
        ("resolve", "its name is not known"),
    ):
        if part in text:
            return words
    return "the connection broke"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _stated_minutes() -> float:
    stated = os.environ.get(WAIT)
    try:
        minutes = _WAIT_MINUTES if not stated else float(stated)
    except ValueError:
        minutes = -1.0
    if not 0 <= minutes <= 10_000:
        message = f"{WAIT} is {stated!r}, not a number of minutes"
        raise SpecError(message, hint=f"Such as: export {WAIT}=60")
    return minutes
