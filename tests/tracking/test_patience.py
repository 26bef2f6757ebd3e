import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from hardy.core.errors import SpecError, TrackingError
from hardy.plan.tracker import Status
from hardy.tracking import mlflow_run, patience
from hardy.tracking.mlflow_tracker import MlflowTracker
from hardy.tracking.patience import WAIT, Patience


class Health(BaseHTTPRequestHandler):
    """Says that all is well."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


class Server:
    """A server on a port of its own that can go away and come back."""

    def __init__(self):
        self._server = None
        self.port = 0
        self.start()

    @property
    def uri(self):
        return f"http://ann:secret@127.0.0.1:{self.port}"

    def start(self):
        self._server = HTTPServer(("127.0.0.1", self.port), Health)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        if self._server:
            self._server.shutdown()
            self._server.server_close()
        self._server = None

    def ask(self):
        """Ask it as MLflow would, whose errors hide what was below them."""
        try:
            requests.get(f"http://127.0.0.1:{self.port}/", timeout=5)
        except requests.exceptions.RequestException as error:
            message = f"API request failed with exception {error}"
            raise MlflowException(message)  # noqa: B904 - as MLflow does
        return "found"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(patience, "_PAUSE_SECONDS", 0.02)
    found = Server()
    yield found
    found.stop()


def test_a_call_waits_for_the_server_and_says_so_once(server, capsys):
    patient = Patience(server.uri)
    assert patient(server.ask) == "found"
    assert capsys.readouterr().err == ""
    server.stop()
    back = threading.Timer(0.3, server.start)
    back.start()
    assert patient(server.ask) == "found"
    back.join()
    first, second = capsys.readouterr().err.splitlines()
    where = f"the server at http://127.0.0.1:{server.port}"
    refused = rf"{where} does not answer \(connection refused\); trying again until \d\d:\d\d"
    assert re.fullmatch(refused, first)
    assert second == f"{where} answers again"


def test_the_wait_ends_with_an_error_and_a_way_out(server, monkeypatch):
    monkeypatch.setenv(WAIT, "0.005")  # 0.3 s
    patient = Patience(server.uri)
    server.stop()
    with pytest.raises(TrackingError, match=r"has not answered since \d\d:\d\d") as caught:
        patient(server.ask)
    assert WAIT in caught.value.hint
    with pytest.raises(TrackingError, match="has not answered"):  # and at once from now on
        patient.check()
    server.start()
    assert patient(server.ask) == "found"
    patient.check()


def test_a_process_that_is_told_to_stop_waits_no_longer(server, capsys):
    patient = Patience(server.uri)
    server.stop()
    assert patient.once(server.ask) == (False, None)
    patient.hurry()
    with pytest.raises(TrackingError):
        patient(server.ask)


def test_other_errors_pass(server):
    def refuse():
        message = "there is no run of that id"
        raise MlflowException(message)

    with pytest.raises(MlflowException, match="no run"):
        Patience(server.uri)(refuse)
    with pytest.raises(ConnectionError):  # no server is behind it
        Patience("sqlite:////tmp/mlflow.db")(lambda: (_ for _ in ()).throw(ConnectionError()))


def test_an_error_without_a_cause_is_an_outage_where_the_server_is_not_well(server):
    def fail():
        message = "The following failures occurred while downloading one or more artifacts"
        raise MlflowException(message)

    server.stop()
    assert Patience(server.uri).once(fail) == (False, None)


def test_a_server_that_takes_a_call_and_says_nothing_is_noticed(server, monkeypatch, capsys):
    monkeypatch.setattr(patience, "_SLOW_SECONDS", 0.05)
    patient = Patience(server.uri)
    patient(partial(time.sleep, 0.3))  # slow, and well
    assert not patient.away
    server.stop()
    seen = threading.Event()

    def hang():
        seen.away = seen.wait(0.5) or patient.away
        server.start()

    patient(hang)
    assert seen.away
    assert "no answer" in capsys.readouterr().err


def test_nobody_waits_for_a_call_that_such_a_server_holds(server, monkeypatch):
    monkeypatch.setattr(patience, "_SLOW_SECONDS", 0.05)
    patient = Patience(server.uri)
    assert patient.meanwhile(server.ask) is True
    with pytest.raises(KeyError):
        patient.meanwhile({}.popitem)
    server.stop()
    held = threading.Event()
    begun = time.monotonic()
    assert patient.meanwhile(partial(held.wait, 20)) is False
    assert time.monotonic() - begun < 5
    server.start()
    held.set()  # the call comes to its end, and with it the outage
    until = time.monotonic() + 5
    while patient.away and time.monotonic() < until:
        time.sleep(0.02)
    assert not patient.away


def test_streams_are_sent_from_their_beginning(server, capsys):
    sent = []

    def send(run_id, stream):
        content = stream.read()
        server.ask()
        sent.append((run_id, content))

    client = Patience(server.uri).around(SimpleNamespace(send=send, tracking_uri="u"))
    server.stop()
    threading.Timer(0.2, server.start).start()
    client.send("run", io.BytesIO(b"whole"))
    assert sent == [("run", b"whole")]
    assert client.tracking_uri == "u"


@pytest.mark.parametrize("stated", ["soon", "-1", "nan", "inf"])
def test_a_wait_that_is_no_number_of_minutes_is_refused(stated, monkeypatch):
    monkeypatch.setenv(WAIT, stated)
    with pytest.raises(SpecError, match=WAIT):
        Patience("http://127.0.0.1:1")


def test_a_run_goes_on_while_its_server_is_away(store, server, monkeypatch, capsys):
    """The store is a local one here, and answers as long as the server does."""
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    monkeypatch.setattr(mlflow_run, "_FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(mlflow_run, "_BEAT_SECONDS", 0.05)
    monkeypatch.setattr(mlflow_run.MlflowRun, "_uri", server.uri, raising=False)
    log_batch = MlflowClient.log_batch

    def through(client, *given, **named):
        server.ask()
        return log_batch(client, *given, **named)

    monkeypatch.setattr(MlflowClient, "log_batch", through)
    tracker = MlflowTracker()
    tracker.__dict__["_patience"] = Patience(server.uri)
    run = tracker.start("unit", tags={})
    server.stop()
    begun = time.monotonic()
    for step in range(2000):
        run.metrics({"loss": float(step)}, step)
    assert run.flush(wait=False) is False
    assert time.monotonic() - begun < 2
    assert "does not answer" in capsys.readouterr().err
    server.start()
    until = time.monotonic() + 10
    while "answers again" not in capsys.readouterr().err and time.monotonic() < until:
        time.sleep(0.05)  # the heartbeat notices, and writes
    run.end(Status.FINISHED)
    client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{store}")
    assert len(client.get_metric_history(run.run_id, "loss")) == 2000
    assert client.get_run(run.run_id).info.status == "FINISHED"


def test_a_run_goes_on_while_its_server_holds_a_call(store, server, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    monkeypatch.setattr(patience, "_SLOW_SECONDS", 0.05)
    monkeypatch.setattr(mlflow_run, "_FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(mlflow_run, "_BEAT_SECONDS", 60.0)  # the run's own thread writes
    held, log_batch = threading.Event(), MlflowClient.log_batch

    def through(client, *given, **named):
        assert held.wait(20)
        return log_batch(client, *given, **named)

    tracker = MlflowTracker()
    tracker.__dict__["_patience"] = Patience(server.uri)
    run = tracker.start("unit", tags={})
    monkeypatch.setattr(MlflowClient, "log_batch", through)
    server.stop()
    begun = time.monotonic()
    for step in range(3):
        run.metrics({"loss": float(step)}, step)
    assert time.monotonic() - begun < 5
    server.start()
    held.set()
    run.end(Status.FINISHED)
    client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{store}")
    assert len(client.get_metric_history(run.run_id, "loss")) == 3


@pytest.mark.slow
def test_a_real_server_is_killed_and_started_again(
    store_template: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    shutil.copyfile(store_template, tmp_path / "server.db")
    port = _free_port()
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    process = _started(tmp_path, port)
    try:
        run = MlflowTracker().start("unit", tags={})
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        begun = time.monotonic()
        for step in range(1200):
            run.metrics({"loss": float(step)}, step)
        assert time.monotonic() - begun < 5
        assert re.search(r"does not answer .* until \d\d:\d\d", capsys.readouterr().err)
        again = threading.Thread(target=lambda: again.__dict__.update(of=_started(tmp_path, port)))
        again.start()
        run.text("kept", "a.txt")  # waits
        again.join()
        process = again.of
        run.end(Status.FINISHED)
        assert "answers again" in capsys.readouterr().err
        client = MlflowClient(uri)
        record = client.get_run(run.run_id)
        assert record.info.status == "FINISHED"
        assert len(client.get_metric_history(run.run_id, "loss")) == 1200
        assert [each.path for each in client.list_artifacts(run.run_id)] == [
            "a.txt",
            "environment.json",
        ]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    found = HTTPServer(("127.0.0.1", 0), Health)
    found.server_close()
    return int(found.server_port)


def _started(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment.pop("MLFLOW_TRACKING_URI")
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
            return process
        time.sleep(0.2)
    raise AssertionError((folder / "server.log").read_text())
