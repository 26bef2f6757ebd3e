"""A search's trials as Optuna knows them, and which of them are the best."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hardy.results.search.space import distributions
from hardy.results.search.trial import Trial
from hardy.results.search.words import constraint_name
from hardy.spec.search.spec import Scalar, SearchSpec

Direction = Literal["max", "min"]

_DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
}
# Of a trial's time, only its length is known; the same trials give the same study.
_START = datetime(2000, 1, 1)


def as_study(
    spec: SearchSpec, directions: Sequence[Direction], trials: Sequence[Trial]
) -> optuna.Study:
    """Return the trials as a study in memory, parameters named by their paths.

    A value that lies outside the space (trial 0's own may) is left out of its trial.

    Args:
        spec: What was searched.
        directions: For each objective, which way is better.
        trials: All of them, in order.
    """
    known = distributions(spec)
    with quiet():
        study = optuna.create_study(
            storage=InMemoryStorage(), directions=[_DIRECTIONS[each] for each in directions]
        )
    for trial in trials:
        study.add_trial(_frozen(spec, known, trial))
    return study


def _frozen(spec: SearchSpec, known: dict[str, BaseDistribution], trial: Trial) -> FrozenTrial:
    inside = {
        path: value
        for path, value in trial.values.items()
        if path in known and _holds(known[path], value)
    }
    names = map(constraint_name, spec.constraints)
    state = _STATES[trial.state]
    frozen = create_trial(
        state=state,
        values=trial.objectives if trial.state == "complete" else None,
        params=inside,
        distributions={path: known[path] for path in inside},
        user_attrs={"hardy.runs": list(trial.runs)},
        intermediate_values=dict(trial.reports),
        # A trial that did not get so far has none.
        constraints=dict(zip(names, trial.constraints, strict=False)),
    )
    frozen.datetime_start = _START
    if state.is_finished():
        frozen.datetime_complete = _START + timedelta(seconds=trial.seconds)
    return frozen


def _holds(distribution: BaseDistribution, value: Scalar) -> bool:
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (ValueError, TypeError):
        return False


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna from logging what is no fault, and from warning of what it calls experimental."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def by_objective(
    spec: SearchSpec, directions: Sequence[Direction], trials: Sequence[Trial], place: int
) -> tuple[SearchSpec, list[Direction], list[Trial]]:
    """Return the same search as if one of its objectives were the only one."""
    here = slice(place, place + 1)
    return (
        spec.model_copy(update={"objectives": spec.objectives[here]}),
        [directions[place]],
        [
            replace(each, objectives=each.objectives[here], intervals=each.intervals[here])
            for each in trials
        ],
    )


def best(trials: Sequence[Trial], directions: Sequence[Direction]) -> Trial | None:
    """Return the best feasible trial by the first objective; None where none is feasible.

    With several objectives it is one that no other is better than in all; of equal ones, the first.
    """
    return next(iter(ranked(trials, directions)), None)


def pareto(trials: Sequence[Trial], directions: Sequence[Direction]) -> list[Trial]:
    """Return the feasible trials that no other is better than in one and no worse in all others.

    Args:
        trials: All of them.
        directions: For each objective, which way is better.

    Returns:
        By index; of equal ones, all.
    """
    # Whatever is better than a trial stands before it here, and if that is not on the front, then
    # what is better than that.
    front: list[tuple[float, ...]] = []
    found: list[Trial] = []
    feasible = [(_losses(trial, directions), trial) for trial in trials if trial.feasible]
    for losses, trial in sorted(feasible, key=lambda each: (each[0], each[1].index)):
        if not any(_dominates(other, losses) for other in front):
            front.append(losses)
            found.append(trial)
    return sorted(found, key=lambda trial: trial.index)


def ranked(trials: Sequence[Trial], directions: Sequence[Direction]) -> list[Trial]:
    """Sort the feasible trials by the first objective, those of the Pareto front before others."""
    front = {trial.index for trial in pareto(trials, directions)} if len(directions) > 1 else set()
    return sorted(
        (trial for trial in trials if trial.feasible),
        key=lambda trial: (
            trial.index not in front,
            _losses(trial, directions)[0],
            trial.index,
        ),
    )


def _losses(trial: Trial, directions: Sequence[Direction]) -> tuple[float, ...]:
    """Return the objectives, turned so that less is better."""
    return tuple(
        -value if direction == "max" else value
        for value, direction in zip(trial.objectives, directions, strict=True)
    )


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
