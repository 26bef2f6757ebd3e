from dataclasses import replace

from hardy.engine.smoke import smoke
from hardy.plan.units import make_plan
from hardy.registry.stores import default_stores
from hardy.spec import resolve


def test_one_sample_one_picture_of_each_kind_and_no_registration():
    whole = resolve("quickstart", ["data.subset={count: 5, seed: 3}"])
    cut = smoke(whole)
    assert [unit.choices for unit in cut.units] == [unit.choices for unit in whole.units]
    for unit in cut.units:
        assert (unit.experiment.data.subset.count, unit.experiment.data.subset.seed) == (1, 3)
        assert unit.experiment.explain.gradcam.count == 1
        assert unit.experiment.explain.view_grids == 1
        assert unit.experiment.register_as is None
        assert unit.experiment.method == whole.units[0].experiment.method


def test_what_is_off_stays_off():
    (unit,) = smoke(
        resolve("quickstart", ["explain.gradcam=null data.shift.kind=fog explain.view_grids=0"])
    ).units
    assert unit.experiment.explain.gradcam is None
    assert unit.experiment.explain.view_grids == 0


def test_the_fingerprint_is_another():
    whole = resolve("quickstart", ["data.shift.kind=fog"])
    plans = [make_plan(each, default_stores(), None) for each in (whole, smoke(whole))]
    assert plans[0].units[0].fingerprint != plans[1].units[0].fingerprint


def test_what_yields_weights_is_cut_down_likewise_at_every_path():
    whole = resolve("quickstart").units[0]
    needs = {"model.weights": whole, "method.members.0.model.weights": whole}
    resolved = replace(resolve("quickstart"), units=(replace(whole, needs=needs),))
    (unit,) = smoke(resolved).units
    assert list(unit.needs) == list(needs)
    for source in unit.needs.values():
        assert source.experiment.data.subset.count == 1
