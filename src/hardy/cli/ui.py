"""`hardy ui`: look at the runs in a browser."""

import errno
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from tempfile import mkdtemp
from types import FrameType

import click

from hardy.core.errors import Interrupted, TrackingError
from hardy.core.paths import state_dir
from hardy.tracking.store import artifact_root, connect, public, tracking_uri

_ANSWER_SECONDS = 10
_START_SECONDS = 120
_STOP_SECONDS = 10
_POLL_SECONDS = 0.2
_LOCAL = ("127.0.0.1", "localhost", "::1")


@click.command()
@click.option(
    "--port",
    default=5000,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Port to listen on.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Network address to bind.")
def command(port: int, host: str) -> None:
    """Show runs, pictures and models in a browser: serve MLflow's pages until Ctrl-C.

    Example: hardy ui --port 5001
    """
    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        check_answers(uri)
        click.echo(f"The store is a server already: open {public(uri)}")
        return
    check_port(host, port)
    connect()  # makes the store if there is none, under the lock that the server knows not
    if host not in _LOCAL:
        click.echo("Whoever reaches this address can read and change every run.", err=True)
    serve(uri, host, port)


def check_answers(uri: str) -> None:
    """Raise if no server answers at an address.

    Raises:
        TrackingError: If nothing does, or what stands before it says that it is away.
    """
    address = public(uri).rstrip("/")
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=_ANSWER_SECONDS):  # noqa: S310
            return
    except urllib.error.HTTPError as error:
        if error.code < 500:
            return  # it answers: it wants a login, or has another page for this
        reason = f"it says {error.code} {error.reason}"
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLError):
            return  # it answers: a browser has certificates and exceptions of its own
        reason = getattr(error.reason, "strerror", None) or str(error.reason)
    except (OSError, ValueError, HTTPException) as error:
        reason = str(error) or type(error).__name__
    message = f"the server at {address} does not answer: {reason}"
    hint = "Start it, or mend MLFLOW_TRACKING_URI; unset, `hardy ui` shows the store in HARDY_HOME."
    raise TrackingError(message, hint=hint)


def check_port(host: str, port: int) -> None:
    """Raise if a port cannot be bound.

    Raises:
        TrackingError: If it is taken or refused; the hint names a free one.
    """
    try:
        _bind(host, port)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "is in use" if taken else f"cannot be used: {error.strerror or error}"
        message = f"port {port} of {host} {reason}"
        hint = f"Try: hardy ui --port {_free_port(host, port)}" if taken else "Check --host."
        raise TrackingError(message, hint=hint) from error


def _bind(host: str, port: int) -> None:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        # As the server does: a connection of the last server may linger for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _free_port(host: str, port: int) -> int:
    for candidate in range(port + 1, min(port + 100, 65535)):
        try:
            _bind(host, candidate)
        except OSError:
            continue
        return candidate
    return port + 1


def serve(uri: str, host: str, port: int) -> None:
    """Run the server until it is stopped; print its address once it answers.

    Raises:
        TrackingError: If the server ends by itself.
        Interrupted: After SIGTERM; Ctrl-C is the usual way out and no error.
    """
    log = _log(f"ui-{port}.log")
    previous = signal.signal(signal.SIGTERM, _on_sigterm)
    server = _start(_command(uri, host, port), log)
    try:
        _await_health(server, f"http://{_bracketed(host)}:{port}", log)
        click.echo(f"MLflow shows {public(uri)} at http://{_bracketed(host)}:{port}")
        click.echo("Ctrl-C stops it.")
        _fail_if_ended(server.wait(), log)
    except KeyboardInterrupt:
        click.echo("stopped")
    finally:
        _stop(server)
        signal.signal(signal.SIGTERM, previous)


def _log(name: str) -> Path:
    """Return a file for what the server says: a temporary one where the home is read-only."""
    try:
        log = state_dir() / name
        log.touch()
    except OSError:
        return Path(mkdtemp(prefix="hardy-")) / name
    return log


def _start(command: list[str], log: Path) -> "subprocess.Popen[bytes]":
    # Jobs are MLflow's GenAI evaluations: hardy has none, and they start four more processes.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - our own words
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _command(uri: str, host: str, port: int) -> list[str]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port)]
    command += ["--backend-store-uri", uri, "--workers", "1", "--uvicorn-opts", "--log-level error"]
    root = artifact_root(uri)
    if root is not None:
        command += ["--default-artifact-root", root, "--artifacts-destination", root]
    return command


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _await_health(server: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    address = address.replace("//0.0.0.0", "//127.0.0.1").replace("//[::]", "//[::1]")
    # A proxy from the environment must not be asked for an address of this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            _fail_if_ended(server.returncode, log)
        try:
            with opener.open(f"{address}/health", timeout=5):
                return
        except OSError:
            time.sleep(_POLL_SECONDS)
    message = f"MLflow's server did not answer at {address} within {_START_SECONDS} s"
    raise TrackingError(message, hint=f"See what it says: {log}")


def _fail_if_ended(status: int, log: Path) -> None:
    lines = log.read_text(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    message = f"MLflow's server ended by itself with status {status}: {last}"
    raise TrackingError(message, hint=f"See all that it said: {log}")


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


def _stop(server: "subprocess.Popen[bytes]") -> None:
    """End the server and its workers: they are a process group of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(_STOP_SECONDS)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
