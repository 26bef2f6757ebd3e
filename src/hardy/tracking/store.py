"""The store of runs: where it is, the first contact with it, and what its errors mean.

MLflow is imported inside the functions, so that asking where the store is costs nothing.
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from filelock import FileLock

from hardy.core.disk import is_full, way_out
from hardy.core.errors import TrackingError
from hardy.core.paths import home, state_dir
from hardy.tracking.moved import ARTIFACTS, EXPERIMENT_MARK, HOME_TAG, settle

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

_LOCK_SECONDS = 180
_PROBE_SECONDS = 10
_SQLITE = "sqlite:///"
_DATABASE_SERVERS = ("postgresql", "mysql", "mssql")


def tracking_uri() -> str:
    """Return the store's address: `MLFLOW_TRACKING_URI`, else `<home>/mlflow.db`.

    A relative SQLite path is relative to the current directory, as in MLflow, and made absolute.
    """
    stated = os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{home() / 'mlflow.db'}"
    database = local_database(stated)
    return stated if database is None else f"{_SQLITE}{database}{_query(stated)}"


def local_database(uri: str) -> Path | None:
    """Return the absolute path of a SQLite store's file; none for any other store."""
    if not uri.startswith(_SQLITE):
        return None
    path = uri.removeprefix(_SQLITE).partition("?")[0]
    return Path(path).absolute() if path and path != ":memory:" else None


def _query(uri: str) -> str:
    _, mark, options = uri.partition("?")
    return mark + options


def artifact_root(uri: str) -> str | None:
    """Return the absolute `file:` URI for artifacts; none where the store itself decides."""
    database = local_database(uri)
    if database is not None:
        return (database.parent / ARTIFACTS).as_uri()
    return (home() / "mlruns").as_uri() if uri.startswith(_DATABASE_SERVERS) else None


def is_absent(uri: str) -> bool:
    """Tell whether the store is a local file that nobody has made yet: it holds no run."""
    database = local_database(uri)
    return database is not None and not database.exists()


def connect() -> "MlflowClient":
    """Return a client of the store; the first contact makes the schema (3 to 13 s).

    Safe when several processes start on an empty store at once: one makes it, the others wait.

    Raises:
        TrackingError: If the store cannot be reached, read or made.
    """
    uri = tracking_uri()
    database = local_database(uri)
    with translated(uri), _first_contact(uri):
        _probe(uri)
        if database is not None and not database.exists():
            create_database(database)
        elif database is not None:
            settle(database)
        return _open(uri)


@contextmanager
def _first_contact(uri: str) -> Iterator[None]:
    """Let one process at a time make a store; one that is there needs no lock, nor a place for it.

    A database server may be empty, and no look tells.
    """
    database = local_database(uri)
    if uri.startswith(("http://", "https://")) or (database is not None and database.exists()):
        yield
        return
    with FileLock(state_dir() / "mlflow.lock", timeout=_LOCK_SECONDS):
        yield


def _open(uri: str) -> "MlflowClient":
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    client.search_experiments(max_results=1)
    return client


def _probe(uri: str) -> None:
    """Fail at once where MLflow would retry a hopeless store for minutes."""
    database = local_database(uri)
    if database is not None and database.exists():
        address = f"file:{quote(str(database))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=_PROBE_SECONDS)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    elif uri.startswith(("http://", "https://")):
        import requests

        with suppress(requests.exceptions.SSLError):  # MLflow has settings of its own for these
            requests.get(f"{uri.rstrip('/')}/health", timeout=_PROBE_SECONDS)


def create_database(database: Path) -> None:
    """Make an empty store's SQLite file: beside its place, then linked there, so never in part.

    Raises:
        TrackingError: If it cannot be written.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    uri = f"{_SQLITE}{database}"
    draft = database.with_name(f"{database.name}.creating")
    with translated(uri):
        database.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)  # of a process killed at this point
        SqlAlchemyStore(f"{_SQLITE}{draft}", artifact_root(uri)).engine.dispose()
        # `mlflow run` knows nothing of our lock and may have made the database meanwhile.
        with suppress(FileExistsError):
            database.hardlink_to(draft)
        draft.unlink()


def experiment_id(client: "MlflowClient", name: str) -> str:
    """Return the id of the experiment in use: `MLFLOW_EXPERIMENT_ID`, else the one of that name.

    It is made if absent, with an absolute artifact location, and marked as holding hardy's runs.

    Raises:
        TrackingError: If the experiment was deleted, or the store refuses.
    """
    uri = str(client.tracking_uri)
    with translated(uri):
        stated = os.environ.get("MLFLOW_EXPERIMENT_ID")
        experiment = client.get_experiment(stated) if stated else _named(client, name)
        if experiment.lifecycle_stage == "deleted":
            message = f"the experiment {experiment.name!r} of {public(uri)} was deleted"
            hint = f"Restore it: mlflow experiments restore -x {experiment.experiment_id}"
            raise TrackingError(message, hint=hint)
        if EXPERIMENT_MARK not in experiment.tags:
            client.set_experiment_tag(experiment.experiment_id, EXPERIMENT_MARK, "true")
        database = local_database(uri)
        if database is not None and HOME_TAG not in experiment.tags:
            client.set_experiment_tag(experiment.experiment_id, HOME_TAG, str(database.parent))
    return str(experiment.experiment_id)


def _named(client: "MlflowClient", name: str) -> "Experiment":
    from mlflow.exceptions import MlflowException

    root = artifact_root(str(client.tracking_uri))
    location = f"{root}/{name}" if root else None
    found = client.get_experiment_by_name(name)
    if found is None:
        # Another process may make it first; a true failure shows in the look-up that follows.
        with suppress(MlflowException):
            client.create_experiment(name, artifact_location=location)
        found = client.get_experiment_by_name(name)
    if found is None:
        message = f"the experiment {name!r} could not be made in {public(client.tracking_uri)}"
        raise TrackingError(message, hint="Check that you may write to that store.")
    return found


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Turn whatever MLflow and what lies below it raise into a TrackingError with a hint."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        text = "the disk is full" if is_full(error) else str(error).strip() or type(error).__name__
        if "readonly database" in text:
            text = "readonly database"  # SQLAlchemy begins with other words
        message = f"MLflow store {public(uri)}: {text.splitlines()[0]}"
        raise TrackingError(message, hint=_hint(uri, text, error)) from error


def store_folder(uri: str) -> Path | None:
    """Return the folder of a local store, where its artifacts lie too; None of a server."""
    database = local_database(uri)
    return database.parent if database is not None else None


def public(uri: str) -> str:
    """Return an address without the user and password that it may hold."""
    return re.sub(r"^([\w+.-]+://)(?!/).*@", r"\1", uri)


def _hint(uri: str, text: str, error: Exception) -> str:
    if is_full(error):
        return way_out(store_folder(uri) or home())
    if "not found" in text or "Failed to download artifacts" in text:
        return "Check the run's id and the artifact's path: `hardy ui` shows what there is."
    if "mlflow db upgrade" in text:
        return f"Back the database up, then run: mlflow db upgrade {public(uri)}"
    if "readonly database" in text:
        return "The store is read-only here: set HARDY_HOME to a folder that you may write to."
    if "database is locked" in text:
        return "Too many processes write to one SQLite file; run a server with `hardy ui`."
    if "mlflow.lock" in text:
        return "Another process is making the store; wait for it, or end it, and try again."
    database = local_database(uri)
    if database is not None:
        return f"Check that {database} is a sound SQLite file in a folder that you may write to."
    return "Check that the server runs and that MLFLOW_TRACKING_URI names it."
