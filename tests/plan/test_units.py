"""Plans: what is reused, what must run first, and how often anything is asked."""

from dataclasses import replace

import pytest
from PIL import Image

from hardy.core.errors import DataError, WeightsError
from hardy.data.open import open_dataset
from hardy.methods.evaluate.spec import SourceSpec
from hardy.methods.memo_plus.spec import MemoPlusSpec, Sam
from hardy.plan import inputs
from hardy.plan.foresee import faults
from hardy.plan.tracker import PastRun
from hardy.plan.units import OWN_WEIGHTS as OWN
from hardy.plan.units import fingerprint, make_plan
from hardy.spec import Unit
from hardy.tasks.classify.spec import ClassifySpec
from tests.plan.helpers import NO_STORES, Asked, Shelf, experiment, finished, resolved


def chain() -> tuple[Unit, Unit, Unit]:
    """Three units, each beginning with the weights of the one before."""
    first = Unit(experiment(name="first"))
    second = Unit(experiment(name="second", seed=1), needs={OWN: first})
    return first, second, Unit(experiment(name="third", seed=2), needs={OWN: second})


def test_a_thousand_units_ask_each_thing_once():
    asked, shelf = Asked(), Shelf()
    units = [Unit(experiment(seed=seed)) for seed in range(1000)]
    plan = asked.plan(resolved(*units), shelf)
    assert len({unit.fingerprint for unit in plan.units}) == 1000
    assert (len(asked.data), len(asked.models), shelf.searches) == (1, 1, 1)


def test_finished_runs_are_reused_and_unfinished_ones_go_on():
    units = [Unit(experiment(seed=seed)) for seed in range(3)]
    marks = [u.fingerprint for u in Asked().plan(resolved(*units)).units]
    unfinished = PastRun("r2", "plain", finished=False)
    shelf = Shelf({marks[0]: finished(), marks[1]: unfinished})
    plan = Asked().plan(resolved(*units), shelf)
    assert [u.reusable for u in plan.units] == [True, False, False]
    assert [u.past.run_id if u.past else None for u in plan.units] == ["r1", "r2", None]
    again = Asked().plan(resolved(*units), shelf, again=True)
    assert [u.past.run_id if u.past else None for u in again.units] == [None, "r2", None]


def test_what_is_needed_runs_first_and_once():
    first, second, third = chain()
    twin = replace(third, experiment=experiment(name="twin", seed=3))
    plan = Asked().plan(resolved(third, twin), Shelf())
    assert [u.unit.experiment.name for u in plan.needed] == ["first", "second"]
    assert [u.unit for u in plan.needed] == [first, second]
    assert plan.units[0].needs[OWN] is plan.units[1].needs[OWN] is plan.needed[1]
    assert plan.units[0].weights == f"run:{plan.needed[1].fingerprint}"


def test_a_finished_source_is_not_run_again_even_with_again():
    *_, third = chain()
    fresh = Asked().plan(resolved(third))
    shelf = Shelf({fresh.needed[1].fingerprint: finished("r2")})
    for again in (False, True):
        plan = Asked().plan(resolved(third), shelf, again=again)
        assert plan.needed == ()
        assert plan.units[0].needs[OWN].past.run_id == "r2"


def test_a_finished_unit_needs_nothing_to_run_first():
    *_, third = chain()
    fresh = Asked().plan(resolved(third))
    shelf = Shelf({fresh.units[0].fingerprint: finished()})
    assert Asked().plan(resolved(third), shelf).needed == ()


def test_another_source_gives_another_fingerprint():
    first, *_, third = chain()
    other = replace(first, experiment=experiment(name="first", seed=9))
    changed = replace(third, needs={OWN: replace(third.needs[OWN], needs={OWN: other})})
    plans = [Asked().plan(resolved(unit)) for unit in (third, changed)]
    assert plans[0].units[0].fingerprint != plans[1].units[0].fingerprint


@pytest.mark.parametrize("name", ["first", "renamed"])
def test_the_source_s_name_is_outside_the_fingerprint(name):
    first, *_, third = chain()
    renamed = replace(first, experiment=experiment(name=name))
    changed = replace(third, needs={OWN: replace(third.needs[OWN], needs={OWN: renamed})})
    plans = [Asked().plan(resolved(unit)) for unit in (third, changed)]
    assert plans[0].fingerprint == plans[1].fingerprint


def test_no_method_yields_weights_unless_it_says_so():
    assert not SourceSpec.yields_weights


CONTRASTIVE = {
    "data": {"dataset": "shapes", "split": "train"},
    "model": {"kind": "open_clip", "name": "hardy-shapes", "weights": "random"},
    "method": {"kind": "contrastive", "validate_on": {"split": "test"}},
}


def test_samples_by_role_and_the_same_ones_once():
    asked = Asked()
    (unit,) = asked.plan(resolved(Unit(experiment(**CONTRASTIVE)))).units
    assert list(unit.samples) == ["fit", "validate", "answer"]
    assert unit.samples["validate"] is unit.samples["answer"]
    assert unit.own is unit.samples["fit"]
    assert unit.data_digest == "shapes/train/"
    assert [data.split for data in asked.data] == ["train", "test"]


def test_the_fingerprint_takes_the_own_samples_first_and_each_held_out_set_once():
    of = experiment(**CONTRASTIVE)
    (unit,) = Asked().plan(resolved(Unit(of))).units
    weights = unit.located[OWN].identity
    assert unit.fingerprint == fingerprint(of, "shapes/train/ shapes/test/", weights)


