"""Nearest neighbours against scikit-learn, and what a bank is."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional

from hardy.core.errors import MethodError
from hardy.data.held_out_spec import HeldOut
from hardy.data.spec import DataSpec
from hardy.methods.base import Subject, outcome_of
from hardy.methods.knn.spec import KnnSpec
from hardy.methods.neighbours import neighbour_shares
from hardy.models import head
from hardy.spec.experiment import Experiment
from tests.contracts.device import another_device
from tests.contracts.method import MethodContract, build_method, small_model, some_views

TRAIN = {"split": "train"}


def spec(**changes):
    return KnnSpec.model_validate({"kind": "knn", "bank_on": TRAIN, "k": 3} | changes)


def bank(count=40, width=8):
    drawn = torch.Generator().manual_seed(2)
    rows = torch.rand(count, width, generator=drawn)
    labels = torch.randint(0, 5, (count,), generator=drawn)
    return {"bank.features": functional.normalize(rows, dim=-1), "bank.labels": labels}


class TestKnn(MethodContract):
    answer = "knn"
    before = "knn"

    def build(self, model):
        method = build_method(spec(), model)
        method.load(bank())
        return method

    def test_source_answer_is_the_unadapted_models(self, method, model):
        """Its answer is that of the neighbours of the model's features, and no head's."""
        views = some_views(1)
        with torch.no_grad():
            features = head.features(model.network, views)
        shares = neighbour_shares(features, *bank().values(), 5, 3, 0.07)
        found = outcome_of(method, Subject(views)).answers["knn"]
        torch.testing.assert_close(found.exp(), (3 * shares[0] + 1 / 5) / 4)


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (20, 0.07), (20, 1.0), (200, 0.02)])
def test_shares_are_those_of_scikit_learn(k, temperature):
    drawn = np.random.default_rng(0)
    rows, asked = drawn.normal(size=(300, 12)), drawn.normal(size=(50, 12))
    labels = drawn.integers(0, 4, 300)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    known = KNeighborsClassifier(
        k, metric="cosine", weights=lambda distances: np.exp((1 - distances) / temperature)
    ).fit(rows, labels)
    found = neighbour_shares(
        torch.from_numpy(asked).float(),
        torch.from_numpy(rows).float(),
        torch.from_numpy(labels),
        4,
        k,
        temperature,
    )
    np.testing.assert_allclose(found.numpy(), known.predict_proba(asked), atol=2e-5)


def test_a_small_temperature_overflows_nothing_and_a_small_bank_votes_whole():
    rows = torch.eye(3)
    found = neighbour_shares(rows[:1], rows, torch.tensor([0, 1, 1]), 3, 9, 1e-3)
    assert found.tolist() == [[1.0, 0.0, 0.0]]
    even = neighbour_shares(rows[:1], rows, torch.tensor([0, 1, 1]), 3, 9, 1e6)
    torch.testing.assert_close(even, torch.tensor([[1 / 3, 2 / 3, 0.0]]), atol=1e-5, rtol=0)


def test_in_half_precision_neighbours_are_told_apart():
    drawn = torch.Generator().manual_seed(0)
    rows = torch.rand(200, 16, generator=drawn) + 3  # all cosines near 1
    rows = functional.normalize(rows, dim=-1)
    labels = torch.arange(200) % 5
    plain = neighbour_shares(rows[:20], rows, labels, 5, 1, 0.07)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = neighbour_shares(rows[:20], rows, labels, 5, 1, 0.07)
    assert torch.equal(plain, half)
    assert plain.argmax(-1).tolist() == labels[:20].tolist()


def test_neighbours_on_another_device():
    rows, labels = bank().values()
    expected = neighbour_shares(rows[:4], rows, labels, 5, 7, 0.07)
    with another_device() as device:
        there = (tensor.to(device) for tensor in (rows, labels))
        found = neighbour_shares(rows[:4].to(device), *there, 5, 7, 0.07)
        torch.testing.assert_close(found.cpu(), expected)


def test_every_class_has_a_logarithm_and_no_bank_no_answer():
    method = build_method(spec(k=1), small_model())
    with pytest.raises(MethodError, match="no bank"):
        method.answer(some_views(2))
    method.load(bank())
    found = method.answer(some_views(2))["knn"]
    assert found.min() == pytest.approx(np.log(1 / 5 / 2))
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(2))


SHAPES = {"dataset": "shapes", "split": "test", "shift": {"kind": "fog", "severity": 2}}


def experiment(**changes):
    given = {
        "name": "knn",
        "data": SHAPES,
        "model": {"kind": "hardy", "weights": "random"},
        "method": {"kind": "knn", "bank_on": TRAIN},
    }
    return Experiment.model_validate({**given, **changes})


def test_its_network_needs_no_head_of_the_classes():
    experiment()  # ten outputs for six classes
    clip = {"kind": "open_clip", "name": "hardy-shapes", "weights": "random"}
    experiment(model=clip)
    with pytest.raises(ValidationError, match="a version holds one network's weights, and knn"):
        experiment(register="any")
    assert spec().shortest().bank_on.samples == 1


def test_clean_held_out_samples_are_without_the_shift():
    data = DataSpec.model_validate(SHAPES)
    for stated, shift in ((None, data.shift), (False, data.shift), (True, None)):
        held = HeldOut(split="train", clean=stated)
        assert held.data(data, 0).shift == shift
        assert ("clean" in held.model_dump()) == (stated is not None)
        assert HeldOut.model_validate(held.model_dump(mode="json")) == held
    assert "clean" not in HeldOut(split="train").identity()


def test_samples_to_answer_for_cannot_be_clean_where_there_is_a_shift():
    method = {"kind": "linear_probe", "validate_on": {"split": "test", "clean": True}}
    data = {**SHAPES, "split": "train"}
    with pytest.raises(ValidationError, match="answers are given under"):
        experiment(data=data, method=method)
    experiment(data=data, method={**method, "answer_on": {"split": "test"}})
    experiment(data={**data, "shift": None}, method=method)
