"""What every test stands on: an empty home, no MLflow settings, a seed; a store on demand."""

import os
import random
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers share the cores; set before torch is imported.
    os.environ["OMP_NUM_THREADS"] = "1"

# Set when `hardy.tracking` is imported, so they stay as they are.
_KEPT = frozenset(
    {"MLFLOW_DISABLE_TELEMETRY", "MLFLOW_LOGGING_LEVEL", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"}
)


def pytest_configure(config: pytest.Config) -> None:
    """Let pass what MLflow 3.17 does to SQLAlchemy 2.1; nothing of ours can mend it."""
    config.addinivalue_line(
        "filterwarnings",
        "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning",
    )


@pytest.fixture(autouse=True)
def isolated_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test an empty `HARDY_HOME` and none of the caller's MLflow settings."""
    # MLflow's setters write to the environment directly: go back to what was there.
    for name in [n for n in os.environ if n.startswith("MLFLOW_") and n not in _KEPT]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("COLUMNS", raising=False)  # tables are as wide
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_RUN_ID"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HARDY_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Seed the global generators of the libraries that are loaded."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def store_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one empty MLflow database a test session, whatever the number of workers."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    template = shared / "store-template" / "mlflow.db"
    with FileLock(shared / "store-template.lock"):
        if not template.exists():
            from hardy.tracking.store import create_database

            create_database(template)
    return template


@pytest.fixture
def store(store_template: Path, isolated_home: Path) -> Path:
    """Put an empty MLflow store into the test's home, without the seconds of a first contact."""
    database = isolated_home / "mlflow.db"
    shutil.copyfile(store_template, database)
    with closing(sqlite3.connect(database)) as connection, connection:
        root = (isolated_home / "mlruns").as_uri()
        connection.execute(
            "UPDATE experiments SET artifact_location = ? || '/' || experiment_id", (root,)
        )
    return database