def test_a_shift_makes_no_other_samples():
    shifts = [{"kind": "fog", "severity": severity} for severity in (1, 2, 3)]
    asked = Asked()
    data = [{"dataset": "imagenet-sample", "shift": shift} for shift in shifts]
    asked.plan(resolved(*(Unit(experiment(data=each)) for each in data)))
    assert len(asked.data) == 1


def test_a_dataset_is_opened_once_a_plan_and_handed_along(monkeypatch, tmp_path):
    opened = []

    def count(spec):
        opened.append(spec)
        return open_dataset(spec)

    monkeypatch.setattr(inputs, "open_dataset", count)
    shapes = {"count": 24, "size": 32}
    data = {**CONTRASTIVE["data"], "shapes": shapes}
    units = [Unit(experiment(**{**CONTRASTIVE, "data": data}, seed=seed)) for seed in (0, 1)]
    first, second = make_plan(resolved(*units), NO_STORES, None).units
    assert len(opened) == 2
    assert first.own.dataset is second.own.dataset is not None
    assert first.own.count == len(first.own.dataset.samples) == 24
    assert first.own.digest == first.own.dataset.digest
    assert first.samples["answer"].dataset is second.samples["validate"].dataset


def test_an_absent_checkpoint_is_told_with_the_command_that_fetches_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HARDY_DATA", str(tmp_path))
    unit = Unit(experiment(method=MemoPlusSpec()))
    (planned,) = Asked().plan(resolved(unit)).units
    (line,) = planned.absent
    assert line.endswith("sam_vit_b_01ec64.pth does not exist; to get it: hardy data get sam-vit-b")
    other = Unit(experiment(method=MemoPlusSpec(segmenter=Sam(checkpoint="own.pth"))))
    (planned,) = Asked().plan(resolved(other)).units
    assert planned.absent == ("file absent: own.pth does not exist",)


def test_what_is_absent_is_told_or_raised(monkeypatch, tmp_path):
    monkeypatch.setenv("HARDY_DATA", str(tmp_path))
    model = {"kind": "timm", "name": "resnet50", "weights": "file:nowhere.pth"}
    unit = Unit(experiment(data={"dataset": "imagenet-a"}, model=model))
    (planned,) = make_plan(resolved(unit), NO_STORES, None, absent_ok=True).units
    data, weights = planned.absent
    assert data.startswith("data absent: imagenet-a; to get it: ")
    assert weights.startswith("weights absent: weights file nowhere.pth does not exist")
    assert (planned.own.dataset, planned.own.count, planned.data_digest) == (None, None, "")
    with pytest.raises((DataError, WeightsError)):
        make_plan(resolved(unit), NO_STORES, None)
    here = Unit(experiment(model=model))
    with pytest.raises(WeightsError, match="nowhere"):
        make_plan(resolved(here), NO_STORES, None)


def test_all_that_its_weights_were_fitted_on_is_known():
    def data(split, seed):
        return {"dataset": "shapes", "split": split, "shapes": {"count": 24, "seed": seed}}

    trained = {**CONTRASTIVE, "method": {**CONTRASTIVE["method"], "epochs": 1}}
    first = Unit(experiment(name="first", **{**trained, "data": data("train", 1)}))
    again = Unit(experiment(name="first", **{**trained, "data": data("train", 2)}))
    second = Unit(
        experiment(name="second", **{**trained, "data": data("train", 3)}),
        needs={OWN: first, "method.members.1.model.weights": again},
    )
    own = {"kind": "hardy", "classes": 6}
    last = Unit(experiment(data=data("test", 1), model=own), needs={OWN: second})
    (unit,) = make_plan(resolved(last), NO_STORES, None).units
    found = unit.trained_on
    assert [name.partition(" ")[0] for name in found] == ["second", "first", "first"]
    assert len({dataset.digest for dataset in found.values()}) == 3
    assert found["second"] is unit.needs[OWN].samples["fit"].dataset


def test_a_task_is_in_the_fingerprint_only_if_it_is_not_the_plain_one(monkeypatch):
    class Finer(ClassifySpec):
        grain: int = 2

    plain = experiment()
    marks = {fingerprint(each, "d", "w") for each in (plain, experiment(task={"kind": "classify"}))}
    assert len(marks) == 1
    assert fingerprint(plain.model_copy(update={"task": Finer()}), "d", "w") not in marks


@pytest.mark.parametrize(
    ("task", "layout", "wanted", "instead"),
    [
        ("classify", "masks", "label", "segment"),
        ("segment", "labels", "mask", "classify"),
        ("classify", "images", "label", "reconstruct or represent"),
        ("segment", "images", "mask", "reconstruct or represent"),
    ],
)
def test_a_plan_says_that_a_dataset_lacks_the_truth(tmp_path, task, layout, wanted, instead):
    root = tmp_path / "set"
    folders = {"masks": ("images", "masks"), "labels": ("cat", "dog"), "images": ("",)}
    for folder in folders[layout]:
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(root / folder / "a.png")
    (root / "labels.txt").write_text("ground\nsky\n")
    model = {"kind": "segmenter" if task == "segment" else "hardy"}
    data = {"dataset": "folder", "root": str(root)}
    parts = {"data": data, "model": model, "method": {"kind": "source"}, "task": {"kind": task}}
    (unit,) = make_plan(resolved(Unit(experiment(**parts))), NO_STORES, None).units
    (told,) = faults(unit)
    assert f"{task} needs a {wanted} a sample, and folder has none" in told
    assert f"set task: {instead}" in told
