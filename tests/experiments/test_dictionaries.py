"""The test dictionaries of DavidC001/MEMO-TPT-DL2024 say what the shipped experiments say.

A dictionary is turned into what it determines of an experiment; the shipped experiment must hold
all of it. docs/memo-tpt-2024.md has the same mapping in words.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hardy.spec import resolve

ROOT = Path(__file__).parents[2]
FOLDER = "memo-tpt-2024"

BASE: dict[str, Any] = {
    "name": "Base",
    "dataset": "A",
    "augs": 64,
    "ttt_steps": 1,
    "align_steps": 0,
    "ensemble": False,
    "test_stop": -1,
    "confidence": 0.10,
    "base_prompt": "A photo of a [CLS]",
    "arch": "RN50",
    "splt_ctx": True,
    "lr": 0.005,
    "device": "cuda:0",
}
TPT: list[dict[str, Any]] = [
    {"name": "TPT_baseline_A", "augs": 1, "ensemble": True, "confidence": 1},
    {"name": "TPT_baseline_V2", "dataset": "V2", "augs": 1, "ensemble": True, "confidence": 1},
    {"name": "TPT_sel_A"},
    {"name": "TPT_sel_V2", "dataset": "V2", "augs": 32, "confidence": 0.2},
    {"name": "TPT_ens_nosel_A", "augs": 8, "ensemble": True, "confidence": 1},
    {"name": "TPT_ens_nosel_V2", "dataset": "V2", "augs": 8, "ensemble": True, "confidence": 1},
    {"name": "TPT_ens_sel_A", "ensemble": True, "confidence": 0.10},
    {"name": "TPT_ens_sel_V2", "dataset": "V2", "ensemble": True, "confidence": 0.10},
    {"name": "TPT_align_A", "align_steps": 1},
]

COMMON: dict[str, Any] = {
    "imageNetA": True,
    "naug": 64,
    "top": 0.1,
    "niter": 1,
    "testSingleModels": True,
    "simple_ensemble": True,
    "device": "cuda",
}
RN50 = {"device": "cuda", "drop": 0, "ttt_steps": 1, "model": "RN50"}
RNXT = {**RN50, "model": "RNXT"}
CLIP = {"device": "cuda", "ttt_steps": 1, "align_steps": 0, "arch": "RN50"}
TWO = {
    "models_type": ["memo", "memo"],
    "args": [RN50, RNXT],
    "temps": [1, 1],
    "names": ["MEMO RN50", "MEMO RNXT"],
}
ENSEMBLES: dict[str, dict[str, Any]] = {
    "ensemble-imagenet-a-rn50-rnxt": {**COMMON, **TWO},
    "ensemble-imagenetv2-rn50-rnxt": {**COMMON, **TWO, "imageNetA": False},
    "ensemble-imagenet-a-rn50-tpt": {
        **COMMON,
        "models_type": ["memo", "tpt"],
        "args": [RN50, CLIP],
        "temps": [1.55, 0.7],
        "names": ["MEMO", "TPT"],
    },
    "ensemble-imagenet-a-rn50-rnxt-tpt": {
        **COMMON,
        "models_type": ["memo", "memo", "tpt"],
        "args": [RN50, RNXT, CLIP],
        "temps": [1, 1, 0.7],
        "names": ["MEMO-RN50", "MEMO-RNXT", "TPT"],
    },
}
# What its notebook changed in two of them before it ran them. In all four the batch-norm prior
# acted only where a member answered alone, not in the joint steps nor in the simple ensemble.
NOTEBOOK: dict[str, dict[str, Any]] = {
    "ensemble-imagenetv2-rn50-rnxt": {"top": 0.2},
    "ensemble-imagenet-a-rn50-tpt": {"top": 0.2},
}
# Its tables, in %: each number by the experiment whose setting it was measured with.
ENSEMBLE_TABLE: dict[str, dict[str, float]] = {
    "ensemble-imagenet-a-rn50-rnxt": {"memo-rn50": 27.28, "memo-rnxt": 27.03},
    "ensemble-imagenet-a-rn50-rnxt-as-run": {"": 28.48, "simple_ensemble": 31.4},
    "ensemble-imagenetv2-rn50-rnxt": {},
    "ensemble-imagenetv2-rn50-rnxt-as-run": {"": 69.63, "simple_ensemble": 70.96},
    "member-memo-imagenetv2": {"": 68.48},
    "member-memo-rnxt-imagenetv2": {"": 69.88},
    "ensemble-imagenet-a-rn50-tpt": {},
    "ensemble-imagenet-a-rn50-tpt-as-run": {"": 30.49, "simple_ensemble": 34.97, "tpt": 27.99},
    "member-memo-imagenet-a": {"": 27.33},
    "ensemble-imagenet-a-rn50-rnxt-tpt": {"memo-rn50": 27.1, "memo-rnxt": 27.17, "tpt": 28.37},
    "ensemble-imagenet-a-rn50-rnxt-tpt-as-run": {"": 27.74, "simple_ensemble": 36.23},
}
# The members that were measured alone with the notebook's share: their ensemble, and their place.
ALONE = {
    "member-memo-imagenet-a": ("ensemble-imagenet-a-rn50-tpt", 0),
    "member-memo-imagenetv2": ("ensemble-imagenetv2-rn50-rnxt", 0),
    "member-memo-rnxt-imagenetv2": ("ensemble-imagenetv2-rn50-rnxt", 1),
}
# The arguments of its MEMO tests, written as keywords there.
MEMO = ("prior_strength", "lr", "weight_decay", "opt", "niter", "top", "ensemble")
MEMO += ("imageNetA", "naug", "aug_type", "drop", "weights")

DATASETS = {"A": "imagenet-a", "V2": "imagenetv2"}
NETWORKS = {"RN50": "resnet50", "RNXT": "resnext50_32x4d"}
# What changes where in an experiment; lists are written as a dictionary has them.
TPT_CHANGES: list[tuple[str, Any, str]] = [
    ("dataset", "V2", "data.dataset"),
    ("augs", 8, "method.views.count"),
    ("ttt_steps", 2, "method.steps"),
    ("align_steps", 1, "method.align_steps"),
    ("ensemble", True, "method.kind"),
    ("test_stop", 5, "data.subset"),
    ("confidence", 0.5, "method.select"),
    ("base_prompt", "[CLS]!", "method.context.prompt"),
    ("arch", "ViT-B/16", "model.name"),
    ("lr", 0.1, "method.optimizer.lr"),
    ("name", "TPT_align_A", "name"),
]
ENSEMBLE_CHANGES: list[tuple[str, Any, str]] = [
    ("imageNetA", False, "data.dataset"),
    ("naug", 8, "method.members.1.method.views.count"),
    ("top", 0.2, "method.members.0.method.select"),
    ("niter", 2, "method.steps"),
    ("testSingleModels", False, "method.singles"),
    ("args", [RN50, {**CLIP, "align_steps": 2}], "method.members.1.method.align_steps"),
    ("args", [RNXT, CLIP], "method.members.0.model"),
    ("temps", [1, 0.7], "method.temperatures.0"),
    ("names", ["memo", "prompt"], "method.members.1.name"),
    ("models_type", ["memo", "memo"], "method.members.1.method.kind"),
]
# `compute.device` is outside of what an experiment is; a context in one tensor or in two is tuned
# to the same numbers, element by element; the simple ensemble is always answered.
NO_CHANGE = {"device", "splt_ctx", "simple_ensemble"}


def clip(arch: str, prompt: str) -> dict[str, Any]:
    """Return the model of a prompt's zero-shot answer."""
    template = prompt.replace("[CLS]", "{}")
    name = arch.replace("/", "-")
    return {"kind": "open_clip", "name": name, "weights": "openai", "templates": (template,)}


