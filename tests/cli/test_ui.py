import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from hardy.cli.ui import check_port, command, serve
from hardy.core.errors import TrackingError

LOCAL = "127.0.0.1"


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind((LOCAL, 0))
        listener.listen()
        yield listener.getsockname()[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        return int(probe.getsockname()[1])


def test_busy_port_names_a_free_one(taken: int) -> None:
    with pytest.raises(TrackingError, match=f"port {taken} of 127.0.0.1 is in use") as caught:
        check_port(LOCAL, taken)
    offered = int(caught.value.hint.rsplit(" ", 1)[1])
    assert offered > taken
    check_port(LOCAL, offered)


def test_address_of_another_machine_is_refused() -> None:
    with pytest.raises(TrackingError, match="cannot be used"):
        check_port("192.0.2.1", 5000)  # reserved for documentation


def test_store_that_is_a_server_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:secret@runs.example.org")
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 0
    assert "https://runs.example.org" in result.output
    assert "secret" not in result.output


@pytest.mark.slow
def test_server_that_ends_by_itself_says_why(isolated_home: Path) -> None:
    with pytest.raises(TrackingError, match="ended by itself") as caught:
        serve("nosuchstore://x", LOCAL, port := free_port())
    assert caught.value.hint.endswith(f"ui-{port}.log")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_server_answers_and_stops_with_all_its_processes(store: Path, number: int) -> None:
    port = free_port()
    script = (
        "import signal, sys\n"
        # A process started in the background by a shell inherits that Ctrl-C is ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from hardy.cli.ui import command\n"
        "from hardy.core.errors import HardyError\n"
        "try:\n    command(sys.argv[1:], standalone_mode=False)\n"
        "except HardyError as error:\n    sys.exit(error.exit_status)\n"
    )
    words = [sys.executable, "-u", "-c", script, "--port", str(port)]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert server.stdout.readline().endswith(f"http://{LOCAL}:{port}\n")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{LOCAL}:{port}/health", timeout=10) as answer:
            assert answer.read() == b"OK"
        family = psutil.Process(server.pid).children(recursive=True)
        assert family
        os.kill(server.pid, number)
        status = server.wait(30)
    finally:
        server.terminate()
        server.communicate(timeout=120)
    assert status == (0 if number == signal.SIGINT else 143)
    deadline = time.monotonic() + 10
    while any(p.is_running() and p.status() != "zombie" for p in family):
        assert time.monotonic() < deadline, family
        time.sleep(0.1)
