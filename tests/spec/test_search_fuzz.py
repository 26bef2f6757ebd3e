"""Whatever stands under `search`: a search or diagnostics, never anything else."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hardy.core.errors import SpecError
from hardy.results.search.space import distributions
from hardy.spec import Diagnostics, resolve
from hardy.spec.search.units import trial_units


class Raw(str):
    """A text that stands in the file as it is."""

    __slots__ = ()


MEMO = """\
name: fuzzed
data: {dataset: imagenet-sample, partition: {fractions: {tune: 0.5, test: 0.5}, part: tune}}
model: {kind: timm, name: resnet50}
method: {kind: memo, optimizer: {kind: sgd, lr: 1.0e-3}}
"""
TRAINED = """\
name: fuzzed
data: {dataset: cifar10, partition: {fractions: {train: 0.8, val: 0.1, test: 0.1}, part: train}}
model: {kind: timm, name: resnet18}
method: {kind: supervised, validate_on: {part: val}}
"""
ENDS: dict[str, Any] = {
    "objectives": [{"metric": "accuracy"}], "budget": {"trials": 10}, "test_on": {"part": "test"},
}  # fmt: skip
VALID: list[tuple[str, dict[str, Any]]] = [
    (
        MEMO,
        {
            "space": {
                "method.steps": {"kind": "int", "low": 1, "high": 3},
                "method.optimizer.kind": ["sgd", "adamw"],
                "method.optimizer.weight_decay": {
                    "kind": "float", "low": 0.1, "high": 0.9, "log": True,
                    "when": {"method.optimizer.kind": "adamw"},
                },
                "method.bn_prior": [None, 16, {"rho": 0.5}],
                "method.views": {"kind": "categorical", "choices": [{"kind": "augmix"}]},
            },
            **ENDS,
            "seeds": [0, 1],
            "first": [{"method.steps": 2}, {"method.bn_prior": {"rho": 0.5}}],
            "pruner": {"kind": "wilcoxon", "p": 0.2},
            "constraints": [{"metric": "ece", "at_most": 0.2}],
            "ahead": 2,
        },
    ),
    (
        TRAINED,
        {
            "space": {
                "method.optimizer.lr": {"kind": "float", "low": 0.0001, "high": 0.01, "log": True},
                "method.epochs": {"kind": "int", "low": 10, "high": 30, "step": 10},
            },
            **ENDS,
            "sampler": {"kind": "gp", "startup": 5},
            "pruner": {"kind": "hyperband", "largest": 30},
            "budget": {"trials": 20, "minutes": 3.5, "samples": 1000},
        },
    ),
    (
        MEMO,
        {
            "space": {"method.select": {"kind": "float", "low": 0.1, "high": 1, "step": 0.1}},
            **ENDS,
            "sampler": {"kind": "grid"},
        },
    ),
]  # fmt: skip
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2, 0.5, 1e308, -1e308, 10**30, 10**90, 2**53 + 1, "", " ", "x",
    "☃", "a\u0301", "\u202e", "null", "1", "method.steps", "accuracy", "grid", "nsga2", "float",
    "percentile", [], [[]], [[[[1]]]], {}, {"": {}}, {"kind": "int"}, {"kind": ["int"]},
    {"kind": "float", "low": 0, "high": 1}, [{"metric": "nll"}, {"metric": "ece"}], [None, True, 1],
    list(range(50)), Raw(".nan"), Raw(".inf"), Raw("-.inf"), Raw("1e999"), Raw("*a"),
    Raw("!!int x"), Raw("&a [1]"), Raw("{<<: {a: 1}}"), Raw("2020-01-01"), Raw("0x1F"), Raw("'"),
    Raw("[1,"),
]  # fmt: skip
KEYS = [
    "", ".", "..", "a..b", "method", "method.", ".method", "method.stpes", "method.optimizer",
    "method.optimizer.lr", "method.views.count", "method.views.kind", "method.steps.x",
    "data.shift", "data.shift.kind", "data.partition.part", "data.partition.fractions.tune",
    "data.dataset", "data.subset.count", "seed", "name", "extends", "matrix.seed", "search.space",
    "task", "model", "model.weights", "model.weights.from", "expect.0.value", "compute.devices",
    "méthode", "☃", "0", "method.bn_prior.rho", "precision", "${HOME}", "when", "kind", "low",
    "log", "step", "first", "null", "true", "<<", "a b", "a" * 300, ".".join("abcdefghij" * 20),
]  # fmt: skip

RANGES: list[Any] = [
    {"kind": "int", "low": 1, "high": 4}, {"kind": "int", "low": 0, "high": 8, "step": 3},
    {"kind": "float", "low": 1e-5, "high": 1, "log": True}, [16, None, True, 16.0], ["a", {"b": 1}],
    {"kind": "float", "low": 0, "high": 1, "step": 0.25}, [{"kind": "cut"}], [0, 1],
    {"kind": "int", "low": -5, "high": 10**15},
    {"kind": "float", "low": -1e300, "high": 1e300, "step": 1e-300},
]  # fmt: skip
PARTS: dict[str, list[Any]] = {
    "sampler": [{"kind": kind} for kind in ("tpe", "random", "grid", "qmc", "gp", "nsga2")],
    "pruner": [
        None, {"kind": "median"}, {"kind": "percentile", "percentile": 25}, {"kind": "hyperband"},
        {"kind": "patience", "steps": 3}, {"kind": "wilcoxon"},
    ],
    "objectives": [
        [{"metric": name, "direction": way}] for name in ("accuracy", "samples", "source/ece", "x")
        for way in ("max", None)
    ] + [[{"metric": "accuracy"}, {"metric": "nll"}]],
    "test_on": [{"part": "val"}, {"part": "tune"}, {"split": "test"}, {"part": "test"}],
    "seeds": [[], [1, 1], [0, 10**40]],
    "first": [[{"method.steps": 3}], [{}], [{"method.steps": 99}, {"seed": 1}]],
}  # fmt: skip


def vary(block: dict[str, Any], random: Random) -> None:
    """Change one thing to what could be right."""
    part = random.choice([*PARTS, *["space"] * 6])
    if part != "space":
        block[part] = copy.deepcopy(random.choice(PARTS[part]))
        return
    space = block["space"]
    each = copy.deepcopy(random.choice(RANGES))
    if isinstance(each, dict) and random.random() < 0.3:
        each["when"] = {random.choice([*space]): random.choice([1, 2, "adamw", [1, None], True])}
    space[random.choice([*KEYS, *space])] = each


def containers(value: Any) -> Iterator[Any]:
    """Yield the mappings and lists that have something in them."""
    if isinstance(value, dict | list) and value:
        yield value
        for below in value.values() if isinstance(value, dict) else value:
            yield from containers(below)


def mutate(block: dict[str, Any], random: Random) -> None:
    """Change one thing anywhere."""
    where = random.choice(list(containers(block)) or [block])
    if isinstance(where, list):
        index = random.randrange(len(where))
        change = random.randrange(3)
        if change == 0:
            where[index] = copy.deepcopy(random.choice(ODD))
        elif change == 1:
            where.append(copy.deepcopy(random.choice([*ODD, where[index]])))
        else:
            del where[index]
        return
    key, change = random.choice(list(where) or [""]), random.randrange(6)
    if change == 0:
        where.pop(key, None)
    elif change == 1:
        where[random.choice(KEYS)] = where.pop(key, None)
    elif change == 2:
        where[random.choice(KEYS)] = copy.deepcopy(random.choice([*ODD, where.get(key)]))
    elif change == 3:
        where[key] = [where.get(key)]
    else:
        where[key] = copy.deepcopy(random.choice(ODD))


def written(value: Any, random: Random) -> str:
    """Write a value as YAML; now and then a key comes twice."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(written(item, random) for item in value)}]"
    if isinstance(value, dict):
        entries = [f"{json.dumps(key)}: {written(item, random)}" for key, item in value.items()]
        entries += entries[:1] if random.random() < 0.01 else []
        return "{" + ", ".join(entries) + "}"
    return json.dumps(value, ensure_ascii=False)


