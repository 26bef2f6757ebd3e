"""Values of trials: those of bare Optuna, whatever ends first and wherever a search stopped."""

import random

import optuna
import pytest

from hardy.engine.search.guide import Guide, in_memory, suggest, tell
from hardy.engine.search.samplers import make_sampler
from hardy.results.search.space import distributions
from hardy.results.search.trial import Trial
from hardy.spec.search.spec import SearchSpec

LR = {"kind": "float", "low": 1e-4, "high": 1.0, "log": True}
STEPS = {"kind": "int", "low": 1, "high": 9}
PRIOR = {"kind": "categorical", "choices": ["none", 16, {"kind": "fixed"}]}
OWN = {"lr": 0.01, "steps": 3, "prior": "none"}
SAMPLERS = [
    {"kind": "tpe", "startup": 4},
    {"kind": "tpe", "startup": 4, "multivariate": True},
    {"kind": "random"},
    {"kind": "qmc"},
    {"kind": "qmc", "sequence": "halton", "scramble": True},
    {"kind": "gp", "startup": 4},
    {"kind": "nsga2", "population": 4},
]
TRIALS = {"tpe": 14, "random": 14, "qmc": 14, "nsga2": 14, "gp": 7}  # GP takes a second a trial
IDS = ["tpe", "multivariate", "random", "sobol", "halton", "gp", "nsga2"]


def spec(**changed) -> SearchSpec:
    stated = {
        "space": {"lr": LR, "steps": STEPS, "prior": PRIOR},
        "objectives": [{"metric": "accuracy"}],
        "budget": {"trials": 14},
        "test_on": {"part": "test"},
        **changed,
    }
    return SearchSpec.model_validate(stated)


def outcome(index, values, objectives=1, missed=()) -> Trial:
    """A result that depends on the values alone; every fifth trial fails or is stopped."""
    height = -abs(values["lr"] - 0.1) + 0.01 * values.get("steps", 0)
    if index % 5 == 3:
        return Trial(index, values, "failed", reason="of five, one")
    if index % 5 == 4 and objectives == 1:
        return Trial(index, values, "pruned", reports={1: height}, samples=2)
    found = (height, values["lr"])[:objectives]
    return Trial(index, values, "complete", found, constraints=missed)


def followed(guide, *, order=None, until=99, known=()):
    """Return every trial's values, results being told in some order of those under way."""
    found, running = [], []
    while guide.ready or running:
        while guide.ready and guide.chosen < until:
            choice = guide.choose()
            assert choice.index == len(found)
            found.append(dict(choice.values))
            running.append(choice)
        if not running:
            break
        place = 0 if order is None else order.randrange(len(running))
        choice = running.pop(place)
        guide.hear(outcome(choice.index, choice.values))
    return found


@pytest.mark.parametrize("sampler", SAMPLERS, ids=IDS)
def test_values_are_those_of_bare_optuna(sampler):
    trials = TRIALS[sampler["kind"]]
    asked = spec(sampler=sampler, ahead=1, budget={"trials": trials})
    found = followed(Guide(asked, [OWN], 7, ["max"]))
    study, space, bare = in_memory(["max"]), distributions(asked), []
    study.enqueue_trial(OWN)
    for index in range(trials):
        study.sampler = make_sampler(asked.sampler, 7, index)
        trial = study.ask()
        bare.append({path: suggest(trial, path, space[path]) for path in space})
        tell(study, trial, outcome(index, bare[-1]))
    assert found == bare
    assert found[0] == OWN
    assert len({str(each) for each in found}) > TRIALS[sampler["kind"]] - 3
    if sampler != {"kind": "qmc"}:  # the sequence alone, without a seed
        assert found != followed(Guide(asked, [OWN], 8, ["max"]))


@pytest.mark.parametrize("sampler", SAMPLERS, ids=IDS)
def test_values_do_not_depend_on_which_trial_ends_first(sampler):
    asked = spec(sampler=sampler, ahead=3, budget={"trials": TRIALS[sampler["kind"]]})
    in_order = followed(Guide(asked, [OWN], 7, ["max"]))
    for seed in range(3 if sampler["kind"] != "gp" else 1):
        assert followed(Guide(asked, [OWN], 7, ["max"]), order=random.Random(seed)) == in_order


def test_learning_samplers_learn():
    def mean(kind, **more):
        asked = spec(sampler={"kind": kind, **more}, ahead=1, budget={"trials": 40})
        found = followed(Guide(asked, [OWN], 1, ["max"]))[20:]
        return sum(abs(each["lr"] - 0.1) for each in found) / len(found)

    assert mean("tpe", startup=5) < mean("random")


