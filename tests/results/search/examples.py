"""Searches that ran, made up: what every part of `results.search` is shown."""

import math
import random

from hardy.results.search.trial import Trial
from hardy.spec.search.spec import SearchSpec

LINKS = "#/experiments/7/runs/{}".format


_SPACE = {
    "method.lr": {"kind": "float", "low": 1e-5, "high": 1e-1, "log": True},
    "method.select.kind": ["all", "confident"],
    "method.select.share": {
        "kind": "float",
        "low": 0.1,
        "high": 1.0,
        "when": {"method.select.kind": "confident"},
    },
    "method.steps": {"kind": "int", "low": 1, "high": 8},
    "method.views.chain": [["flip"], ["flip", "crop"], None],
}


def spec(space: dict | None = None, **changed: object) -> SearchSpec:
    """A list alone is a categorical, as in a file."""
    space = {
        path: {"kind": "categorical", "choices": each} if isinstance(each, list) else each
        for path, each in (space or _SPACE).items()
    }
    return SearchSpec.model_validate(
        {
            "space": space,
            "objectives": [{"metric": "accuracy"}],
            "budget": {"trials": 40},
            "test_on": {"part": "test"},
            **changed,
        }
    )


def trials(search: SearchSpec, count: int = 40, seed: int = 0) -> list[Trial]:
    """Some finished, pruned, failed; the last is running."""
    draw = random.Random(seed)
    return [_trial(search, index, count, draw) for index in range(count)]


def _trial(search: SearchSpec, index: int, count: int, draw: random.Random) -> Trial:
    values: dict = {}
    for path in search.ordered:
        if search.active(path, values):
            values[path] = _value(search.space[path], draw)
    state = "failed" if index % 13 == 7 else "pruned" if index % 5 == 3 else "complete"
    state = "running" if index == count - 1 and index else state
    skill = 0.7 - 0.04 * abs(math.log10(values.get("method.lr", 1e-3)) + 3)
    skill += 0.1 * (values.get("method.select.kind") == "confident") + draw.gauss(0, 0.01)
    reached = {"complete": 8, "pruned": 3}.get(state, 2)
    goals = tuple(skill if n == 0 else 0.3 - skill / 5 + draw.gauss(0, 0.01) for n in range(3))
    done = state == "complete"
    return Trial(
        index=index,
        values=values,
        state=state,
        objectives=goals[: len(search.objectives)] if done else (),
        intervals=tuple((v - 0.05, v + 0.04) for v in goals[: len(search.objectives)] if done),
        constraints=tuple(0.7 - skill for _ in search.constraints) if done else (),
        reports={step: skill * (1 - 0.5**step) for step in range(1, reached + 1)},
        runs=(f"{index:032x}",),
        samples=25 * reached,
        seconds=2.5 * reached,
        reason="the loss became NaN | at step 2" if state == "failed" else "",
    )


def _value(each: object, draw: random.Random) -> object:
    match each.kind:
        case "categorical":
            return draw.choice(each.labels)
        case "int":
            return draw.randint(each.low, each.high)
        case _ if each.log:
            return math.exp(draw.uniform(math.log(each.low), math.log(each.high)))
        case _:
            return draw.uniform(each.low, each.high)


WIDE = spec(
    {
        f"method.part{n}.a_rather_long_name_{n % 4}.value": {"kind": "float", "low": 0, "high": n}
        for n in range(1, 21)
    }
)
TWO = spec(
    objectives=[{"metric": "accuracy"}, {"metric": "ece"}],
    constraints=[{"metric": "seconds_per_sample", "at_most": 0.5}],
)
