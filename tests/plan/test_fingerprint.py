"""Fingerprints: changed by all that changes numbers, and by nothing else."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardy.data.spec import Corruption
from hardy.methods.memo.spec import MemoSpec
from hardy.models.spec import TimmModel
from hardy.plan.units import fingerprint
from hardy.spec import Experiment

FULL = {
    "name": "full",
    "description": "Everything stated.",
    "data": {
        "dataset": "imagenet-sample",
        "subset": {"count": 10, "seed": 1},
        "shift": {"kind": "fog", "severity": 3},
        "on_bad_sample": "error",
    },
    "model": {"kind": "timm", "name": "resnet50", "weights": "random"},
    "method": {
        "kind": "memo",
        "views": {"kind": "cut", "count": 8},
        "select": 0.5,
        "steps": 2,
        "optimizer": {"kind": "sgd", "lr": 0.001, "momentum": 0.1, "weight_decay": 0.2},
        "bn_prior": 16.0,
    },
    "seed": 3,
    "precision": "32-true",
}
CHANGES = {
    "data.dataset": "imagenet-r",
    "data.subset.count": 11,
    "data.subset.seed": 2,
    "data.shift.kind": "snow",
    "data.shift.severity": 4,
    "data.on_bad_sample": "skip",
    "model.kind": "torchvision",
    "model.name": "resnet18",
    "method.views.kind": "identity",
    "method.views.count": 9,
    "method.select": 0.75,
    "method.steps": 3,
    "method.optimizer.lr": 0.002,
    "method.optimizer.momentum": 0.2,
    "method.optimizer.weight_decay": 0.3,
    "method.bn_prior": None,
    "seed": 4,
    "precision": "bf16-mixed",
}
# Their change means other sibling keys, or they enter by the weights' identity.
ELSEWHERE = {"method.kind", "method.optimizer.kind", "model.weights"}
EXECUTION = {
    "name": st.sampled_from(["a", "b/c", "full-2"]),
    "description": st.text(max_size=20),
    "explain": st.fixed_dictionaries({"view_grids": st.integers(0, 9)}),
    "expect": st.just([{"metric": "ece", "value": 0.1, "tolerance": 0.1, "source": "here"}]),
    "register": st.sampled_from([None, "imagenet-robust"]),
    "compute": st.fixed_dictionaries(
        {"workers": st.integers(0, 9), "device": st.sampled_from(["auto", "cpu"])}
    ),
}


def mark(tree: dict[str, Any], data: str = "d", weights: str = "w") -> str:
    return fingerprint(Experiment.model_validate(tree), data, weights)


def leaves(tree: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, value in tree.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from leaves(value, here)
        else:
            yield here


def changed(path: str, value: object) -> dict[str, Any]:
    tree = copy.deepcopy(FULL)
    *parents, last = path.split(".")
    below = tree
    for key in parents:
        below = below[key]
    below[last] = value
    return tree


def shuffled(tree: Any, draw: st.DrawFn) -> Any:
    if not isinstance(tree, dict):
        return tree
    return {key: shuffled(tree[key], draw) for key in draw(st.permutations(list(tree)))}


@st.composite
def other_orders(draw: st.DrawFn) -> dict[str, Any]:
    return shuffled(FULL, draw)


@given(other_orders())
@settings(max_examples=50, deadline=None)
def test_the_order_of_keys_is_ignored(tree: dict[str, Any]) -> None:
    assert mark(tree) == mark(FULL)


@given(st.fixed_dictionaries({}, optional=EXECUTION))
@settings(max_examples=50, deadline=None)
def test_how_it_is_carried_out_is_ignored(extra: dict[str, Any]) -> None:
    assert mark({**FULL, **extra}) == mark(FULL)


@pytest.mark.parametrize(
    "change",
    [
        {"root": "/elsewhere"},
        {"download": True},
        {"expect_source_accuracy": {"at_least": 0.5}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_how_the_data_are_got_at_is_ignored(change: dict[str, Any]) -> None:
    tree = changed("data.dataset", "imagenet-a")
    other = {**tree, "data": {**tree["data"], **change}}
    assert mark(other) == mark(tree)


def test_a_new_option_that_is_off_changes_nothing() -> None:
    class Wider(TimmModel):
        option: int | None = None

    plain = TimmModel(name="resnet50")
    assert Wider(name="resnet50").identity() == plain.identity()
    assert Wider(name="resnet50", option=0).identity() != plain.identity()


@pytest.mark.parametrize("path", CHANGES)
def test_every_other_leaf_changes_it(path: str) -> None:
    assert mark(changed(path, CHANGES[path])) != mark(FULL)


def test_no_leaf_is_forgotten() -> None:
    assert set(leaves(FULL)) == set(CHANGES) | ELSEWHERE | {"name", "description"}


def test_the_kinds_change_it() -> None:
    methods = [FULL["method"], {"kind": "source"}, {"kind": "memo"}]
    methods.append({**FULL["method"], "optimizer": {"kind": "adamw", "lr": 0.001}})
    assert len({mark({**FULL, "method": method}) for method in methods}) == 4


@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), unique=True, max_size=9))
@settings(max_examples=30, deadline=None)
def test_other_data_or_weights_change_it(pairs: list[tuple[str, str]]) -> None:
    assert len({mark(FULL, data, weights) for data, weights in pairs}) == len(pairs)


def test_where_weights_come_from_is_ignored_what_they_are_is_not() -> None:
    assert mark(changed("model.weights", "file:a.pth")) == mark(FULL)


@pytest.mark.parametrize("part", [MemoSpec, Corruption, TimmModel, MemoSpec.__mro__[1]])
def test_a_part_s_new_version_changes_it(part: type, monkeypatch: pytest.MonkeyPatch) -> None:
    before = mark(FULL)
    monkeypatch.setattr(part, "VERSION", 99)
    assert mark(FULL) != before


def test_it_is_the_same_in_every_process() -> None:
    code = (
        "import json, sys; from tests.plan.test_fingerprint import mark;"
        "print(mark(json.load(sys.stdin)))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(FULL),
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"src{os.pathsep}."},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert told == {mark(FULL)}


def test_a_known_value() -> None:
    # A change here means that no run made before is reused: raise a VERSION, or undo it.
    tree = {
        "name": "known",
        "data": {"dataset": "imagenet-sample"},
        "model": {"kind": "timm", "name": "resnet50", "weights": "random"},
        "method": {"kind": "source"},
    }
    assert mark(tree) == "4f7fd55817c6b3535c5d0b914d8049f7"


def test_devices_that_share_a_training_are_in_the_fingerprint_and_one_alone_is_not() -> None:
    trained = {
        **{key: FULL[key] for key in ("name", "seed")},
        "data": {"dataset": "shapes", "split": "train"},
        "model": {"kind": "hardy", "classes": 6},
        "method": {"kind": "supervised", "validate_on": {"split": "test"}},
    }
    alone = mark(trained)
    assert mark({**trained, "compute": {"devices": 1}}) == alone
    two = mark({**trained, "compute": {"devices": 2}})
    assert len({alone, two, mark({**trained, "compute": {"devices": 2, "nodes": 2}})}) == 3
    assert mark({**FULL, "compute": {"devices": 2}}) == mark(FULL)  # MEMO trains nothing