def test_a_wider_budget_goes_on_from_a_smaller_one():
    narrow = followed(Guide(spec(budget={"trials": 8}), [OWN], 7, ["max"]))
    assert len(narrow) == 8
    assert followed(Guide(spec(), [OWN], 7, ["max"]))[:8] == narrow


def test_stated_trials_come_first():
    firsts = [OWN, {**OWN, "steps": 9}, {**OWN, "lr": 1.0}]
    assert followed(Guide(spec(), firsts, 7, ["max"]))[:3] == firsts


def test_a_grid_has_every_point_once_the_specs_own_first():
    space = {
        "lr": {"kind": "float", "low": 0.1, "high": 0.5, "step": 0.1},
        "prior": PRIOR,
        "steps": {"kind": "int", "low": 1, "high": 9, "step": 4},
    }
    asked = spec(space=space, sampler={"kind": "grid"}, budget={"trials": 1000})
    own = {"lr": 0.3, "prior": 16, "steps": 5}
    guide = Guide(asked, [own], 7, ["max"])
    assert guide.most == 5 * 3 * 3
    found = followed(guide)
    assert found[0] == own
    assert len(found) == len({str(sorted(each.items())) for each in found}) == 45
    other = followed(Guide(asked, [own], 8, ["max"]))
    assert other != found
    assert sorted(map(str, other)) == sorted(map(str, found))
    study = optuna.create_study(
        sampler=optuna.samplers.GridSampler(
            {
                "lr": [0.1, 0.2, 0.3, 0.4, 0.5],
                "prior": list(asked.space["prior"].labels),
                "steps": [1, 5, 9],
            }
        )
    )
    bare = []
    for _ in range(45):
        trial = study.ask()
        bare.append({p: suggest(trial, p, d) for p, d in distributions(asked).items()})
        try:
            study.tell(trial, 0.0)
        except RuntimeError:  # Optuna stops a study that nothing optimizes
            break
    assert sorted(map(str, bare)) == sorted(map(str, found))


def test_values_under_a_condition_are_there_only_where_it_holds():
    space = {"steps": {**STEPS, "when": {"prior": ["none", 16]}}, "lr": LR, "prior": PRIOR}
    asked = spec(space=space, budget={"trials": 40})
    found = followed(Guide(asked, [OWN], 7, ["max"]))
    assert {("steps" in each, each["prior"] in ("none", 16)) for each in found} == {
        (True, True),
        (False, False),
    }


def test_constraints_turn_the_sampler_away():
    """With the same results, a constraint that forbids small rates makes them rarer."""

    def small(*, forbidden):
        guide = Guide(spec(ahead=1, budget={"trials": 60}), [OWN], 3, ["max"])
        rates = []
        while guide.ready:
            choice = guide.choose()
            rate = choice.values["lr"]
            missed = (1.0 if rate < 0.05 else -1.0,) if forbidden else ()
            guide.hear(Trial(choice.index, choice.values, "complete", (-rate,), constraints=missed))
            rates.append(rate)
        return sum(rate < 0.05 for rate in rates[20:])

    assert small(forbidden=True) < small(forbidden=False) / 2


def test_two_objectives():
    asked = spec(
        objectives=[{"metric": "accuracy"}, {"metric": "seconds_per_sample"}],
        sampler={"kind": "nsga2", "population": 4},
        ahead=2,
    )
    guide = Guide(asked, [OWN], 7, ["max", "min"])
    found = []
    while guide.ready:
        choice = guide.choose()
        found.append(choice.values)
        guide.hear(outcome(choice.index, choice.values, objectives=2))
    assert len(found) == 14


def test_a_pruner_sees_the_trials_that_were_known_when_values_were_chosen():
    asked = spec(pruner={"kind": "median"}, ahead=3)
    guide = Guide(asked, [OWN], 7, ["max"])
    choices = [guide.choose() for _ in range(3)]
    assert not guide.ready
    assert [len(choice.before) for choice in choices] == [0, 1, 2]
    guide.hear(Trial(2, choices[2].values, "complete", (0.5,), reports={1: 0.4}))
    assert not guide.ready
    guide.hear(Trial(0, choices[0].values, "complete", (0.6,), reports={1: 0.5, 2: 0.6}))
    (first, second, third) = guide.choose().before
    assert first.intermediate_values == {1: 0.5, 2: 0.6}
    assert first.value == 0.6
    assert not second.state.is_finished()
    assert not third.state.is_finished()  # though it has ended