def tuned_prompt(test: Mapping[str, Any]) -> dict[str, Any]:
    """Return the method of a dictionary that tunes a prompt."""
    return {
        "kind": "tpt",
        "views": {"kind": "cut", "count": test["augs"], "include_original": True},
        "select": test["confidence"],
        "steps": test["ttt_steps"],
        "optimizer": {"kind": "adamw", "lr": test["lr"], "weight_decay": 0.01},
        "context": {"kind": "words", "prompt": test["base_prompt"]},
        "align_steps": test["align_steps"],
        "align_optimizer": {"kind": "adamw", "lr": 1e-4},
    }


def tpt_experiment(test: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a TPT dictionary, the base's keys included, determines of an experiment."""
    method = tuned_prompt(test)
    if test["ensemble"]:
        kept = ("views", "select")
        method = {"kind": "view_ensemble", **{key: method[key] for key in kept}}
    if test["ensemble"] and test["augs"] == 1:
        method = {"kind": "source"}
    label = test["name"].rpartition("_")[0].lower().replace("_", "-")
    data = DATASETS[test["dataset"]]
    stop = test["test_stop"]
    return {
        "name": f"{FOLDER}/{label}-{data}",
        "data": {"dataset": data, "subset": None if stop == -1 else {"count": stop}},
        "model": clip(test["arch"], test["base_prompt"]),
        "method": method,
    }


def network(name: str) -> dict[str, Any]:
    """Return a model of the MEMO members; DEFAULT is the newer of torchvision's weights."""
    return {"kind": "torchvision", "name": NETWORKS[name], "weights": "IMAGENET1K_V2"}


def member(
    kind: str, name: str, arguments: Mapping[str, Any], test: Mapping[str, Any]
) -> dict[str, Any]:
    """Return one member of an ensemble, by its loader's defaults where a key is absent."""
    label = name.lower().replace(" ", "-")
    views = {"augs": test["naug"], "confidence": test["top"], "ttt_steps": arguments["ttt_steps"]}
    if kind == "tpt":
        prompt = "A bad photo of a [CLS]"
        align = arguments["align_steps"]
        settings = {**BASE, **views, "base_prompt": prompt, "align_steps": align}
        model = clip(arguments["arch"], prompt)
        return {"name": label, "model": model, "method": tuned_prompt(settings)}
    assert arguments["drop"] == 0, "a member with dropout would be a view_ensemble"
    method = {
        "kind": "memo",
        "views": {"kind": "cut", "count": test["naug"], "include_original": True},
        "select": test["top"],
        "steps": arguments["ttt_steps"],
        "optimizer": {"kind": "sgd", "lr": 0.005, "momentum": 0.0, "weight_decay": 1e-4},
        "bn_prior": {"rho": arguments.get("prior_strength", 0.94)},
    }
    # The experiment's own model stands in the first member's place.
    model = None if arguments["model"] == "RN50" else network(arguments["model"])
    return {"name": label, "model": model, "method": method}


def as_run(name: str) -> dict[str, Any]:
    """Return an ensemble as the notebook ran it: its share of the views, no batch-norm prior."""
    expected = ensemble_experiment(ENSEMBLES[name] | NOTEBOOK.get(name, {}))
    for one in expected["method"]["members"]:
        if one["method"]["kind"] == "memo":
            one["method"]["bn_prior"] = None
    return expected


def ensemble_experiment(test: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an ensemble's dictionary determines of an experiment."""
    assert test["simple_ensemble"], "hardy always has this answer"
    each = zip(test["models_type"], test["names"], test["args"], strict=True)
    return {
        "data": {"dataset": DATASETS["A" if test["imageNetA"] else "V2"], "subset": None},
        "model": network("RN50"),
        "method": {
            "kind": "ensemble",
            "members": tuple(member(*one, test) for one in each),
            "temperatures": tuple(test["temps"]),
            "steps": test["niter"],
            "marginal": "raw_log_mean_exp",
            "renormalise": False,
            "singles": test["testSingleModels"],
        },
    }


def differences(expected: object, got: object, path: str = "") -> Iterator[str]:
    """Yield where a shipped experiment does not hold what is expected of it."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for key, value in expected.items():
            yield from differences(value, got.get(key, "absent"), f"{path}.{key}")
    elif isinstance(expected, tuple) and isinstance(got, tuple) and len(expected) == len(got):
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            yield from differences(one, other, f"{path}.{index}")
    elif expected != got:
        yield f"{path[1:]} is {got!r}, expected {expected!r}"


def shipped(name: str) -> dict[str, Any]:
    """Return a shipped experiment as plain values."""
    (unit,) = resolve(name).units
    return unit.experiment.model_dump()


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("test", TPT, ids=lambda test: test["name"])
def test_a_dictionary_of_tpt_is_a_shipped_experiment(test: dict[str, Any]) -> None:
    expected = tpt_experiment(BASE | test)
    assert list(differences(expected, shipped(expected["name"]))) == []


@pytest.mark.parametrize("name", ENSEMBLES)
def test_a_dictionary_of_the_ensemble_is_a_shipped_experiment(name: str) -> None:
    expected = ensemble_experiment(ENSEMBLES[name])
    assert list(differences(expected, shipped(f"{FOLDER}/{name}"))) == []


@pytest.mark.parametrize("name", ENSEMBLES)
def test_an_ensemble_has_a_twin_as_it_was_run(name: str) -> None:
    assert list(differences(as_run(name), shipped(f"{FOLDER}/{name}-as-run"))) == []
    assert list(differences(as_run(name), shipped(f"{FOLDER}/{name}"))) != []


@pytest.mark.parametrize("name", ALONE)
def test_a_member_alone_is_as_its_ensemble_had_it(name: str) -> None:
    ensemble, place = ALONE[name]
    whole = ensemble_experiment(ENSEMBLES[ensemble] | NOTEBOOK[ensemble])
    one = whole["method"]["members"][place]
    expected = {"data": whole["data"], "model": one["model"] or whole["model"]}
    got = shipped(f"{FOLDER}/{name}")
    assert list(differences({**expected, "method": one["method"]}, got)) == []


def test_each_number_of_the_ensembles_hangs_on_its_own_setting() -> None:
    suite = resolve(f"suites/{FOLDER}/ensemble").units
    found = {
        unit.experiment.name.removeprefix(f"{FOLDER}/"): {
            expect.metric.removesuffix("accuracy").rstrip("/"): round(100 * expect.value, 2)
            for expect in unit.experiment.expect
        }
        for unit in suite
    }
    assert found == ENSEMBLE_TABLE


@pytest.mark.parametrize(("key", "value", "where"), TPT_CHANGES)
def test_each_key_of_tpt_counts(key: str, value: object, where: str) -> None:
    changed = tpt_experiment(BASE | {"name": "TPT_sel_A", key: value})
    found = differences(changed, shipped(f"{FOLDER}/tpt-sel-imagenet-a"))
    assert where in {line.partition(" is ")[0] for line in found}


@pytest.mark.parametrize(("key", "value", "where"), ENSEMBLE_CHANGES)
def test_each_key_of_the_ensemble_counts(key: str, value: Any, where: str) -> None:
    name = "ensemble-imagenet-a-rn50-tpt"
    test = {**ENSEMBLES[name], key: value}
    if key == "models_type":
        test["args"] = [RN50, RNXT]
    found = differences(ensemble_experiment(test), shipped(f"{FOLDER}/{name}"))
    assert where in {line.partition(" is ")[0] for line in found}


def test_no_key_is_left_out() -> None:
    assert {key for key, _, _ in TPT_CHANGES} | NO_CHANGE >= set(BASE)
    assert {key for key, _, _ in ENSEMBLE_CHANGES} | NO_CHANGE >= {*COMMON, *TWO}


def test_the_page_names_every_key() -> None:
    text = (ROOT / "docs" / "memo-tpt-2024.md").read_text(encoding="utf-8")
    keys = {*BASE, *COMMON, *TWO, *RN50, *CLIP, *MEMO}
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []
