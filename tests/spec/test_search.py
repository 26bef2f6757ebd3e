"""`search` in a spec: what it means, its trials' units, and what overrides do to it."""

import inspect
import pickle
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from hardy.plan.units import fingerprint
from hardy.spec import Diagnostics, Resolved, Unit, resolve
from hardy.spec.search.faults import CONDITIONAL, CONSTRAINED
from hardy.spec.search.spec import Categorical, FloatRange, IntRange
from hardy.spec.search.units import alone, trial_units
from hardy.spec.search.units import tested as on_test_samples
from hardy.spec.search.values import label_in, most_trials, points

BASE = """\
name: searched
data: {dataset: imagenet-sample, partition: {fractions: {tune: 0.5, test: 0.5}, part: tune}}
model: {kind: timm, name: resnet50}
method: {kind: memo, optimizer: {kind: sgd, lr: 1.0e-3, momentum: 0.5}}
"""
SEARCH = """\
search:
  space:
    method.steps: {kind: int, low: 1, high: 3}
    method.views: [{kind: augmix, count: 64}, {kind: cut, count: 8}]
    method.bn_prior: [null, 16, {rho: 0.5}]
    method.optimizer.kind: [sgd, adamw]
    method.optimizer.momentum: {kind: float, low: 0, high: 0.9, when: {method.optimizer.kind: sgd}}
    method.optimizer.weight_decay:
      {kind: float, low: 0.1, high: 0.5, step: 0.1, when: {method.optimizer.kind: adamw}}
  objectives: [{metric: accuracy}]
  budget: {trials: 10}
  test_on: {part: test}
"""
THIRD = 0.1 + 0.2  # as a study adds steps up
VIEWS = '{"count": 64, "kind": "augmix"}'
CUT = '{"count": 8, "kind": "cut"}'
OWN = {
    "method.steps": 1,
    "method.views": VIEWS,
    "method.bn_prior": 16,
    "method.optimizer.kind": "sgd",
    "method.optimizer.momentum": 0.5,
}


def write(project: Path, text: str, name: str = "searched") -> str:
    (project / "experiments" / f"{name}.yaml").write_text(text)
    return name


def searched(project: Path, more: str = "", *overrides: str) -> Resolved:
    return resolve(write(project, BASE + SEARCH + more), overrides)


def mark(unit: Unit) -> str:
    return fingerprint(unit.experiment, "data", "weights")


def faults(project: Path, more: str, *overrides: str) -> str:
    with pytest.raises(Diagnostics) as caught:
        searched(project, more, *overrides)
    return str(caught.value)


def test_trial_0_has_the_spec_s_own_values(project: Path) -> None:
    resolved = searched(project)
    assert resolved.search is not None
    assert resolved.search.own == OWN
    assert list(resolved.search.own) == [p for p in resolved.search.spec.ordered if p in OWN]
    (unit,) = resolved.units
    assert (resolved.name, unit.experiment.name) == ("searched", "searched/0")
    plain = resolve("searched", ["search=null"])
    assert plain.search is None
    assert mark(unit) == mark(plain.units[0])
    assert plain.units[0].experiment.name == "searched"


def test_a_trial_is_the_experiment_that_one_would_write_by_hand(project: Path) -> None:
    resolved = searched(project)
    values = OWN | {"method.steps": 3, "method.views": CUT, "method.bn_prior": '{"rho": 0.5}'}
    del values["method.optimizer.momentum"]
    values |= {
        "method.optimizer.kind": "adamw",
        "method.optimizer.weight_decay": 0.30000000000000004,
    }
    (unit,) = trial_units(resolved, values, "7")
    method = """\
method:
  kind: memo
  steps: 3
  views: {kind: cut, count: 8}
  bn_prior: {rho: 0.5}
  optimizer: {kind: adamw, lr: 1.0e-3, weight_decay: 0.30000000000000004}
"""
    by_hand = BASE[: BASE.index("method:")] + method
    other = resolve(write(project, by_hand, "by-hand")).units[0]
    assert unit.experiment.model_copy(update={"name": "searched"}) == other.experiment
    assert mark(unit) == mark(other)
    assert unit.experiment.name == "searched/7"
    assert unit.choices == values | {
        "method.views": {"kind": "cut", "count": 8},
        "method.bn_prior": {"rho": 0.5},
    }


