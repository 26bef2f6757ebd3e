"""Costs: arithmetic by hand, and what is not known stays unknown."""

import pytest

from hardy.core.cache import default_cache
from hardy.core.errors import MethodError, SpecError
from hardy.plan.costs import order, price
from hardy.plan.measured import ModelCost, measured_as, recall, remember, work_label
from hardy.spec import Unit
from tests.plan.helpers import PLAIN, Asked, Shelf, experiment, finished, resolved

MODEL = ModelCost("here", 224, 100, 200, 0.01, 0.02, 1_000_000, 1_000, 300, 50_000_000)
# Four views and one step: before, four views, after; four views backward.
FORWARD, BACKWARD = 6, 4


class Gauge:
    """Measures every model alike, and counts how often it is asked."""

    def __init__(self, error: str = "") -> None:
        self.asked: list[str] = []
        self.error = error

    def __call__(self, of) -> ModelCost:
        self.asked.append(of.model.name)
        if self.error:
            raise MethodError(self.error)
        return MODEL


def plan(*units, count=20, absent="", shelf=None):
    return Asked(count, absent).plan(resolved(*units), shelf)


def test_a_unit_costs_its_passes():
    (cost,) = price(plan(Unit(experiment())), Gauge(), None).units
    assert (cost.samples, cost.forward, cost.backward) == (20, 20 * FORWARD, 20 * BACKWARD)
    assert cost.flops == 20 * (FORWARD * 100 + BACKWARD * 200)
    assert cost.seconds == pytest.approx(20 * (FORWARD * 0.01 + BACKWARD * 0.02))
    assert cost.memory_bytes == 1_000_000 + 4 * 1_000
    assert "measured speed" in cost.seconds_from


def test_the_source_model_goes_forward_once():
    (cost,) = price(plan(Unit(experiment(method={"kind": "source"}))), Gauge(), None).units
    assert (cost.forward, cost.backward, cost.flops) == (20, 0, 2_000)
    assert cost.memory_bytes == 1_000_000 + 4 * 300


def test_other_devices_answer_in_other_blocks():
    asked = experiment(method={"kind": "source"}, compute={"device": "cuda"})
    (cost,) = price(plan(Unit(asked)), Gauge(), None).units
    assert cost.memory_bytes == 1_000_000 + 32 * 300


def test_runs_that_answered_one_by_one_say_nothing_of_blocks(monkeypatch):
    asked = experiment(method={"kind": "source"})
    label = work_label(asked)
    monkeypatch.setattr(type(asked.method), "answer_batch", 1)
    assert work_label(asked) != label


def test_finished_runs_like_it_say_the_time():
    shelf = Shelf(means={work_label(experiment()): (0.5, 3)})
    (cost,) = price(plan(Unit(experiment())), Gauge(), shelf).units
    assert cost.seconds == pytest.approx(10)
    assert cost.seconds_from == "3 finished runs like it"


@pytest.mark.parametrize(
    "change",
    [
        {"method": {"kind": "memo", "views": {"kind": "cut", "count": 5}}},
        {"method": {"kind": "memo", "views": {"kind": "cut", "count": 4}, "steps": 2}},
        {"model": {"kind": "timm", "name": "resnet18"}},
        {"model": {**PLAIN["model"], "input": {"size": 96, "fit": "squeeze"}}},
        {"precision": "bf16-mixed"},
    ],
)
def test_other_work_has_another_label(change):
    assert work_label(experiment(**change)) != work_label(experiment())


def test_a_reused_unit_costs_nothing_and_measures_nothing():
    mark = plan(Unit(experiment())).units[0].fingerprint
    gauge = Gauge()
    costs = price(plan(Unit(experiment()), shelf=Shelf({mark: finished()})), gauge, None)
    assert (costs.total.forward, costs.total.seconds, costs.total.disk_bytes) == (0, 0, 0)
    assert gauge.asked == []


def test_totals_add_up_but_memory_is_the_largest():
    small = experiment(method={"kind": "source"}, seed=1)
    costs = price(plan(Unit(experiment()), Unit(small)), Gauge(), None)
    assert costs.total.samples == 40
    assert costs.total.forward == 20 * FORWARD + 20
    assert costs.total.memory_bytes == costs.units[0].memory_bytes > costs.units[1].memory_bytes
    assert costs.total.seconds == pytest.approx(sum(c.seconds for c in costs.units))


def test_absent_data_leave_the_rest_known():
    (cost,) = price(plan(Unit(experiment()), count=None, absent="get it"), Gauge(), None).units
    assert cost.samples is cost.forward is cost.flops is cost.seconds is cost.disk_bytes is None
    assert cost.memory_bytes is not None


def test_one_unknown_addend_makes_the_total_unknown():
    known = price(plan(Unit(experiment())), Gauge(), None).total
    unknown = price(plan(Unit(experiment()), count=None), Gauge(), None).total
    assert known.forward is not None
    assert unknown.forward is unknown.seconds is None


def test_a_model_that_cannot_be_measured_is_told_and_the_passes_stay():
    costs = price(plan(Unit(experiment())), Gauge("no room"), None)
    assert costs.unmeasured == {"resnet50": "no room"}
    assert costs.units[0].forward == 20 * FORWARD
    assert costs.units[0].flops is costs.units[0].memory_bytes is costs.units[0].seconds is None


def test_each_model_is_measured_once():
    gauge = Gauge()
    other = {"kind": "timm", "name": "resnet18"}
    units = [Unit(experiment(seed=seed)) for seed in range(5)]
    price(plan(*units, Unit(experiment(model=other))), gauge, None)
    assert gauge.asked == ["resnet50", "resnet18"]


