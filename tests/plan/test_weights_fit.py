"""Weights that do not fit are told by names and shapes, before anything is built."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from hardy.core.cache import default_cache
from hardy.models.reference import WeightsRef
from hardy.models.resnet26 import ResNet26
from hardy.models.spec import HardyModel
from hardy.models.weights import load
from hardy.plan.foresee import faults, remarks
from hardy.plan.measured import ModelCost, remember
from hardy.plan.units import OWN_WEIGHTS
from hardy.plan.weights_fit import shapes_in
from tests.plan.test_foresee import Maker, opened, planned

TEN = opened(tuple("abcdefghij"))
SMALL = {f"layer.{n}.weight": torch.zeros(2, 3) for n in range(12)}


def shapes(tensors):
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HARDY_HOME", str(tmp_path / "home"))


@pytest.fixture
def network(home):
    """Return a network's tensors; it was measured on this machine, in a home of its own."""
    tensors = ResNet26(10).state_dict()
    cost = ModelCost("here", 32, 1, 1, 1.0, 1.0, 1, 1, 1, 1, shapes(tensors))
    remember(planned(HardyModel(), TEN).unit.experiment, cost)
    return tensors


def of_file(tmp_path, tensors, **stated):
    file = tmp_path / "w.safetensors"
    save_file(tensors, file)
    model = HardyModel(weights=WeightsRef.of(f"file:{file}", **stated))
    return planned(model, TEN, path=file)


def test_the_weights_of_another_network_are_told(network, tmp_path):
    (told,) = faults(of_file(tmp_path, SMALL))
    assert told.startswith(f"0 of the {len(network)} tensors of resnet26-gn8 are in file:")
    assert "check model.kind and model.name" in told
    with pytest.raises(Exception, match="does not fit the model"):
        load(ResNet26(10), SMALL)  # as the run would have said


def test_its_own_weights_fit_with_another_head_and_as_a_wrapped_module(network, tmp_path):
    assert faults(of_file(tmp_path, network)) == ()
    wrapped = {f"module.{name}": tensor for name, tensor in network.items()}
    assert faults(of_file(tmp_path, wrapped)) == ()
    other = {
        name: torch.zeros(7, *t.shape[1:]) if name.startswith("fc") else t
        for name, t in network.items()
    }
    assert not [each for each in faults(of_file(tmp_path, other)) if "tensors of" in each]


def test_nothing_is_told_of_a_network_that_was_never_measured(home, tmp_path):
    assert default_cache().entries() == []
    assert faults(of_file(tmp_path, SMALL)) == ()


def test_a_part_that_is_nearly_nothing_is_noted_and_none_is_a_fault(network, tmp_path):
    one = dict(list(network.items())[:1])
    unit = of_file(tmp_path, one, partial=True)
    assert faults(unit) == ()
    (noted,) = remarks(unit)
    assert noted.startswith(f"1 of the {len(network)} tensors of resnet26-gn8 are in file:")
    assert "the others begin anew" in noted
    (told,) = faults(of_file(tmp_path, SMALL, partial=True))
    assert "check take, into and names" in told
    most = dict(list(network.items())[:-2])
    assert remarks(of_file(tmp_path, most, partial=True)) == ()


def test_what_is_taken_is_looked_at_and_not_the_rest(network, tmp_path):
    inside = {f"student.{name}": tensor for name, tensor in network.items()}
    assert faults(of_file(tmp_path, {**inside, **SMALL}, take="student")) == ()
    (told,) = faults(of_file(tmp_path, inside, take="teacher"))
    assert told.startswith("no tensor of file:")


def test_the_network_of_the_experiment_that_yields_them_is_another(network):
    vit = HardyModel(name="vit", patch=8, dim=32, depth=2, heads=2)
    source = planned(vit, opened(content="other"), method=Maker())
    remember(
        source.unit.experiment, ModelCost("here", 32, 1, 1, 1.0, 1.0, 1, 1, 1, 1, shapes(SMALL))
    )
    own = HardyModel(weights=WeightsRef.of("experiment:other"))
    unit = replace(planned(own, TEN), needs={OWN_WEIGHTS: source})
    assert [each for each in faults(unit) if "are in experiment:other, which does not fit" in each]
    same = planned(HardyModel(), opened(content="other"), method=Maker())
    unit = replace(planned(own, TEN), needs={OWN_WEIGHTS: same})
    assert not [each for each in faults(unit) if "does not fit" in each]


def test_a_file_that_is_none_has_no_shapes(tmp_path):
    (tmp_path / "w").write_bytes(b"short")
    assert shapes_in(tmp_path / "w") is None