def test_what_stands_by_default_is_searched_too(project: Path) -> None:
    text = BASE.replace(", optimizer: {kind: sgd, lr: 1.0e-3, momentum: 0.5}", "")
    text += (
        "search:\n  space:\n    method.optimizer.lr: {kind: float, low: 1.0e-5, high: 1.0e-2}\n"
        "    method.views.count: {kind: int, low: 8, high: 64}\n"
        + SEARCH[SEARCH.index("  objectives") :]
    )
    resolved = resolve(write(project, text))
    assert resolved.search is not None
    (unit,) = trial_units(resolved, {"method.optimizer.lr": 0.001, "method.views.count": 9}, "1")
    by_hand = resolve("searched", ["search=null", "method={kind: memo, optimizer: {kind: sgd, lr: "
                                   "0.001}, views: {kind: augmix, count: 9}}"])  # fmt: skip
    assert mark(unit) == mark(by_hand.units[0])


def test_values_of_an_ensemble_s_members_are_searched(project: Path) -> None:
    members = "[{name: a, method: {kind: memo}}, {name: b, method: {kind: memo, steps: 2}}]"
    text = BASE[: BASE.index("method:")] + f"method: {{kind: ensemble, members: {members}}}\n"
    text += "search:\n  space: {method.members.0.method.steps: [1, 2], "
    text += "method.members.1.method.optimizer.lr: {kind: float, low: 0.0001, high: 0.1}}\n"
    resolved = resolve(write(project, text + SEARCH[SEARCH.index("  objectives") :]))
    values = {"method.members.0.method.steps": 2, "method.members.1.method.optimizer.lr": 0.05}
    (unit,) = trial_units(resolved, values, "1")
    changed = "{kind: memo, steps: 2, optimizer: {kind: sgd, lr: 0.05}}"
    by_hand = resolve("searched", ["search=null", "method.members.0.method.steps=2",
                                   f"method.members.1.method={changed}"])  # fmt: skip
    assert mark(unit) == mark(by_hand.units[0])
    assert ("method", "members", 0, "method", "kind") in unit.origins


def test_a_trial_has_a_unit_for_each_seed(project: Path) -> None:
    resolved = searched(project, "  seeds: [3, 5]\n")
    assert [u.experiment.name for u in resolved.units] == ["searched/0-seed-3", "searched/0-seed-5"]
    units = trial_units(resolved, OWN | {"method.steps": 2}, "4")
    assert [u.experiment.name for u in units] == ["searched/4-seed-3", "searched/4-seed-5"]
    assert [u.experiment.seed for u in units] == [3, 5]
    assert [u.choices["seed"] for u in units] == [3, 5]
    (one,) = searched(project, "  seeds: [3]\n").units
    assert (one.experiment.name, one.experiment.seed) == ("searched/0", 3)
    (set_,) = searched(project, "  seeds: [3, 5]\n", "seed=9").units
    assert set_.experiment.seed == 9


def test_fixed_trials_take_the_rest_from_the_spec(project: Path) -> None:
    more = (
        "  first:\n  - {method.bn_prior: {rho: 0.5}}\n"
        "  - {method.optimizer.kind: adamw, method.optimizer.weight_decay: 0.2, method.steps: 2}\n"
    )
    search = searched(project, more).search
    assert search is not None
    other = {"method.steps": 2, "method.optimizer.kind": "adamw"}
    adamw = {path: value for path, value in (OWN | other).items() if "momentum" not in path}
    assert search.fixed == (
        OWN,
        OWN | {"method.bn_prior": '{"rho": 0.5}'},
        adamw | {"method.optimizer.weight_decay": 0.2},
    )


def test_extends_merges_a_search_like_all_else(project: Path) -> None:
    write(project, BASE + SEARCH)
    text = (
        "extends: searched.yaml\nname: longer\nsearch:\n  budget: {trials: 30}\n"
        "  space: {method.steps: {high: 2}, method.views: null}\n"
    )
    with pytest.raises(Diagnostics, match=r"search\.space\.method\.views"):
        resolve(write(project, text, "longer"))
    search = resolve(write(project, text.replace(", method.views: null", ""), "longer")).search
    assert search is not None
    assert search.spec.budget.trials == 30
    assert search.spec.space["method.steps"] == IntRange(low=1, high=2)
    write(project, "extends: searched.yaml\nname: none\nsearch: null\n", "none")
    assert resolve("none").search is None


def test_overrides_reach_into_a_search(project: Path) -> None:
    sets = ("search.budget.trials=5", "search.space.method.steps.high=2",
            "search.space.method.select={kind: float, low: 0.1, high: 1}")  # fmt: skip
    search = searched(project, "", *sets).search
    assert search is not None
    assert search.spec.budget.trials == 5
    assert search.spec.space["method.steps"] == IntRange(low=1, high=2)
    assert search.spec.space["method.select"] == FloatRange(low=0.1, high=1)


