"""MEMO on planes against formulas written out in float64: entropy a pixel, mirrors undone."""

import copy
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from hardy.data.view_spec import Photometric
from hardy.methods.marginal import marginal_entropy, select_confident, upright
from hardy.methods.memo.method import Memo
from hardy.methods.memo.spec import MemoSpec, Rho
from hardy.methods.optim_spec import AdamW, Sgd
from hardy.tasks.segment.spec import SegmentSpec
from hardy.tasks.segment.task import Segment
from tests.contracts.method import (
    DenseMethodContract,
    build_dense,
    small_segmenter,
    some_planes,
)

FEW = Photometric(count=6)


class TestMemoOfPlanes(DenseMethodContract):
    answer = "memo"

    def build(self, model):
        return build_dense(MemoSpec(views=FEW, optimizer=Sgd(lr=0.1)), model)


class TestMemoOfPlanesSelected(DenseMethodContract):
    """Some views selected, moments, several steps: none of it may be left behind."""

    answer = "memo"

    def build(self, model):
        spec = MemoSpec(views=FEW, optimizer=AdamW(lr=0.01), steps=2, select=0.5, tune="norm")
        return build_dense(spec, model)


def probabilities(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("scale", [0.1, 3, 40])
def test_the_loss_is_the_mean_over_pixels_of_each_ones_entropy(scale):
    logits = np.random.default_rng(0).normal(0, scale, (5, 7, 4, 6))
    total = 0.0
    for row in range(4):
        for column in range(6):
            p = probabilities(logits[:, :, row, column]).mean(0)
            total -= sum(float(x * np.log(x)) for x in p if x > 0)
    found = marginal_entropy(torch.tensor(logits)).item()
    assert found == pytest.approx(total / 24, rel=1e-5, abs=1e-6)
    assert found <= math.log(7)


def test_the_surest_views_are_those_whose_pixels_are_on_the_mean():
    logits = np.random.default_rng(1).normal(0, 2, (6, 5, 4, 3))
    p = probabilities(logits)
    doubt = (-(p * np.log(p)).sum(1)).mean((1, 2))
    found = select_confident(torch.tensor(logits), 4).tolist()
    assert found == np.argsort(doubt)[:4].tolist()


def test_upright_turns_mirrored_planes_alone():
    planes = torch.randn(3, 2, 4, 5, generator=torch.manual_seed(0))
    found = upright(planes, (False, True, False))
    assert torch.equal(found[[0, 2]], planes[[0, 2]])
    assert torch.equal(found[1], planes[1].flip(-1))
    assert upright(planes, ()) is planes
    classes = planes[..., 0, 0]
    assert upright(classes, (False, True, False)) is classes  # a class has no sides


def by_hand(network, x, rho):
    """The small segmenter in plain operations, batch norm with the prior written out."""
    first, norm, _, last = network
    x = functional.conv2d(x, first.weight, padding=1)
    values = x.detach().transpose(0, 1).flatten(1)
    mean = rho * norm.running_mean + (1 - rho) * values.mean(1)
    variance = rho * norm.running_var + (1 - rho) * values.var(1)
    x = (x - mean.view(1, -1, 1, 1)) / (variance.view(1, -1, 1, 1) + norm.eps).sqrt()
    x = x * norm.weight.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1)
    return functional.conv2d(x.clamp(min=0), last.weight, last.bias, padding=1)


