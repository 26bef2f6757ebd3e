"""Finds runs in a local store by reading its SQLite file, without loading MLflow.

Loading MLflow takes seconds, and a plan asks for no more than tags and metrics of finished runs.
The file is opened read-only. What it does not understand (another layout of the tables, a locked
or damaged file) it leaves to MLflow, so that an answer never depends on which of the two gave it.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hardy.plan.tracker import FINGERPRINT_TAG, Finder, PastRun, Status, best_of
from hardy.tracking.heartbeat import HEARTBEAT_TAG, is_live
from hardy.tracking.moved import EXPERIMENT_MARK

_CHUNK = 500
_NEWEST = 100
_RUNS = """
SELECT r.run_uuid, r.name, r.status, t.value FROM tags t
JOIN runs r ON r.run_uuid = t.run_uuid AND r.lifecycle_stage = 'active'
JOIN experiments e ON e.experiment_id = r.experiment_id AND e.lifecycle_stage = 'active'
JOIN experiment_tags m ON m.experiment_id = e.experiment_id AND m.key = ? AND m.value = 'true'
WHERE t.key = ? AND t.value IN ({marks})
ORDER BY r.start_time DESC, r.run_uuid
"""


class SqliteFinder:
    """Answers as MLflow's tracker does, from the file itself.

    Args:
        database: The store's file; an absent one holds no run.
        otherwise: Gives the finder to ask where the file is not as expected.
    """

    def __init__(self, database: Path, otherwise: Callable[[], Finder]) -> None:
        self._database = database
        self._otherwise = otherwise

    def find_many(self, fingerprints: Iterable[str]) -> Mapping[str, PastRun]:
        """Return, by fingerprint, the newest finished run, else a busy one, else the newest."""
        wanted = sorted(set(fingerprints))
        if not self._database.exists():
            return {}
        try:
            with closing(self._open()) as connection:
                return _find_many(connection, wanted)
        except sqlite3.Error:
            return self._otherwise().find_many(wanted)

    def mean(self, metric: str, tags: Mapping[str, str]) -> tuple[float, int] | None:
        """Return a metric's mean over the newest finished runs with all the tags, and how many."""
        if not self._database.exists():
            return None
        try:
            with closing(self._open()) as connection:
                values = list(_values(connection, metric, tags))
        except sqlite3.Error:
            return self._otherwise().mean(metric, tags)
        return (sum(values) / len(values), len(values)) if values else None

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{quote(str(self._database))}?mode=ro", uri=True, timeout=5)


def _find_many(connection: sqlite3.Connection, wanted: Sequence[str]) -> dict[str, PastRun]:
    runs: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for run_id, name, status, mark in _runs(connection, FINGERPRINT_TAG, wanted):
        runs[mark].append((run_id, name, status))
    best = {mark: _best(connection, rows) for mark, rows in runs.items()}
    return {mark: run for mark, run in best.items() if run is not None}


def _values(
    connection: sqlite3.Connection, metric: str, tags: Mapping[str, str]
) -> Iterator[float]:
    (key, value), *others = tags.items()
    finished = [
        run_id
        for run_id, _, status, _ in _runs(connection, key, [value])
        if status == Status.FINISHED and _has(connection, run_id, others)
    ]
    for run_id in finished[:_NEWEST]:
        found = _metrics(connection, run_id).get(metric)
        if found is not None:
            yield found


def _runs(
    connection: sqlite3.Connection, key: str, values: Sequence[str]
) -> Iterator[tuple[str, str, str, str]]:
    """Yield id, name, status and tag of the runs with one of the values, the newest first."""
    for start in range(0, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK]
        query = _RUNS.format(marks=", ".join("?" * len(chunk)))
        yield from connection.execute(query, (EXPERIMENT_MARK, key, *chunk))


def _best(connection: sqlite3.Connection, rows: Sequence[tuple[str, str, str]]) -> PastRun | None:
    finished = [row for row in rows if row[2] == Status.FINISHED]
    return best_of([_past(connection, *row) for row in finished[:1] or rows[:_NEWEST]])


def _past(connection: sqlite3.Connection, run_id: str, name: str, status: str) -> PastRun:
    tags = _tags(connection, run_id)
    return PastRun(
        run_id=run_id,
        name=name,
        finished=status == Status.FINISHED,
        busy=status == "RUNNING" and is_live(tags.get(HEARTBEAT_TAG)),
        metrics=_metrics(connection, run_id),
        tags=tags,
    )


def _tags(connection: sqlite3.Connection, run_id: str) -> dict[str, str]:
    query = "SELECT key, value FROM tags WHERE run_uuid = ?"
    return dict(connection.execute(query, (run_id,)).fetchall())


def _has(connection: sqlite3.Connection, run_id: str, tags: Sequence[tuple[str, str]]) -> bool:
    held: dict[str, Any] = _tags(connection, run_id) if tags else {}
    return all(held.get(key) == value for key, value in tags)


def _metrics(connection: sqlite3.Connection, run_id: str) -> dict[str, float]:
    query = "SELECT key, value FROM latest_metrics WHERE run_uuid = ?"
    return dict(connection.execute(query, (run_id,)).fetchall())