@pytest.mark.parametrize(
    ("override", "gone"),
    [
        ("method.steps=2", {"method.steps"}),
        ("method.optimizer.kind=sgd", {"method.optimizer.kind", "method.optimizer.weight_decay"}),
        ("method.optimizer={kind: sgd, lr: 0.1}", {"method.optimizer.kind",
         "method.optimizer.weight_decay", "method.optimizer.momentum"}),
    ],
)  # fmt: skip
def test_what_is_overridden_is_not_searched(project: Path, override: str, gone: set[str]) -> None:
    whole, less = searched(project).search, searched(project, "", override).search
    assert whole is not None
    assert less is not None
    assert set(less.spec.space) == set(whole.spec.space) - gone
    momentum = less.spec.space.get("method.optimizer.momentum")
    # The condition holds under the value that was set.
    assert momentum is None or "kind" not in override or momentum.when is None


def test_no_matrix_is_left_beside_it(project: Path) -> None:
    matrix = "matrix: {seed: [0, 1]}\n"
    assert "this file has a matrix" in faults(project, matrix)
    for override in ("matrix=null", "seed=1"):
        assert searched(project, matrix, override).search is not None


def test_a_suite_takes_it_without_its_search(project: Path) -> None:
    write(project, BASE + SEARCH)
    suite = "name: all\nsuite: [{experiment: searched, set: ['search=null']}]\n"
    assert [u.experiment.name for u in resolve(write(project, suite, "all")).units] == ["searched"]


def test_the_test_samples_take_the_place_of_the_answered_ones(project: Path) -> None:
    more = "expect: [{metric: accuracy, value: 1, tolerance: 0, source: me}]\n"
    resolved = searched(project, more)
    assert resolved.search is not None
    test = on_test_samples(resolved.search, resolved.units[0], "best").experiment
    assert (test.name, test.expect) == ("best", ())
    by_hand = resolve("searched", ["search=null", "data.partition.part=test"]).units[0]
    assert fingerprint(test, "", "") == fingerprint(by_hand.experiment, "", "")


TRAINED = """\
name: trained
data: {dataset: cifar10, partition: {fractions: {train: 0.8, val: 0.1, test: 0.1}, part: train}}
model: {kind: timm, name: resnet18}
method: {kind: supervised, validate_on: {part: val}}
search:
  space: {method.optimizer.lr: {kind: float, low: 1.0e-4, high: 1.0e-2, log: true}}
  objectives: [{metric: accuracy}]
  budget: {trials: 10}
  test_on: {part: test}
"""


def test_a_training_answers_for_the_test_samples(project: Path) -> None:
    resolved = resolve(write(project, TRAINED))
    assert resolved.search is not None
    (unit,) = trial_units(resolved, {"method.optimizer.lr": 0.005}, "1")
    test = on_test_samples(resolved.search, unit, "best").experiment
    sets = ["search=null", "method.answer_on={part: test}",
            "method.optimizer={kind: adamw, lr: 0.005, weight_decay: 0.1}"]  # fmt: skip
    by_hand = resolve("searched", sets).units[0].experiment
    assert fingerprint(test, "", "") == fingerprint(by_hand, "", "")
    assert test.method.roles()["validate"] == unit.experiment.method.roles()["answer"]


def test_trials_begin_with_the_weights_of_other_experiments(project: Path) -> None:
    write(project, TRAINED[: TRAINED.index("search:")], "trained")
    text = BASE.replace("imagenet-sample", "cifar10").replace("resnet50", "resnet18")
    text = text.replace("resnet18}", "resnet18, weights: {from: experiment:trained, same: [seed]}}")
    resolved = resolve(write(project, text + SEARCH + "  seeds: [0, 1]\n"))
    units = trial_units(resolved, OWN | {"method.steps": 2}, "1")
    for unit, zero, seed in zip(units, resolved.units, (0, 1), strict=True):
        assert unit.needs == zero.needs
        assert unit.needs["model.weights"].experiment.seed == seed


def test_a_trial_that_the_experiment_refuses_says_why(project: Path) -> None:
    resolved = searched(project)
    with pytest.raises(Diagnostics, match="less than or equal to 100"):
        trial_units(resolved, OWN | {"method.steps": 1000}, "1")


