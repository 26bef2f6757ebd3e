"""A registered model behind MLflow's own server: started, asked, ended."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post(address: str, body: dict) -> tuple[int, dict]:
    request = urllib.request.Request(
        address, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@contextlib.contextmanager
def serving(uri: str, tracking_uri: str, folder: Path) -> Iterator[str]:
    """Serve a version on this machine; yield the address that takes images.

    Args:
        uri: The version's.
        tracking_uri: The store's.
        folder: Where the server runs and its log lies.
    """
    port, log = free_port(), folder / "server.log"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": tracking_uri,
        # MLflow starts `uvicorn` by name, which an activated environment would find.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with log.open("wb") as opened:
        process = subprocess.Popen(
            [*command, "-m", uri, "--host", "127.0.0.1", "--port", str(port)],
            stdout=opened,
            stderr=opened,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        try:
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                    break
                except OSError:
                    assert process.poll() is None, log.read_text()
                    time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/invocations"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)
