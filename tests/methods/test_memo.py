"""MEMO against formulas written out from the paper, in float64 and without its own code."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError
from torch import nn

from hardy.core.errors import MethodError
from hardy.data.view_spec import AugMix
from hardy.methods.build import build_method
from hardy.methods.memo.batch_norm import batch_norm_prior
from hardy.methods.memo.loss import marginal_entropy, select_confident
from hardy.methods.memo.spec import MemoSpec
from hardy.methods.optim_spec import AdamW, Sgd
from tests.contracts.time_method import TimeMethodContract, small_classifier, some_views

FEW = AugMix(count=6)


class TestMemo(TimeMethodContract):
    answer = "memo"

    def build(self, classifier):
        return build_method(MemoSpec(views=FEW, optimizer=Sgd(lr=0.1)), classifier)


class TestMemoWithMoments(TimeMethodContract):
    """AdamW keeps moments; they must not leak from sample to sample."""

    answer = "memo"

    def build(self, classifier):
        spec = MemoSpec(views=FEW, optimizer=AdamW(lr=0.01), steps=2, select=0.5, bn_prior=None)
        return build_method(spec, classifier)


def entropy_of_mean(logits: np.ndarray) -> float:
    """The paper's equation, straight: H of the arithmetic mean of softmaxes."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    marginal = (e / e.sum(axis=1, keepdims=True)).mean(axis=0)
    held = marginal[marginal > 0]
    return float(-(held * np.log(held)).sum())


logit_tables = arrays(
    np.float64,
    st.tuples(st.integers(1, 7), st.integers(2, 9)),
    elements=st.floats(-30, 30, width=32),
)


@given(logit_tables)
def test_marginal_entropy_is_the_entropy_of_the_mean_prediction(logits):
    got = marginal_entropy(torch.tensor(logits, dtype=torch.float32)).item()
    assert got == pytest.approx(entropy_of_mean(logits), abs=1e-4)
    assert -1e-5 <= got <= math.log(logits.shape[1]) + 1e-4


def test_marginal_entropy_survives_impossible_classes():
    logits = torch.tensor([[200.0, -200.0, -math.inf]], requires_grad=True)
    loss = marginal_entropy(logits)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


@given(logit_tables, st.floats(0.01, 1))
def test_selection_keeps_the_views_of_least_entropy(logits, share):
    chosen = select_confident(torch.tensor(logits), share).tolist()
    entropies = [entropy_of_mean(row[None]) for row in logits]
    keep = max(1, int(len(logits) * share + 1e-9))
    assert len(chosen) == len(set(chosen)) == keep
    worst_kept = max(entropies[i] for i in chosen)
    left = [entropies[i] for i in range(len(logits)) if i not in chosen]
    assert all(worst_kept <= e + 1e-5 for e in left)


def test_selection_breaks_ties_by_the_lower_index():
    assert select_confident(torch.zeros(8, 3), 0.5).tolist() == [0, 1, 2, 3]


def test_selection_counts_as_published():
    assert len(select_confident(torch.randn(64, 5), 0.1)) == 6
    assert len(select_confident(torch.randn(100, 5), 0.29)) == 29


