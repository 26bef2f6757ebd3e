"""A search's trials as a study; the best of them, beside Optuna's own choice."""

import os
import random
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import optuna
import pytest
from optuna.trial import TrialState

from hardy.results.search.space import distributions
from hardy.results.search.study import as_study, best, by_objective, pareto, ranked
from hardy.results.search.trial import Trial
from tests.results.search.examples import TWO, spec, trials


def test_a_study_holds_every_trial_in_order() -> None:
    search = spec(constraints=[{"metric": "ece", "at_most": 0.1}])
    made = trials(search)
    study = as_study(search, ["max"], made)
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    states = {
        "complete": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
        "running": TrialState.RUNNING,
    }
    assert {trial.state for trial in made} == set(states)
    for ours, theirs in zip(made, study.trials, strict=True):
        assert theirs.number == ours.index
        assert theirs.state == states[ours.state]
        assert theirs.params == ours.values
        assert theirs.distributions == {p: distributions(search)[p] for p in ours.values}
        assert tuple(theirs.values or ()) == ours.objectives
        assert theirs.intermediate_values == ours.reports
        assert tuple(theirs.constraints.values()) == ours.constraints
        assert theirs.user_attrs == {"hardy.runs": list(ours.runs)}
        if theirs.state.is_finished():
            assert theirs.duration == timedelta(seconds=ours.seconds)
    assert "ece at most 0.1" in study.trials[0].constraints


def test_the_same_trials_give_the_same_study() -> None:
    search = spec()
    made = trials(search)
    assert as_study(search, ["max"], made).trials == as_study(search, ["max"], made).trials


@pytest.mark.parametrize(
    ("value", "kept"),
    [(0.5, True), (1.0, True), (1.5, False), ("much", False), (None, False), (0.7, False)],
)
def test_a_value_outside_the_space_is_left_out(value, kept) -> None:
    search = spec({"a": {"low": 0, "high": 1, "step": 0.25, "kind": "float"}, "b": [1, None]})
    (found,) = as_study(
        search, ["max"], [Trial(0, {"a": value, "b": None}, "complete", (0.5,))]
    ).trials
    assert found.params == ({"a": value, "b": None} if kept else {"b": None})


def test_optuna_says_nothing_of_it() -> None:
    code = (
        "from tests.results.search.examples import *\n"
        "from hardy.results.search.study import as_study\n"
        "import optuna; level = optuna.logging.get_verbosity()\n"
        "as_study(spec(), ['max'], trials(spec()))\n"
        "assert optuna.logging.get_verbosity() == level"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


def random_trials(objectives: int, constraints: int, seed: int) -> list[Trial]:
    """Few distinct values, so that many are equal."""
    draw = random.Random(seed)
    found = []
    for index in range(draw.randint(1, 25)):
        state = draw.choice(["complete"] * 4 + ["pruned", "failed", "running"])
        done = state == "complete"
        found.append(
            Trial(
                index,
                {},
                state,
                objectives=tuple(draw.randint(0, 4) / 4 for _ in range(objectives)) if done else (),
                constraints=tuple(draw.choice([-1.0, 0.0, 0.5]) for _ in range(constraints))
                if done
                else (),
            )
        )
    return found


@pytest.mark.parametrize("constraints", [0, 1, 2])
@pytest.mark.parametrize("direction", ["max", "min"])
def test_the_best_is_optunas(direction, constraints) -> None:
    search = spec(constraints=[{"metric": "a", "at_most": 1}, {"metric": "b", "at_most": 1}])
    none = 0
    for seed in range(60):
        made = random_trials(1, constraints, seed)
        study = as_study(search, [direction], made)
        ours = best(made, [direction])
        try:
            theirs = study.best_trial.number
        except ValueError:
            none += 1
            assert ours is None
        else:
            assert ours.index == theirs
    assert none < 30


@pytest.mark.parametrize("constraints", [0, 2])
@pytest.mark.parametrize("directions", [("max",), ("max", "min"), ("min", "max", "max")])
def test_the_front_is_optunas(directions, constraints) -> None:
    search = spec(constraints=[{"metric": "a", "at_most": 1}, {"metric": "b", "at_most": 1}])
    sizes = set()
    for seed in range(60):
        made = random_trials(len(directions), constraints, seed)
        front = pareto(made, directions)
        theirs = as_study(search, directions, made).best_trials
        assert [trial.index for trial in front] == sorted(trial.number for trial in theirs)
        sizes.add(len(front))
        chosen = best(made, directions)
        assert (chosen is None) == (not front)
        if front:
            pick = max if directions[0] == "max" else min
            edge = pick(trial.objectives[0] for trial in front)
            assert chosen is next(t for t in front if t.objectives[0] == edge)
    assert len(sizes) > 2


def test_all_feasible_ones_are_ranked_the_front_first() -> None:
    made = trials(TWO)
    found = ranked(made, ["max", "min"])
    front = pareto(made, ["max", "min"])
    assert 1 < len(front) < len(found) == sum(trial.feasible for trial in made) < len(made)
    assert sorted(t.index for t in found[: len(front)]) == [t.index for t in front]
    for part in (found[: len(front)], found[len(front) :]):
        values = [trial.objectives[0] for trial in part]
        assert values == sorted(values, reverse=True)
    assert best(made, ["max", "min"]) is found[0]


def test_of_equal_ones_the_first_is_best() -> None:
    made = [replace(Trial(n, {}, "complete", (0.5,))) for n in range(3)]
    assert best(made, ["max"]) is made[0]
    assert best(made, ["min"]) is made[0]
    assert best([], ["max"]) is None


def test_each_objective_is_a_search_of_its_own() -> None:
    made = trials(TWO)
    for place, direction in enumerate(("max", "min")):
        search, directions, alone = by_objective(TWO, ["max", "min"], made, place)
        assert search.objectives == (TWO.objectives[place],)
        assert search.space == TWO.space
        assert directions == [direction]
        for one, trial in zip(alone, made, strict=True):
            done = trial.state == "complete"
            assert one.objectives == ((trial.objectives[place],) if done else ())
            assert one.intervals == ((trial.intervals[place],) if done else ())
            assert replace(one, objectives=trial.objectives, intervals=trial.intervals) == trial
