"""The last runs: from a local store without MLflow, for verbs that must answer at once.

Of local stores only SQLite files are read, and only read; what MLflow's tables of another version
lack is left out. Any other store is asked through MLflow.
"""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from hardy.tracking.heartbeat import HEARTBEAT_TAG, is_lost
from hardy.tracking.moved import EXPERIMENT_MARK
from hardy.tracking.store import (
    connect,
    is_absent,
    local_database,
    tracking_uri,
    translated,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

STOPPED = "STOPPED"

_SECONDS = 1.0
_LAST = """
    SELECT spec.value, runs.run_uuid, runs.status, runs.start_time, beat.value
    FROM runs
    JOIN tags AS spec ON spec.run_uuid = runs.run_uuid AND spec.key = 'hardy.spec'
    LEFT JOIN tags AS above
        ON above.run_uuid = runs.run_uuid AND above.key = 'mlflow.parentRunId'
    LEFT JOIN tags AS beat ON beat.run_uuid = runs.run_uuid AND beat.key = ?
    LEFT JOIN tags AS aside ON aside.run_uuid = runs.run_uuid AND aside.key = 'hardy.aside'
    WHERE runs.lifecycle_stage = 'active' AND above.key IS NULL AND aside.key IS NULL
    ORDER BY runs.start_time ASC
"""
_ELSEWHERE = """
    SELECT runs.name, runs.run_uuid, runs.status, runs.start_time, beat.value
    FROM runs
    LEFT JOIN tags AS beat ON beat.run_uuid = runs.run_uuid AND beat.key = ?
    JOIN tags AS role ON role.run_uuid = runs.run_uuid AND role.key = 'hardy.role'
    LEFT JOIN tags AS spec ON spec.run_uuid = runs.run_uuid AND spec.key = 'hardy.spec'
    LEFT JOIN tags AS above
        ON above.run_uuid = runs.run_uuid AND above.key = 'mlflow.parentRunId'
    LEFT JOIN tags AS aside ON aside.run_uuid = runs.run_uuid AND aside.key = 'hardy.aside'
    WHERE runs.lifecycle_stage = 'active'
        AND above.key IS NULL AND aside.key IS NULL AND spec.key IS NULL
    ORDER BY runs.start_time ASC
"""
_RECENT = """
    SELECT runs.run_uuid, runs.name, runs.status, beat.value FROM runs
    JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = 'hardy.role'
    LEFT JOIN tags AS beat ON beat.run_uuid = runs.run_uuid AND beat.key = ?
    WHERE runs.lifecycle_stage = 'active' AND runs.run_uuid LIKE ? || '%'
    ORDER BY runs.start_time DESC LIMIT ?
"""
_MOST = 1000
_NAMED = "tags.`hardy.spec` != ''"
_UNNAMED = "tags.`hardy.role` != '' AND tags.`hardy.spec` IS NULL"
_ALONE = "tags.`hardy.aside` IS NULL AND tags.`mlflow.parentRunId` IS NULL"
_METRICS = "SELECT key, value FROM latest_metrics WHERE run_uuid = ? AND is_nan = 0"


@dataclass(frozen=True)
class LastRun:
    """The last run of a named experiment.

    Attributes:
        run_id: The store's id.
        status: FINISHED, FAILED, KILLED, RUNNING, or STOPPED: its process is not heard of any more.
        started: Milliseconds since 1970.
        metrics: Last value of each metric.
    """

    run_id: str
    status: str
    started: int
    metrics: Mapping[str, float] = field(default_factory=dict)


def local_store() -> Path | None:
    """Return the store's SQLite file if there is one here; None for a server or no store yet."""
    database = local_database(tracking_uri())
    return database if database is not None and database.is_file() else None


def last_runs(database: Path) -> dict[str, LastRun]:
    """Return the last run of each named experiment; empty if the file cannot be read as a store."""
    return _last(database, _LAST)


def elsewhere(database: Path) -> dict[str, LastRun]:
    """Return the last runs of files that are not below experiments/, by the names in them."""
    return _last(database, _ELSEWHERE)


def _last(database: Path, query: str) -> dict[str, LastRun]:
    try:
        with closing(_open(database)) as store:
            last = {
                name: (run, _status(status, beat), started)
                for name, run, status, started, beat in store.execute(query, (HEARTBEAT_TAG,))
            }
            return {
                name: LastRun(run, status, started, dict(store.execute(_METRICS, (run,))))
                for name, (run, status, started) in last.items()
            }
    except sqlite3.Error:
        return {}  # a listing goes on; verbs that need the store say what is wrong with it


def remote_last_runs() -> dict[str, LastRun]:
    """Return the last run of each named experiment among the newest 1,000 runs.

    Raises:
        TrackingError: If the store cannot be reached.
    """
    return _remote_last(_NAMED, lambda run: str(run.data.tags["hardy.spec"]))


def remote_elsewhere() -> dict[str, LastRun]:
    """Return what `elsewhere` does, of the newest 1,000 such runs.

    Raises:
        TrackingError: If the store cannot be reached.
    """
    return _remote_last(_UNNAMED, lambda run: str(run.info.run_name))


def _remote_last(condition: str, name: "Callable[[Run], str]") -> dict[str, LastRun]:
    from mlflow.entities import ViewType

    if is_absent(tracking_uri()):
        return {}
    client = connect()
    with translated(str(client.tracking_uri)):
        marked = client.search_experiments(
            view_type=ViewType.ACTIVE_ONLY, filter_string=f"tags.`{EXPERIMENT_MARK}` = 'true'"
        )
        runs = client.search_runs(
            [experiment.experiment_id for experiment in marked],
            f"{condition} AND {_ALONE}",
            max_results=_MOST,
            order_by=["attributes.start_time DESC"],
        )
    found: dict[str, LastRun] = {}
    for run in reversed(runs):
        info = run.info
        status = _status(str(info.status), run.data.tags.get(HEARTBEAT_TAG))
        last = LastRun(str(info.run_id), status, info.start_time, run.data.metrics)
        found[name(run)] = last
    return found


def recent_runs(database: Path, beginning: str, count: int) -> list[tuple[str, str, str]]:
    """Return id, name and status of the newest runs whose ids begin so."""
    try:
        with closing(_open(database)) as store:
            found = store.execute(_RECENT, (HEARTBEAT_TAG, beginning, count))
            return [(run, name, _status(status, beat)) for run, name, status, beat in found]
    except sqlite3.Error:
        return []


def _status(status: str, heartbeat: str | None) -> str:
    return STOPPED if status == "RUNNING" and is_lost(heartbeat) else status


def _open(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=_SECONDS)