def broken(number: int) -> str:
    """Return a file whose search was changed a few times; half of them into what could be right."""
    random = Random(number)
    head, block = copy.deepcopy(random.choice(VALID))
    for _ in range(random.randint(1, 4)):
        vary(block, random) if number % 2 else mutate(block, random)
    return f"{head}search: {written(block, random)}\n"


def refused(path: Path, text: str) -> bool:
    """Say whether a file is refused; one that is not can be searched."""
    path.write_text(text, encoding="utf-8")
    error = refusal(path)
    if error is None:
        search = resolve(str(path)).search
        assert search is None or all(
            each._contains(each.to_internal_repr(search.own[name]))
            for name, each in distributions(search.spec).items()
            if name in search.own
        ), text
        return False
    assert isinstance(error, Diagnostics), text
    assert error.faults
    assert all(fault.line >= 1 and fault.column >= 1 for fault in error.faults)
    assert all(char.isprintable() or char in "\n\t" for char in str(error))
    return True


def refusal(path: Path) -> SpecError | None:
    try:
        resolved = resolve(str(path))
        if resolved.search is not None:
            trial_units(resolved, resolved.search.own, "1")
    except SpecError as error:
        return error
    return None


@pytest.fixture(autouse=True)
def _in_the_project(project: Path) -> None:
    """Give relative references a project to stand in."""


def test_the_blocks_are_valid_before_they_are_broken(tmp_path: Path) -> None:
    for head, block in VALID:
        assert not refused(tmp_path / "a.yaml", f"{head}search: {json.dumps(block)}\n")


def test_a_hundred_broken_blocks(tmp_path: Path) -> None:
    assert sum(refused(tmp_path / "a.yaml", broken(n)) for n in range(100)) > 50


@pytest.mark.slow
def test_a_thousand_broken_blocks(tmp_path: Path) -> None:
    assert sum(refused(tmp_path / "a.yaml", broken(n)) for n in range(100, 1100)) > 500
