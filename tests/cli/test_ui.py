import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from hardy.cli.main import run
from hardy.cli.ui import check_answers, check_port, command, serve
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


class Answers(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that answers as `Answers.status` says; return its address without a password."""
    monkeypatch.setenv("no_proxy", "*")
    with HTTPServer((LOCAL, 0), Answers) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:secret@{LOCAL}:{http.server_port}")
        yield f"http://{LOCAL}:{http.server_port}"
        http.shutdown()


@pytest.mark.parametrize("status", [200, 401, 404])
def test_store_that_is_a_server_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, server: str, status: int
) -> None:
    monkeypatch.setattr(Answers, "status", status)
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 0
    assert "secret" not in result.output
    assert result.output == f"The store is a server already: open {server}\n"


def test_a_server_that_is_away_behind_its_gateway_is_an_error(
    monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.setattr(Answers, "status", 502)
    with pytest.raises(TrackingError, match=f"{server} does not answer: it says 502"):
        check_answers(f"{server}/")


@pytest.mark.parametrize(
    "address", ["http://ann:secret@127.0.0.1:{port}", "http://[oops", "http://"]
)
def test_a_dead_server_fails_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address.format(port=free_port()))
    assert run(["ui"]) == 1
    told = capsys.readouterr()
    assert not told.out
    assert "does not answer: " in told.err
    assert "hint: Start it, or mend MLFLOW_TRACKING_URI" in told.err
    assert "secret" not in told.err


def test_a_server_that_says_nothing_is_waited_for_a_while(
    monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr("hardy.cli.ui._ANSWER_SECONDS", 0.1)
    with pytest.raises(TrackingError, match="does not answer: "):
        check_answers(f"http://{LOCAL}:{taken}")


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
