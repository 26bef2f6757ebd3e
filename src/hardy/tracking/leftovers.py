"""What processes that died without a word left: runs, models and files that nobody ends.

`hardy run` and `resume` clean up after the processes of this machine that are dead for a minute;
`hardy doctor` lists what there is, and what other machines may have left, of which only a person
can know.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from hardy.core.errors import TrackingError
from hardy.core.files import is_abandoned
from hardy.core.paths import home
from hardy.plan.tracker import FAILURE_TAG, Status
from hardy.tracking.heartbeat import FRESH_SECONDS, HEARTBEAT_TAG, Beat, read
from hardy.tracking.moved import EXPERIMENT_MARK
from hardy.tracking.store import (
    connect,
    is_absent,
    local_database,
    tracking_uri,
    translated,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

# A process that was not heard of for so long is no longer at it; a slow server may take minutes.
_SILENT_SECONDS = 3600.0
_PAGE = 1000
_DRAFTS = (
    "checkpoints/.*.tmp",
    "fitted/*/.*.tmp",
    "fitted/*/*/.*.tmp",
    "cache/*/.*.tmp",
)
_OPEN = """
    SELECT 1 FROM runs WHERE status = 'RUNNING' AND lifecycle_stage = 'active'
    UNION ALL
    SELECT 1 FROM logged_models WHERE status = 1 AND lifecycle_stage = 'active'
"""


@dataclass(frozen=True)
class Leftover:
    """A thing that was left.

    Attributes:
        line: What it is, whose it was.
        done: What `clean` does about it.
        clean: Ends or deletes it.
        sure: Whether its process is known to be gone.
    """

    line: str
    done: str
    clean: Callable[[], None]
    sure: bool


def leftovers() -> list[Leftover]:
    """Return all that seems to be left, files first.

    Raises:
        TrackingError: If the store cannot be reached.
    """
    found = list(_files())
    if not _nothing_is_open():
        client = connect()
        with translated(str(client.tracking_uri)):
            marked = client.search_experiments(
                filter_string=f"tags.`{EXPERIMENT_MARK}` = 'true'", max_results=_PAGE
            )
            ids = [experiment.experiment_id for experiment in marked]
            found += chain(_runs(client, ids), _models(client, ids)) if ids else ()
    return found


def clean(found: list[Leftover]) -> Iterator[str]:
    """End or delete what was left; yield a line for each.

    Raises:
        TrackingError: If the store or the disk refuses.
    """
    for each in found:
        try:
            with translated(tracking_uri()):
                each.clean()
        except TrackingError as error:
            error.hint = "Nothing else was changed; `hardy doctor` lists what is left."
            raise
        yield f"{each.line}: {each.done}"


def tidy() -> Iterator[str]:
    """Clean up after this machine's processes that are known to be gone; yield a line for each.

    Raises:
        TrackingError: If the store cannot be reached, or refuses.
    """
    yield from clean([each for each in leftovers() if each.sure])


def _nothing_is_open() -> bool:
    """Tell whether a local store has nothing that could be left, without loading MLflow."""
    database = local_database(tracking_uri())
    if database is None or is_absent(tracking_uri()):
        return database is not None
    address = f"file:{quote(str(database))}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=1)) as store:
            return store.execute(_OPEN).fetchone() is None
    except sqlite3.Error:
        return False  # MLflow says what is wrong with it


def _files() -> Iterator[Leftover]:
    state = home() / ".hardy"
    for path in chain.from_iterable(sorted(state.glob(pattern)) for pattern in _DRAFTS):
        if is_abandoned(path):
            line = f"file {path.relative_to(home())}, {_size(path):,} bytes, was never completed"
            yield Leftover(line, "deleted", partial(_delete, path), sure=True)


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        message = f"{path} cannot be deleted: {error.strerror or error}"
        raise TrackingError(message) from error


def _runs(client: "MlflowClient", experiments: list[str]) -> Iterator[Leftover]:
    running = client.search_runs(experiments, "attributes.status = 'RUNNING'", max_results=_PAGE)
    for run in running:
        beat = read(run.data.tags.get(HEARTBEAT_TAG)) or _unheard(run.info.start_time)
        if why := _why(beat):
            line = f"run {run.info.run_id} ({run.info.run_name}) is RUNNING, but {why}"
            end = partial(_end_run, client, str(run.info.run_id), beat, why)
            yield Leftover(line, "ended as KILLED", end, sure=_is_sure(beat))


def _models(client: "MlflowClient", experiments: list[str]) -> Iterator[Leftover]:
    from mlflow.entities import LoggedModelStatus

    # MLflow's databases keep a status as a number, and find none by its name.
    for model in _all_models(client, experiments):
        if model.status != LoggedModelStatus.PENDING:
            continue
        beat = read(model.tags.get(HEARTBEAT_TAG)) or _unheard(model.creation_timestamp)
        if why := _why(beat):
            line = f"model {model.model_id} of run {model.source_run_id} is PENDING, but {why}"
            delete = partial(client.delete_logged_model, model.model_id)
            yield Leftover(line, "deleted", delete, sure=_is_sure(beat))


def _all_models(client: "MlflowClient", experiments: list[str]) -> "Iterator[LoggedModel]":
    page = client.search_logged_models(experiments, max_results=_PAGE)
    yield from page
    while page.token:
        page = client.search_logged_models(experiments, max_results=_PAGE, page_token=page.token)
        yield from page


def _unheard(started: int) -> Beat:
    """Return the beat of a process of which nothing is known but when it began, in ms."""
    return Beat(started / 1000, "", 0)


def _is_sure(beat: Beat) -> bool:
    """Tell whether a process is gone for sure.

    Containers of one machine may share its name and not see each other's processes; one that lives
    is heard of.
    """
    return beat.is_dead and beat.age > FRESH_SECONDS


def _why(beat: Beat) -> str:
    """Say why a process seems to be gone; empty where it does not."""
    if beat.is_dead:
        return f"its process {beat.process} is gone"
    if beat.age <= _SILENT_SECONDS:
        return ""
    of = f"process {beat.process} of {beat.host}" if beat.host else "its process"
    return f"{of} was last heard of {beat.age / _SILENT_SECONDS:.0f} hours ago"


def _end_run(client: "MlflowClient", run_id: str, beat: Beat, why: str) -> None:
    now = client.get_run(run_id)
    heard = read(now.data.tags.get(HEARTBEAT_TAG))
    if now.info.status != "RUNNING" or (heard is not None and heard != beat):
        return  # another process has ended it, or goes on with it, since it was listed
    client.set_tag(run_id, FAILURE_TAG, f"it was never ended: {why}")
    client.set_terminated(run_id, Status.KILLED.value, end_time=int(beat.seconds * 1000))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