@pytest.mark.parametrize("strength", [None, 4.0])
@pytest.mark.parametrize("select", [1.0, 0.5])
@pytest.mark.parametrize("steps", [1, 3])
def test_adaptation_is_gradient_descent_on_the_mean_pixels_entropy(strength, select, steps):
    model, subject, lr = small_segmenter(), some_planes(), 0.05
    oracle = copy.deepcopy(model.network).double()
    rho = 1.0 if strength is None else strength / (strength + 1)
    chosen = None
    for _ in range(steps):
        planes = by_hand(oracle, subject.views.double(), rho)
        p = torch.stack(
            [
                torch.flip(plane, (2,)) if mirrored else plane
                for plane, mirrored in zip(planes.softmax(1), subject.mirrored, strict=True)
            ]
        )
        if chosen is None:
            doubt = -(p * p.log()).sum(1).flatten(1).mean(1)
            chosen = doubt.argsort()[: int(len(p) * select)]
        joint = p[chosen].mean(0)
        loss = -(joint * joint.log()).sum(0).mean()
        gradients = torch.autograd.grad(loss, list(oracle.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(oracle.parameters(), gradients, strict=True):
                parameter -= lr * gradient
    expected = by_hand(oracle, subject.views[:1].double(), rho)[0].log_softmax(0).detach()

    spec = MemoSpec(views=FEW, select=select, steps=steps, optimizer=Sgd(lr=lr), bn_prior=strength)
    outcome = build_dense(spec, model).predict(subject)
    torch.testing.assert_close(outcome.answers["memo"].double(), expected, atol=1e-5, rtol=1e-5)
    assert outcome.details["selected_views"] == sorted(chosen.tolist())
    for parameter, reference in zip(model.parameters(), oracle.parameters(), strict=True):
        torch.testing.assert_close(parameter.double(), reference, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(outcome.answers["memo"], outcome.answers["source"], atol=1e-4)


@pytest.mark.parametrize("prior", [None, 16.0, Rho(rho=0.5)])
@pytest.mark.parametrize("reselect", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
def test_two_passes_give_the_plain_paths_numbers(prior, reselect, steps):
    spec = MemoSpec(
        views=FEW,
        select=0.5,
        steps=steps,
        reselect=reselect,
        bn_prior=prior,
        optimizer=Sgd(lr=0.05),
    )
    outcomes, weights = [], []
    for two_pass in (True, False):
        model = small_segmenter()
        outcomes.append(Memo(model, spec, two_pass=two_pass).predict(some_planes()))
        weights.append(list(model.parameters()))
    fast, plain = outcomes
    assert fast.details["selected_views"] == plain.details["selected_views"]
    # Else nothing would tell whether the selected ones are turned by their own places.
    assert {n % 2 for n in plain.details["selected_views"]} == {0, 1}
    assert fast.details["loss"] == pytest.approx(plain.details["loss"], rel=1e-5)
    for name in plain.answers:
        torch.testing.assert_close(fast.answers[name], plain.answers[name], atol=1e-5, rtol=1e-5)
    for a, b in zip(*weights, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_the_original_may_stay_out_and_mirrors_are_counted_without_it():
    spec = MemoSpec(views=Photometric(count=6, include_original=False), optimizer=Sgd(lr=0.05))
    within = MemoSpec(views=FEW, optimizer=Sgd(lr=0.05))
    subject = some_planes(count=7)
    rest = type(subject)(subject.views[1:], "a", mirrored=subject.mirrored[1:])
    model, twin = small_segmenter(), small_segmenter()
    build_dense(spec, model).predict(subject)
    build_dense(within, twin).predict(rest)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)


class Halved(Segment):
    """A task whose networks give half of their logits, to see that the task is asked for them."""

    def logits(self, outputs):
        return 2 * outputs


@pytest.mark.parametrize("kind", ["memo", "view_ensemble"])
def test_what_outputs_mean_is_the_tasks_to_say(kind):
    from hardy.methods import build as builder
    from hardy.methods.view_ensemble.spec import ViewEnsembleSpec

    spec = {"memo": MemoSpec, "view_ensemble": ViewEnsembleSpec}[kind](views=FEW)
    names = ("a", "b", "c", "d")
    found = []
    for task, factor in ((Halved(SegmentSpec(), names), 1.0), (Segment(SegmentSpec(), names), 2.0)):
        model = small_segmenter()
        with torch.no_grad():
            for parameter in model.network[-1].parameters():
                parameter *= factor
        found.append(builder.build_method(spec, [model], task).predict(some_planes()).answers)
    for name in ("source", "view_ensemble", "majority_vote"):
        torch.testing.assert_close(found[0][name], found[1][name])


@pytest.mark.parametrize("kind", ["memo", "view_ensemble"])
def test_one_channel_for_two_classes_is_adapted_as_two(kind):
    from hardy.methods import build as builder
    from hardy.methods.view_ensemble.spec import ViewEnsembleSpec

    spec = {"memo": MemoSpec, "view_ensemble": ViewEnsembleSpec}[kind](views=FEW)
    task = Segment(SegmentSpec(binary=True), ("ground", "object"))
    model = small_segmenter()
    model.network[-1] = torch.nn.Conv2d(model.network[-1].in_channels, 1, 1)
    with torch.no_grad():
        expected = task.answer(model(some_planes().views[:1]))[0]
    found = builder.build_method(spec, [model], task).predict(some_planes()).answers
    torch.testing.assert_close(found["source"], expected)
    for answer in found.values():
        assert answer.shape == expected.shape
        torch.testing.assert_close(answer.exp().sum(0), torch.ones(answer.shape[1:]))
        assert float(answer.exp().std()) > 0


def test_probabilities_that_do_not_sum_to_one_are_not_joined():
    from hardy.spec.experiment import Experiment

    stated = {
        "name": "sigmoids",
        "task": {"kind": "segment", "probabilities": "sigmoid"},
        "data": {"dataset": "shapes", "split": "test"},
        "model": {"kind": "segmenter"},
        "method": {"kind": "evaluate"},
    }
    Experiment.model_validate(stated)
    for kind in ("memo", "view_ensemble"):
        method = {"kind": kind, "views": {"kind": "photometric"}}
        with pytest.raises(ValueError, match=r"leave task\.probabilities out"):
            Experiment.model_validate(stated | {"method": method})