def forward_by_hand(network: nn.Sequential, x: torch.Tensor, rho: float) -> torch.Tensor:
    """The contract's small network in plain operations, batch norm blended by rho."""
    conv1, bn1, _, conv2, bn2, _, _, _, head = network

    def norm(bn: nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
        flat = x.detach().transpose(0, 1).flatten(1)
        mean = rho * bn.running_mean + (1 - rho) * flat.mean(1)
        var = rho * bn.running_var + (1 - rho) * flat.var(1, unbiased=True)
        scaled = (x - mean[None, :, None, None]) / (var[None, :, None, None] + bn.eps).sqrt()
        return scaled * bn.weight[None, :, None, None] + bn.bias[None, :, None, None]

    x = norm(bn1, F.conv2d(x, conv1.weight, padding=1)).clamp(min=0)
    x = norm(bn2, F.conv2d(x, conv2.weight, conv2.bias, stride=2, padding=1)).clamp(min=0)
    return x.mean((2, 3)) @ head.weight.T + head.bias


@pytest.mark.parametrize("strength", [None, 0.0, 16.0])
@pytest.mark.parametrize("select", [1.0, 0.5])
@pytest.mark.parametrize("steps", [1, 3])
def test_adaptation_is_gradient_descent_on_the_marginal_entropy(strength, select, steps):
    classifier = small_classifier()
    oracle = copy.deepcopy(classifier.network).double()
    views, lr = some_views(), 0.05
    rho = 1.0 if strength is None else strength / (strength + 1)

    chosen = None
    for _ in range(steps):
        p = forward_by_hand(oracle, views.double(), rho).softmax(-1)
        if chosen is None:
            chosen = (-(p * p.log()).sum(1)).argsort()[: int(len(p) * select)]
        marginal = p[chosen].mean(0)
        loss = -(marginal * marginal.log()).sum()
        gradients = torch.autograd.grad(loss, list(oracle.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(oracle.parameters(), gradients, strict=True):
                parameter -= lr * gradient
    expected = forward_by_hand(oracle, views[:1].double(), rho)[0].log_softmax(-1)

    spec = MemoSpec(views=FEW, select=select, steps=steps, optimizer=Sgd(lr=lr), bn_prior=strength)
    outcome = build_method(spec, classifier).predict(views)
    torch.testing.assert_close(
        outcome.answers["memo"].double(), expected.detach(), atol=1e-5, rtol=1e-5
    )
    assert outcome.details["selected_views"] == sorted(chosen.tolist())
    for parameter, reference in zip(classifier.parameters(), oracle.parameters(), strict=True):
        torch.testing.assert_close(parameter.double(), reference, atol=1e-5, rtol=1e-4)


def test_a_step_lowers_the_loss_that_it_descends():
    classifier = small_classifier()
    spec = MemoSpec(views=FEW, optimizer=Sgd(lr=0.01), bn_prior=None)
    views = some_views()
    before = marginal_entropy(classifier(views)).item()
    outcome = build_method(spec, classifier).predict(views)
    assert outcome.details["loss"] == pytest.approx(before, rel=1e-6)
    assert marginal_entropy(classifier(views)).item() < before


def test_a_diverging_step_is_an_error_and_reset_still_restores():
    classifier = small_classifier()
    kept = [p.clone() for p in classifier.parameters()]
    method = build_method(MemoSpec(views=FEW, optimizer=Sgd(lr=1e30), steps=3), classifier)
    with pytest.raises(MethodError, match="loss is"):
        method.predict(some_views())
    method.reset()
    assert all(torch.equal(p, k) for p, k in zip(classifier.parameters(), kept, strict=True))


def test_prior_works_on_timms_fused_layers():
    import timm

    network = timm.create_model("tf_efficientnet_lite0", num_classes=4).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        plain = network(x)
        with batch_norm_prior(network, 1e9):  # training statistics alone, in the limit
            limit = network(x)
        with batch_norm_prior(network, 1.0):
            blended = network(x)
        again = network(x)
    torch.testing.assert_close(limit, plain, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(blended, plain, atol=1e-3)
    assert torch.equal(again, plain)


def test_prior_refuses_a_single_value_a_channel():
    network = nn.Sequential(nn.BatchNorm2d(4)).eval()
    with batch_norm_prior(network, 16), pytest.raises(MethodError, match="one value a channel"):
        network(torch.randn(1, 4, 1, 1))


def test_prior_is_swapped_back_after_an_error():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    layer = network[1]
    with pytest.raises(ValueError, match="boom"), batch_norm_prior(network, 16):
        raise ValueError("boom")
    assert network[1] is layer


def test_spec_refuses_a_selection_of_no_view():
    with pytest.raises(ValidationError, match="less than one view"):
        MemoSpec(views=AugMix(count=8), select=0.1)
