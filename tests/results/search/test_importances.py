"""What decides whether a trial is among the best."""

import os
import random
import subprocess
import sys
from dataclasses import replace

import pytest

from hardy.results.search.importances import importances
from hardy.results.search.trial import Trial
from tests.results.search.examples import TWO, spec, trials

BOTH = spec(
    {
        "noise": {"kind": "float", "low": 0, "high": 1},
        "skill": {"kind": "float", "low": 0, "high": 1},
    },
    objectives=[{"metric": "a"}, {"metric": "b"}],
)


def made(count: int = 60) -> list[Trial]:
    """The first objective is decided by `skill`, the second by `noise`."""
    draw = random.Random(1)
    found = []
    for index in range(count):
        values = {"noise": draw.random(), "skill": draw.random()}
        found.append(Trial(index, values, "complete", (values["skill"] ** 2, values["noise"])))
    return found


def test_what_decides_comes_first_whichever_way_is_better() -> None:
    for directions in (["max", "min"], ["min", "max"]):
        first, second = (importances(BOTH, directions, made(), place) for place in (0, 1))
        assert list(first) == ["skill", "noise"]
        assert list(second) == ["noise", "skill"]
        assert sum(first.values()) == pytest.approx(1)
        assert first["skill"] > 0.8 < second["noise"]


def test_the_direction_counts() -> None:
    # `a` is above 0.9 by a narrow range of `skill`, and below 0.1 by any other.
    draw = random.Random(0)
    given = []
    for index in range(200):
        values = {"noise": draw.random(), "skill": draw.random()}
        top = 0.45 < values["skill"] < 0.55
        given.append(Trial(index, values, "complete", (2.0 if top else values["noise"], 0.0)))
    up, down = (importances(BOTH, [way, "max"], given, 0) for way in ("max", "min"))
    assert next(iter(up)) == "skill"
    assert next(iter(down)) == "noise"


def test_few_or_equal_trials_tell_nothing() -> None:
    assert importances(BOTH, ["max", "max"], made(9)) == {}
    assert importances(BOTH, ["max", "max"], made(10)) != {}
    equal = [replace(trial, objectives=(0.5, 0.5)) for trial in made()]
    assert importances(BOTH, ["max", "max"], equal) == {}
    stopped = [replace(trial, state="pruned", objectives=()) for trial in made()]
    assert importances(BOTH, ["max", "max"], stopped) == {}
    bare = [replace(trial, values={}) for trial in made()]
    assert importances(BOTH, ["max", "max"], bare) == {}


def test_a_path_that_few_trials_have_is_no_fault() -> None:
    search = spec()
    given = trials(search, 60)
    rare = [
        replace(trial, values={**trial.values, "method.select.kind": "all"})
        if trial.index > 3
        else trial
        for trial in given
    ]
    for trial in rare:
        if trial.values["method.select.kind"] == "all":
            trial.values.pop("method.select.share", None)
    found = importances(search, ["max"], rare)
    assert set(found) == set(search.space)
    assert all(share >= 0 for share in found.values())


def test_another_process_tells_the_same() -> None:
    code = (
        "from hardy.results.search.importances import importances\n"
        "from tests.results.search.examples import *\n"
        "print(importances(TWO, ['max', 'min'], trials(TWO)))"
    )
    # There texts have other hashes, and so sets another order.
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    assert done.stdout.strip() == repr(importances(TWO, ["max", "min"], trials(TWO)))
