"""A search's plan: trial 0's units, and the test samples that no trial may see."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from hardy.core.errors import DataError
from hardy.plan.costs import price
from hardy.plan.measured import ModelCost
from hardy.plan.units import Plan, make_plan
from hardy.spec import Resolved, resolve
from tests.plan.helpers import NO_STORES, Asked, Shelf, finished

COST = ModelCost("here", 224, 10**9, 2 * 10**9, 0.01, 0.02, 10**9, 10**7, 10**6, 10**8)
SPEC = """\
name: searched
data: {dataset: folder, root: IMAGES, partition: {fractions: {tune: 0.5, test: 0.5}, part: tune}}
model: {kind: timm, name: resnet18, weights: random}
method: {kind: memo, views: {kind: cut, count: 4}}
search:
  space: {method.steps: {kind: int, low: 1, high: 3}}
  objectives: [{metric: accuracy}]
  budget: {trials: 7}
  test_on: {part: test}
  seeds: [0, 1]
"""


@pytest.fixture
def searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resolved:
    """A search over a folder of 12 images in two classes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MLproject").touch()
    for number in range(12):
        path = tmp_path / "images" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number * 20, 0, 0)).save(path)
    (tmp_path / "searched.yaml").write_text(SPEC.replace("IMAGES", str(tmp_path / "images")))
    return resolve("searched.yaml")


def plan(resolved: Resolved) -> Plan:
    return make_plan(resolved, NO_STORES, None)


def test_more_test_samples_than_there_are_are_refused_by_their_name(searched: Resolved) -> None:
    many = resolve(str(searched.path), ["search.test_on.samples=7"])
    with pytest.raises(DataError, match=r"^7 samples asked of folder's 6") as refused:
        plan(many)
    assert "`samples` of what is held out or tested on" in str(refused.value.hint)


def test_a_search_is_planned_with_its_test_samples(searched: Resolved) -> None:
    found = plan(searched)
    assert [u.unit.experiment.name for u in found.units] == [
        "searched/0-seed-0",
        "searched/0-seed-1",
    ]
    for trial, test in zip(found.units, found.tests, strict=True):
        assert test.unit.experiment.name == f"{trial.unit.experiment.name}/test"
        assert test.unit.experiment.seed == trial.unit.experiment.seed
        assert test.own.digest != trial.own.digest
        assert test.own.count == trial.own.count == 6
    assert make_plan(resolve("searched.yaml", ["search=null"]), NO_STORES, None).tests == ()


def test_a_test_image_that_trials_see_is_refused(searched: Resolved) -> None:
    found = plan(searched)
    (seen, unseen) = (u[0].own.dataset for u in (found.units, found.tests))
    assert seen is not None
    assert unseen is not None
    shutil.copy(seen.samples[0].path, unseen.samples[2].path)
    with pytest.raises(DataError, match="1 test images of searched/0-seed-0 are among") as caught:
        plan(searched)
    assert str(unseen.samples[2].id) in caught.value.message
    assert "search.test_on" in caught.value.hint


def test_the_budget_is_priced_by_trial_0_whether_it_ran_or_not(
    monkeypatch: pytest.MonkeyPatch, searched: Resolved
) -> None:
    fresh = Asked().plan(searched)
    shelf = Shelf({fresh.units[0].fingerprint: finished()})
    again = Asked().plan(searched, shelf)
    for each in (fresh, again):
        costs = price(each, lambda experiment: COST, None)
        one = each.units[0].unit.experiment.method.cost().forward * 20
        assert costs.trials is not None
        assert costs.tests is not None
        assert (costs.trials.forward, costs.tests.forward) == (7 * 2 * one, 2 * 2 * one)
        assert costs.total.forward == one * sum(not unit.reusable for unit in each.units)
