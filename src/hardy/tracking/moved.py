"""A local store that was copied or moved: its runs' files are those beside it, not the old ones.

MLflow's database names each file's folder in full. Of a home that lies elsewhere now, it would go
on to read and to write in the old one.
"""

import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from hardy.core.errors import TrackingError
from hardy.tracking.heartbeat import HEARTBEAT_TAG, is_live

EXPERIMENT_MARK = "hardy.runs"
"""Marks the experiments that hold hardy's runs, so that a search looks into them alone."""
HOME_TAG = "hardy.home"
"""Of such an experiment: the folder of the database that it was made in."""

ARTIFACTS = "mlruns"
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_HOMES = """
    SELECT e.name, e.artifact_location, home.value FROM experiments e
    JOIN experiment_tags m ON m.experiment_id = e.experiment_id AND m.key = ? AND m.value = 'true'
    LEFT JOIN experiment_tags home ON home.experiment_id = e.experiment_id AND home.key = ?
"""
_BEATS = """
    SELECT tags.value FROM tags JOIN runs ON runs.run_uuid = tags.run_uuid
    WHERE tags.key = ? AND runs.status = 'RUNNING' AND runs.lifecycle_stage = 'active'
"""


def settle(database: Path) -> None:
    """Make a store that was copied or moved name the files beside it, all of them or none.

    One that cannot be written stays as it is: `beside` finds its files.

    Raises:
        TrackingError: If the files were not copied along, or another process is writing a run: the
            folder may be mounted at two places.
    """
    here = database.parent
    for old in _homes(database) - {here}:
        if _is_same(old, here):
            continue
        if not (here / ARTIFACTS).is_dir():
            message = f"{database} was made in {old}, and its runs' files are not beside it"
            hint = f"Copy them too: cp -a {old / ARTIFACTS} {here / ARTIFACTS}"
            raise TrackingError(message, hint=hint)
        if _is_written(database):
            message = f"{database} was made in {old}, and a process is writing a run there"
            raise TrackingError(message, hint="Wait until it has ended, for a minute at least.")
        with suppress(sqlite3.OperationalError):  # it is read-only, or busy: the next one will
            _rename(database, old, here)
            line = f"note: this store was made in {old}; its runs' files are in {here} now"
            print(line, file=sys.stderr)


def beside(uri: str, database: Path | None) -> str:
    """Return where a file of the store is: the one beside it where the stated place is gone.

    Args:
        uri: As the store states it.
        database: The store's file; None for a server.
    """
    if database is None or not uri.startswith("file:"):
        return uri
    stated = Path(url2pathname(urlsplit(uri).path))
    if stated.exists() or ARTIFACTS not in stated.parts:
        return uri
    depth = len(stated.parts) - stated.parts[::-1].index(ARTIFACTS)
    return database.parent.joinpath(ARTIFACTS, *stated.parts[depth:]).as_uri()


def _homes(database: Path) -> set[Path]:
    """Return where a store's experiments were made; none where it has none, or other tables."""
    address = f"file:{quote(str(database))}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=10)) as store:
            rows = store.execute(_HOMES, (EXPERIMENT_MARK, HOME_TAG)).fetchall()
    except sqlite3.Error:
        return set()  # MLflow says what is wrong with it
    return {home for row in rows if (home := _home(*row)) is not None}


def _is_written(database: Path) -> bool:
    """Tell whether a run of the store has the heartbeat of a process that lives."""
    address = f"file:{quote(str(database))}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=10)) as store:
            return any(is_live(beat) for (beat,) in store.execute(_BEATS, (HEARTBEAT_TAG,)))
    except sqlite3.Error:
        return False  # MLflow says what is wrong with it


def _home(name: str, location: str, tagged: str | None) -> Path | None:
    """Return where an experiment was made, as its tag says, else where hardy puts its files."""
    if tagged:
        return Path(tagged)
    place = Path(url2pathname(urlsplit(location).path)) if location.startswith("file:") else None
    if place is None or place.parts[-2:] != (ARTIFACTS, name):
        return None
    return place.parent.parent


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _rename(database: Path, old: Path, here: Path) -> None:
    before, after = (f"{(home / ARTIFACTS).as_uri()}/" for home in (old, here))
    with closing(sqlite3.connect(database, timeout=10)) as store, store:
        for table, column in _PLACES:
            store.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 - our words
                f"WHERE substr({column}, 1, ?) = ?",
                (after, len(before) + 1, len(before), before),
            )
        store.execute(
            "UPDATE experiment_tags SET value = ? WHERE key = ? AND value = ?",
            (str(here), HOME_TAG, str(old)),
        )
