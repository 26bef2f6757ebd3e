"""The real command line in real processes, on a home of the test's own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parent.parent.parent
QUICK = (
    "data.shift.kind=contrast",
    "method.views.count=2",
    "explain.gradcam.count=0",
    "explain.view_grids=0",
    "register=null",
)
Hardy = Callable[..., subprocess.CompletedProcess[str]]


def flags(*overrides: str) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


def left_of(process: subprocess.Popen[str], seconds: float = 30.0) -> list[str]:
    """Return which processes of a session that has lost its first are still there after a while."""
    deadline = time.monotonic() + seconds
    while (found := _of_session(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _of_session(number: int) -> list[str]:
    found = []
    for each in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(each.pid) == number and each.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(each.cmdline()))
    return found


@pytest.fixture
def environment(isolated_home: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PYTEST_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"HARDY_HOME": str(isolated_home), "PATH": path, "COLUMNS": "100"}


@pytest.fixture
def hardy(environment: dict[str, str]) -> Hardy:
    def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "hardy", *arguments],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Hardy:
    """Run the same command line in this process, for steps that need no process of their own.

    A process takes seconds to load torch and MLflow.
    """
    from hardy.cli.main import run as command

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")

    def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        code = command(list(arguments))
        told = capsys.readouterr()
        assert code == status, told.out + told.err
        return subprocess.CompletedProcess(arguments, code, told.out, told.err)

    return run
