"""Chooses the values of trials, so that they depend on nothing but the results before them.

Which trial ends first is chance, as is where a search was stopped. So the guide hears of results in
the order of the trials, and just before it chooses the values of trial n, of those up to
n - ahead: the same values come whatever the number of processes and the stops. Its study lies in
memory; a search that goes on has its guide choose all again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hardy.engine.search.samplers import grid_after, make_sampler
from hardy.results.search.space import distributions
from hardy.results.search.study import Direction, quiet
from hardy.results.search.trial import Trial
from hardy.spec.search.spec import Scalar, SearchSpec
from hardy.spec.search.values import most_trials

Directions = Sequence[Direction]

STUDY = "hardy"
"""Name of every study in memory: Hyperband's brackets depend on it."""


@dataclass(frozen=True)
class Choice:
    """What a trial is to try.

    Attributes:
        index: Its place among the trials.
        values: By path; those whose conditions hold.
        before: The trials before it as they were known when its values were chosen, for a pruner:
            what is not known of them is as of a trial that runs.
    """

    index: int
    values: Mapping[str, Scalar]
    before: tuple[FrozenTrial, ...] = field(repr=False)


class Guide:
    """Chooses values trial by trial.

    Args:
        spec: The search.
        firsts: The values of the first trials.
        seed: The experiment's.
        directions: Of the objectives.
    """

    def __init__(
        self,
        spec: SearchSpec,
        firsts: Sequence[Mapping[str, Scalar]],
        seed: int,
        directions: Directions,
    ) -> None:
        self._spec = spec
        self._seed = seed
        self._space = distributions(spec)
        self._study = in_memory(directions)
        self._asked: list[optuna.Trial] = []
        self._results: dict[int, Trial] = {}
        self._told = 0
        for values in [*firsts, *grid_after(spec, firsts, seed)]:
            self._study.enqueue_trial(dict(values))

    @property
    def most(self) -> int:
        """How many trials there can be: the budget's, or fewer where a grid has no more points."""
        return most_trials(self._spec)

    @property
    def chosen(self) -> int:
        """How many trials were chosen so far."""
        return len(self._asked)

    @property
    def ready(self) -> bool:
        """Whether what the next trial depends on is known, and the budget has room for it."""
        needed = range(self._told, self._next_told)
        return self.chosen < self.most and all(index in self._results for index in needed)

    @property
    def _next_told(self) -> int:
        return max(self._told, self.chosen - self._spec.ahead + 1)

    def choose(self) -> Choice:
        """Return the next trial; only where it is `ready`."""
        while self._told < self._next_told:
            _tell(self._study, self._asked[self._told], self._results.pop(self._told))
            self._told += 1
        before: tuple[FrozenTrial, ...] = ()
        if self._spec.pruner is not None:
            before = tuple(map(_known, self._study.get_trials()[: self.chosen]))
        index = self.chosen
        self._study.sampler = make_sampler(self._spec.sampler, self._seed, index)
        trial = self._study.ask()
        self._asked.append(trial)
        values: dict[str, Scalar] = {}
        for path in self._spec.ordered:
            if self._spec.active(path, values):
                values[path] = suggest(trial, path, self._space[path])
        return Choice(index, values, before)

    def hear(self, result: Trial) -> None:
        """Take what came of a trial; the order does not matter."""
        self._results[result.index] = result


@quiet()
def in_memory(
    directions: Directions, pruner: optuna.pruners.BasePruner | None = None
) -> optuna.Study:
    """Return a study without trials."""
    return optuna.create_study(
        study_name=STUDY,
        directions=[
            StudyDirection.MAXIMIZE if d == "max" else StudyDirection.MINIMIZE for d in directions
        ],
        pruner=pruner or optuna.pruners.NopPruner(),
    )


def suggest(trial: optuna.Trial, path: str, distribution: BaseDistribution) -> Scalar:
    """Return a trial's value at a path.

    Raises:
        TypeError: If the distribution is of a kind that a spec has no word for.
    """
    match distribution:
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_float(path, low, high, log=log, step=step)
        case IntDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_int(path, low, high, log=log, step=step)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(path, choices)
        case _:
            raise TypeError(distribution)


def tell(study: optuna.Study, trial: optuna.Trial, result: Trial) -> None:
    """End a trial of a study with what came of it."""
    for step, value in result.reports.items():
        trial.report(value, step)
    for number, missed in enumerate(result.constraints):
        trial.set_constraint(str(number), missed)
    match result.state:
        case "complete":
            study.tell(trial, list(result.objectives))
        case "pruned":
            study.tell(trial, state=TrialState.PRUNED)
        case _:
            study.tell(trial, state=TrialState.FAIL)


def _tell(study: optuna.Study, trial: optuna.Trial, result: Trial) -> None:
    for key, value in result.marks.items():  # a rung of Hyperband's: Optuna has no public way
        trial.storage.set_trial_system_attr(trial._trial_id, key, value)
    tell(study, trial, result)


def _known(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial as others may know it: of one that has no result yet, that it runs."""
    if trial.state.is_finished():
        return trial
    return create_trial(state=TrialState.RUNNING)