def test_trials_are_made_quickly(project: Path) -> None:
    resolved = searched(project, "  seeds: [0, 1]\n")
    trial_units(resolved, OWN, "1")
    start = time.process_time()
    for steps in range(1, 21):
        trial_units(resolved, OWN | {"method.steps": steps}, str(steps))
    assert (time.process_time() - start) / 20 < 0.03


def test_a_search_travels_to_another_process(project: Path) -> None:
    resolved = searched(project)
    copy = pickle.loads(pickle.dumps(resolved))
    assert copy.search == resolved.search
    assert trial_units(copy, OWN, "1") == trial_units(resolved, OWN, "1")


def test_without_its_search_it_says_who_set_what(project: Path) -> None:
    search = searched(project).search
    assert search is not None
    unit = alone(search)
    assert unit.experiment.name == "searched"
    assert unit.origins["search", "budget", "trials"][0].value == 10


def test_too_many_values_are_refused(project: Path) -> None:
    more = f"    method.select: [{', '.join(str(n / 2000) for n in range(1, 1100))}]\n"
    text = BASE + SEARCH.replace("  objectives", more + "  objectives")
    with pytest.raises(Diagnostics, match="1,112 bounds and choices are more than 1,000"):
        resolve(write(project, text))


@pytest.mark.parametrize(
    ("spec", "value", "label"),
    [
        (IntRange(low=1, high=9, step=2), 5, 5),
        (IntRange(low=1, high=9, step=2), 5.0, 5),
        (IntRange(low=1, high=9, step=2), 4, None),
        (IntRange(low=0, high=1), True, None),
        (FloatRange(low=0, high=1, step=0.1), 0.30000000000000004, 0.30000000000000004),
        (FloatRange(low=0, high=1, step=0.1), 0.35, None),
        (FloatRange(low=0, high=1), float("nan"), None),
        (FloatRange(low=0, high=1), "0.5", None),
        (Categorical(choices=(True, 2)), 1, None),
        (Categorical(choices=(1, [1, {"a": None}])), [1, {"a": None}], '[1, {"a": null}]'),
        (Categorical(choices=(1, [1, {"a": None}])), '[1, {"a": null}]', '[1, {"a": null}]'),
    ],
)
def test_values_of_a_space(spec: Any, value: object, label: object) -> None:
    assert label_in(spec, value) == (None if label is None else (label,))


def test_the_points_of_a_grid_are_those_of_optuna(project: Path) -> None:
    space = {
        "a": IntRange(low=1, high=10, step=4),
        "b": FloatRange(low=0.1, high=0.8, step=0.1),
        "c": Categorical(choices=("x", "y")),
    }
    values = {
        "a": [1, 5, 9],
        "b": [0.1 + 0.1 * n for n in range(8)],
        "c": ["x", "y"],
    }
    assert points(space.values()) == len(optuna.samplers.GridSampler(values)._all_grids)
    assert points([FloatRange(low=0, high=1)]) is None
    more = "  sampler: {kind: grid}\n  budget: {trials: 3}\n"
    text = TRAINED.replace(", log: true", ", step: 1.0e-4").replace("  budget: {trials: 10}\n", "")
    search = resolve(write(project, text + more)).search
    assert search is not None
    assert most_trials(search.spec) == 3
    assert most_trials(search.spec.model_copy(update={"budget": search.spec.budget.model_copy(
        update={"trials": 1000})})) == 100  # fmt: skip


def test_what_samplers_can_do_is_what_optuna_says() -> None:
    own = {
        "tpe": optuna.samplers.TPESampler,
        "random": optuna.samplers.RandomSampler,
        "grid": optuna.samplers.GridSampler,
        "qmc": optuna.samplers.QMCSampler,
        "gp": optuna.samplers.GPSampler,
        "nsga2": optuna.samplers.NSGAIISampler,
    }
    able = {k for k, s in own.items() if "constraints_func" in inspect.signature(s).parameters}
    assert able == set(CONSTRAINED)
    assert set(CONDITIONAL) | {"qmc", "gp", "grid"} == set(own)


def test_the_example_of_the_documentation_is_valid(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    text = (root / "docs" / "search.md").read_text(encoding="utf-8")
    example = text.partition("```yaml\n")[2].partition("```")[0]
    spec = tmp_path / "example.yaml"
    spec.write_text(example.replace("../quickstart", str(root / "experiments" / "quickstart")))
    search = resolve(str(spec)).search
    assert search is not None
    assert len(search.fixed) == 2
    for field in type(search.spec).model_fields:
        assert f"\n| `{field}` |" in text
