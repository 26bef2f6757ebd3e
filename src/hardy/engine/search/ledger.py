"""What is kept of a search: Optuna's own study, on disk or in a database, one process writing it.

A trial is written when it begins and when it ends, whichever ends first. One whose process died
stays behind as running; the next process tells it failed and queues its values once more, under
the same index, so that it is tried again. `optuna-dashboard` shows the study.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import optuna
from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.trial import FrozenTrial, TrialState

from hardy.core.errors import TrackingError
from hardy.core.paths import state_dir
from hardy.engine.search.guide import Directions, suggest, tell
from hardy.results.search.space import distributions
from hardy.results.search.study import quiet
from hardy.results.search.trial import State, Trial
from hardy.spec.search.spec import Scalar, SearchSpec

VARIABLE = "HARDY_STUDIES"
"""Environment variable: address of the database of the studies; without it they are files."""

INDEX, RUNS = "hardy.index", "hardy.runs"
_REASON, _SAMPLES, _SECONDS, _INTERVALS = (
    f"hardy.{name}" for name in ("reason", "samples", "seconds", "intervals")
)
DIED = "its process died"
# What a journal that is no journal makes Optuna raise is of many kinds.
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AssertionError,
    optuna.exceptions.OptunaError,
)
_STATES: Mapping[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class Ledger:
    """The study of one search.

    Args:
        spec: The search.
        name: Of the study: the search's fingerprint is in it.
        directions: Of the objectives.

    Raises:
        TrackingError: If the study cannot be opened.
    """

    def __init__(self, spec: SearchSpec, name: str, directions: Directions) -> None:
        self.spec = spec
        self.address, self._storage = _storage(name)
        with quiet(), _told_well(self.address):
            self.study = optuna.create_study(
                study_name=name,
                storage=self._storage,
                sampler=optuna.samplers.RandomSampler(),  # never asked: values come from the guide
                directions=["maximize" if each == "max" else "minimize" for each in directions],
                load_if_exists=True,
            )
            self._open: dict[int, optuna.Trial] = {}
            for left in self._trials(TrialState.RUNNING):
                self._fail(left, DIED)

    def close(self) -> None:
        """Close the connections to a database."""
        if isinstance(self._storage, RDBStorage):
            self._storage.remove_session()
            self._storage.engine.dispose()

    def results(self) -> dict[int, Trial]:
        """Return what came of each trial that has ended, by index, but of those that are queued."""
        with _told_well(self.address):
            queued = {_index(each) for each in self._trials(TrialState.WAITING)}
            found = {_index(each): _read(each) for each in self._trials(*_STATES)}
        return {index: found[index] for index in sorted(found.keys() - queued)}

    def seconds(self) -> float:
        """Return how long trials were under way that have ended, those side by side counted once.

        Of one whose process died, nobody knows until when it was.
        """
        ended = [t for t in self._trials(*_STATES) if t.user_attrs.get(_REASON) != DIED]
        spans = ((t.datetime_start, t.datetime_complete) for t in ended)
        total, until = 0.0, 0.0
        for start, end in sorted((a.timestamp(), b.timestamp()) for a, b in spans if a and b):
            total += max(0.0, end - max(start, until))
            until = max(until, end)
        return total

    def values(self) -> dict[int, dict[str, Scalar]]:
        """Return the values of every trial that was begun, by index."""
        return {_index(each): _values(each) for each in self._trials(*_STATES, TrialState.RUNNING)}

    def begin(self, index: int, values: Mapping[str, Scalar]) -> None:
        """Write that a trial begins, or begins again."""
        space = distributions(self.spec)
        with _told_well(self.address), quiet():
            if self._queued(index) is None:
                self._queue(index, values)
            # `ask` would take the first that is queued, whichever it is.
            number = cast("FrozenTrial", self._queued(index))._trial_id
            self.study._storage.set_trial_state_values(number, state=TrialState.RUNNING)
            trial = optuna.Trial(self.study, number)
            for path in values:
                suggest(trial, path, space[path])
        self._open[index] = trial

    def end(self, result: Trial) -> None:
        """Write what came of a trial."""
        trial = self._open.pop(result.index)
        with _told_well(self.address):
            trial.set_user_attr(RUNS, list(result.runs))
            trial.set_user_attr(_SAMPLES, result.samples)
            trial.set_user_attr(_SECONDS, result.seconds)
            if result.reason:
                trial.set_user_attr(_REASON, result.reason)
            if result.intervals:
                trial.set_user_attr(_INTERVALS, [list(each) for each in result.intervals])
            for key, value in result.marks.items():
                trial.set_user_attr(f"hardy.mark.{key}", value)
            tell(self.study, trial, result)

    def died(self, index: int) -> None:
        """Tell that the process of a trial died, and queue its values once more."""
        trial = self._open.pop(index)
        with _told_well(self.address):
            self._fail(self.study.get_trials(deepcopy=False)[trial.number], DIED)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states)

    def _queued(self, index: int) -> FrozenTrial | None:
        found = (each for each in self._trials(TrialState.WAITING) if _index(each) == index)
        return next(found, None)

    def _queue(self, index: int, values: Mapping[str, Scalar]) -> None:
        self.study.enqueue_trial(dict(values), user_attrs={INDEX: index})

    def _fail(self, left: FrozenTrial, reason: str) -> None:
        """Tell a trial failed, and queue it again; it may have died before it had its values."""
        # In this order, for a kill in between: what is queued is tried, whatever has failed.
        if self._queued(_index(left)) is None:
            values = {**left.system_attrs.get("fixed_params", {}), **left.params}
            self._queue(_index(left), values)
        trial = optuna.Trial(self.study, left._trial_id)
        trial.set_user_attr(_REASON, reason)
        self.study.tell(trial, state=TrialState.FAIL)


def _index(trial: FrozenTrial) -> int:
    return int(trial.user_attrs[INDEX])


def _values(trial: FrozenTrial) -> dict[str, Scalar]:
    return cast("dict[str, Scalar]", trial.system_attrs.get("fixed_params", trial.params))


def _read(trial: FrozenTrial) -> Trial:
    """Return a trial as it was told."""
    known, state = trial.user_attrs, _STATES[trial.state]
    mark = "hardy.mark."
    intervals = [(float(low), float(high)) for low, high in known.get(_INTERVALS, ())]
    return Trial(
        index=_index(trial),
        values=_values(trial),
        state=state,
        objectives=tuple(trial.values) if state == "complete" else (),
        intervals=tuple(intervals),
        constraints=tuple(trial.constraints.values()),
        reports=dict(trial.intermediate_values),
        marks={key.removeprefix(mark): v for key, v in known.items() if key.startswith(mark)},
        runs=tuple(known.get(RUNS, ())),
        samples=int(known.get(_SAMPLES, 0)),
        seconds=float(known.get(_SECONDS, 0.0)),
        reason=str(known.get(_REASON, "")),
    )


def _storage(name: str) -> tuple[str, BaseStorage]:
    """Return the address of a study, and what reads and writes it."""
    stated = os.environ.get(VARIABLE, "")
    if stated:
        return stated, _database(stated)
    path = state_dir() / "studies" / f"{name}.journal"
    with _told_well(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _Lock(path)
        lock.acquire()
        try:
            mend(path)
        finally:
            lock.release()
        return str(path), JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def _database(address: str) -> BaseStorage:
    """Return the storage of studies in a database.

    Raises:
        TrackingError: If it is MLflow's own, or does not answer.
    """
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = create_engine(address)
        # By what it holds: one database has many addresses.
        of_mlflow = inspect(engine).has_table("registered_models")
        engine.dispose()
        if of_mlflow:
            message = f"{VARIABLE} is the database that MLflow keeps its runs in"
            raise TrackingError(message, hint="Give studies a database of their own beside it.")
        return RDBStorage(address, engine_kwargs={"pool_pre_ping": True})
    except ImportError as error:
        message = f"{VARIABLE} needs a package that is not installed: {error}"
        raise TrackingError(message, hint="Install it: pip install 'hardy[postgres]'.") from error
    except SQLAlchemyError as error:
        first = str(error).splitlines()[0]
        message = f"the database of {VARIABLE} cannot be opened: {first}"
        raise TrackingError(message, hint=f"Mend {VARIABLE}, or unset it.") from error


class _Lock(BaseJournalFileLock):
    """A lock that ends with the process that holds it: Optuna's own stays behind a killed one."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path.with_suffix(".lock"))

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        self._lock.release()


def mend(path: Path) -> None:
    """Cut off the last line of a journal if a killed process left it torn; others hold no lock."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)


@contextmanager
def _told_well(address: str) -> Iterator[None]:
    """Say of a study that cannot be read or written which one it is.

    Raises:
        TrackingError: In place of the storage's own errors.
    """
    try:
        yield
    except _UNREADABLE as error:
        shown = address.rpartition("@")[2]  # without a password
        why = f"{type(error).__name__}: {error}"
        message = f"the search's study {shown} cannot be read or written: {why}"
        hint = "Make room, or move the file away: finished runs are reused all the same."
        raise TrackingError(message, hint=hint) from error