def test_what_is_needed_is_priced_in_the_order_of_running():
    source = Unit(experiment(name="source", method={"kind": "source"}))
    made = plan(Unit(experiment(seed=1), needs={"model.weights": source}))
    assert [u.unit.experiment.name for u in order(made)] == ["source", "plain"]
    assert [c.backward for c in price(made, Gauge(), None).units] == [0, 20 * BACKWARD]


def test_measurements_are_kept():
    assert recall(experiment()) is None
    remember(experiment(), MODEL)
    assert recall(experiment()) == MODEL
    assert recall(experiment(seed=4, name="other")) == MODEL
    assert recall(experiment(precision="bf16-mixed")) is None
    small = {**PLAIN["model"], "input": {"size": [96, 128], "fit": "squeeze"}}
    assert recall(experiment(model=small)) is None
    wide = {**PLAIN["model"], "input": {"fit": "squeeze", "mean": [0.5] * 3}}
    assert recall(experiment(model=wide)) == MODEL


def test_a_damaged_measurement_is_made_again(isolated_home):
    remember(experiment(), MODEL)
    (file,) = (isolated_home / ".hardy" / "cache" / "costs").iterdir()
    file.write_text('{"cost": 3}')
    assert recall(experiment()) is None
    # Another version wrote it: whole, and of other fields.
    default_cache().put("costs", file.name, b'{"cost": {"machine": "this one"}}')
    assert recall(experiment()) is None


def test_a_torchvision_tag_is_part_of_the_model_and_a_file_is_not():
    def of(weights: str) -> object:
        model = {"kind": "torchvision", "name": "resnet50", "weights": weights}
        return measured_as(experiment(model=model))

    assert of("IMAGENET1K_V1") != of("IMAGENET1K_V2")
    assert of("file:a.pth") == of("file:b.pth")


@pytest.mark.parametrize(
    ("changes", "images"),
    [
        ({}, 300),
        ({"drop_last": True}, 288),
        ({"max_batches": 2}, 96),
        ({"steps": 1}, 16),
        ({"steps": 10}, 10 * 16 - 12),  # the 7th of each epoch has 4
        ({"steps": 10, "accumulate": 2}, 2 * 100 + 2 * 32),
    ],
)
def test_a_training_costs_what_its_budget_says(changes, images):
    from hardy.methods.supervised.spec import SupervisedSpec

    given = {"kind": "supervised", "epochs": 3, "batch": 16, "validate_on": {"split": "test"}}
    method = SupervisedSpec.model_validate(given | changes)
    assert method.cost().forward * 100 * method.spent(100) == pytest.approx(images)


def vit(method, **sizes):
    given = {"kind": "hardy", "name": "vit", "weights": "random", "classes": 6, **sizes}
    data = {"dataset": "shapes", "split": "train"}
    return experiment(model=given, method=method, data=data)


def test_transformers_of_different_sizes_are_measured_apart():
    small, large = (vit({"kind": "source"}, dim=dim, heads=8) for dim in (64, 512))
    remember(small, MODEL)
    assert recall(small) == MODEL
    assert recall(large) is None
    assert work_label(small) != work_label(large)


@pytest.mark.parametrize(("kind", "files"), [("source", 0), ("supervised", 1), ("byol", 2)])
def test_a_training_s_weights_take_room(kind, files):
    method = {"kind": kind}
    if files:
        method["validate_on"] = {"split": "test"}
    (cost,) = price(plan(Unit(vit(method))), Gauge(), None).units
    assert cost.disk_bytes // 50_000_000 == files


def test_panels_and_grids_take_room():
    (plain,) = price(
        plan(Unit(experiment(explain={"view_grids": 0, "gradcam": None}))), Gauge(), None
    ).units
    asked = experiment(explain={"view_grids": 3, "gradcam": {}})
    (drawn,) = price(plan(Unit(asked)), Gauge(), None).units
    panels = min(20, asked.explain.gradcam.most)
    assert drawn.disk_bytes - plain.disk_bytes == panels * 450_000 + 3 * 900_000


def test_pictures_of_analyses_take_room():
    (plain,) = price(plan(Unit(experiment())), Gauge(), None).units
    explain = {
        "similarity": {},
        "prediction_grid": {"pairs": 30},
        "feature_maps": {"samples": 3},
        "examples": {"samples": 2, "files": True},
    }
    (drawn,) = price(plan(Unit(experiment(explain=explain))), Gauge(), None).units
    # One chart; the pairs of all 20 samples and two rows twice; three samples' maps.
    assert drawn.disk_bytes - plain.disk_bytes == 200_000 + 24 * 150_000 + 3 * 1_500_000


def test_a_model_that_measuring_refuses_is_refused_and_not_just_unmeasured():
    def refuse(of):
        raise SpecError("model.input.size: it does not take 8", hint="State another.")

    costs = price(plan(Unit(experiment()), Unit(experiment(seed=1))), refuse, None)
    assert [cost.refused for cost in costs.units] == [
        "model.input.size: it does not take 8. State another."
    ] * 2
    assert costs.unmeasured == {}
    assert price(plan(Unit(experiment())), Gauge("no"), None).units[0].refused == ""


def test_segmenters_of_other_sizes_are_measured_apart():
    def of(**model):
        model = {"kind": "segmenter", "weights": "random", **model}
        return experiment(model=model, task={"kind": "segment"}, method={"kind": "evaluate"})

    plain = of(name="unet-small")
    for other in (of(name="unet-small", width=32), of(name="segnet")):
        assert measured_as(other) != measured_as(plain)
        assert work_label(other) != work_label(plain)
    assert measured_as(of(name="unet-small", width=16)) == measured_as(plain)
