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

from hardy.core.errors import MethodError, SpecError
from hardy.data.view_spec import AugMix
from hardy.methods.base import Subject
from hardy.methods.marginal import marginal_entropy, select_confident
from hardy.methods.memo.batch_norm import batch_norm_prior
from hardy.methods.memo.method import Memo
from hardy.methods.memo.spec import MemoSpec, Rho
from hardy.methods.optim_spec import AdamW, Sgd
from tests.contracts.method import (
    MethodContract,
    build_method,
    small_model,
    some_subject,
    some_views,
)

FEW = AugMix(count=6)


class TestMemo(MethodContract):
    answer = "memo"

    def build(self, model):
        return build_method(MemoSpec(views=FEW, optimizer=Sgd(lr=0.1)), model)


class TestMemoWithMoments(MethodContract):
    """AdamW keeps moments; they must not leak from sample to sample."""

    answer = "memo"

    def build(self, model):
        spec = MemoSpec(views=FEW, optimizer=AdamW(lr=0.01), steps=2, select=0.5, bn_prior=None)
        return build_method(spec, model)


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
    keep = max(1, int(len(logits) * share))
    chosen = select_confident(torch.tensor(logits), keep).tolist()
    entropies = [entropy_of_mean(row[None]) for row in logits]
    assert len(chosen) == len(set(chosen)) == keep
    worst_kept = max(entropies[i] for i in chosen)
    left = [entropies[i] for i in range(len(logits)) if i not in chosen]
    assert all(worst_kept <= e + 1e-5 for e in left)


def test_selection_breaks_ties_by_the_lower_index():
    assert select_confident(torch.zeros(8, 3), 4).tolist() == [0, 1, 2, 3]


def test_selection_counts_as_published():
    assert MemoSpec(select=0.1).keep(64) == 6
    assert MemoSpec(select=0.29).keep(100) == 29
    assert MemoSpec(select_count=5).keep(64) == 5
    assert MemoSpec(select=0.1).keep(8) == 1


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
    model = small_model()
    oracle = copy.deepcopy(model.network).double()
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
    outcome = build_method(spec, model).predict(Subject(views))
    torch.testing.assert_close(
        outcome.answers["memo"].double(), expected.detach(), atol=1e-5, rtol=1e-5
    )
    assert outcome.details["selected_views"] == sorted(chosen.tolist())
    for parameter, reference in zip(model.parameters(), oracle.parameters(), strict=True):
        torch.testing.assert_close(parameter.double(), reference, atol=1e-5, rtol=1e-4)


def test_a_step_lowers_the_loss_that_it_descends():
    model = small_model()
    spec = MemoSpec(views=FEW, optimizer=Sgd(lr=0.01), bn_prior=None)
    views = some_views()
    before = marginal_entropy(model(views)).item()
    outcome = build_method(spec, model).predict(Subject(views))
    assert outcome.details["loss"] == pytest.approx(before, rel=1e-6)
    assert marginal_entropy(model(views)).item() < before


def test_a_diverging_step_is_an_error_and_reset_still_restores():
    model = small_model()
    kept = [p.clone() for p in model.parameters()]
    method = build_method(MemoSpec(views=FEW, optimizer=Sgd(lr=1e30), steps=3), model)
    with pytest.raises(MethodError, match="loss of memo is"):
        method.predict(some_subject())
    method.reset()
    assert all(torch.equal(p, k) for p, k in zip(model.parameters(), kept, strict=True))


def test_prior_works_on_timms_fused_layers():
    import timm

    network = timm.create_model("tf_efficientnet_lite0", num_classes=4).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        plain = network(x)
        with batch_norm_prior(network, 1 - 1e-9):  # training statistics alone, in the limit
            limit = network(x)
        with batch_norm_prior(network, 0.5):
            blended = network(x)
        again = network(x)
    torch.testing.assert_close(limit, plain, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(blended, plain, atol=1e-3)
    assert torch.equal(again, plain)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("devices", [("cpu",), ()])
def test_the_prior_blends_by_the_share(layout, share, devices, monkeypatch):
    monkeypatch.setattr("hardy.methods.memo.batch_norm._STATISTICS_ALONE", devices)
    layer = nn.BatchNorm2d(3).eval()
    layer.running_mean.copy_(torch.tensor([1.0, -2.0, 0.5]))
    layer.running_var.copy_(torch.tensor([0.5, 3.0, 1.0]))
    trained = layer.running_mean.clone(), layer.running_var.clone()
    x = torch.randn(4, 3, 5, 6, generator=torch.manual_seed(0)) * 2 + 100
    network = nn.Sequential(layer)
    with batch_norm_prior(network, share):
        got = network(x.to(memory_format=layout))
    values = x.double().transpose(0, 1).reshape(3, -1)
    mean = share * trained[0] + (1 - share) * values.mean(1)
    squares = (values - values.mean(1, keepdim=True)).square().sum(1) / (values.shape[1] - 1)
    variance = share * trained[1] + (1 - share) * squares
    expected = (x - mean.view(1, 3, 1, 1)) / (variance.view(1, 3, 1, 1) + layer.eps).sqrt()
    torch.testing.assert_close(got, expected.float(), atol=1e-4, rtol=1e-4)
    assert torch.equal(layer.running_mean, trained[0])
    assert torch.equal(layer.running_var, trained[1])


def test_prior_refuses_a_single_value_a_channel():
    network = nn.Sequential(nn.BatchNorm2d(4)).eval()
    with batch_norm_prior(network, 0.94), pytest.raises(MethodError, match="one value a channel"):
        network(torch.randn(1, 4, 1, 1))


def test_prior_is_swapped_back_after_an_error():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    layer = network[1]
    with pytest.raises(ValueError, match="boom"), batch_norm_prior(network, 0.94):
        raise ValueError("boom")
    assert network[1] is layer


def test_spec_refuses_a_selection_of_no_view():
    with pytest.raises(ValidationError, match="less than one view"):
        MemoSpec(views=AugMix(count=8), select=0.1)


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
        model = small_model()
        outcomes.append(Memo(model, spec, two_pass=two_pass).predict(some_subject()))
        weights.append(list(model.parameters()))
    fast, plain = outcomes
    assert fast.details["selected_views"] == plain.details["selected_views"]
    assert fast.details["loss"] == pytest.approx(plain.details["loss"], rel=1e-5)
    for name in plain.answers:
        torch.testing.assert_close(fast.answers[name], plain.answers[name], atol=1e-5, rtol=1e-5)
    for a, b in zip(*weights, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_two_passes_without_the_first_passs_statistics_would_be_wrong():
    """Statistics of the selected views are not those of all views: the replay matters."""
    model = small_model()
    views = some_views()
    with torch.no_grad(), batch_norm_prior(model, 0.5) as phase:
        phase.name = "record"
        all_views = model(views)
        phase.name = "replay"
        torch.testing.assert_close(model(views[:2]), all_views[:2])
        phase.name = "blend"
        assert not torch.allclose(model(views[:2]), all_views[:2], atol=1e-3)


@pytest.mark.parametrize(
    ("tune", "moved"),
    [
        ("norm", {"1.weight", "1.bias", "4.weight", "4.bias"}),
        (("8.*",), {"8.weight", "8.bias"}),
        (("0.weight", "*.bias"), {"0.weight", "1.bias", "3.bias", "4.bias", "8.bias"}),
    ],
)
def test_only_the_tuned_parameters_move(tune, moved):
    model = small_model()
    before = {n: p.clone() for n, p in model.network.named_parameters()}
    spec = MemoSpec(views=FEW, tune=tune, optimizer=Sgd(lr=0.5))
    build_method(spec, model).predict(some_subject())
    changed = {n for n, p in model.network.named_parameters() if not torch.equal(p, before[n])}
    assert changed == moved


@pytest.mark.parametrize("tune", [("nothing.*",), ("8.*", "typo"), ()])
def test_a_glob_that_matches_nothing_is_refused(tune):
    with pytest.raises(SpecError, match=r"method\.tune"):
        build_method(MemoSpec(views=FEW, tune=tune), small_model())


def test_carried_moments_make_the_second_sample_depend_on_the_first():
    def second_answer(state: str, first_seed: int) -> torch.Tensor:
        spec = MemoSpec(views=FEW, optimizer=AdamW(lr=0.01), optimizer_state=state)
        method = build_method(spec, small_model())
        for seed in (first_seed, 9):
            answer = method.predict(some_subject(seed)).answers["memo"]
            method.reset()
        return answer

    assert torch.equal(second_answer("reset", 1), second_answer("reset", 2))
    assert not torch.equal(second_answer("carry", 1), second_answer("carry", 2))


@given(logit_tables)
def test_the_published_re_implementations_by_their_own_formulas(logits):
    z = logits.astype(np.float64)

    def entropy_of(scores: np.ndarray) -> float:
        p = np.exp(scores - scores.max())
        p /= p.sum()
        return float(-(p[p > 0] * np.log(p[p > 0])).sum())

    tensor = torch.tensor(logits)
    by_mean = marginal_entropy(tensor, "logit_mean").item()
    assert by_mean == pytest.approx(entropy_of(z.mean(0)), abs=1e-4)
    raw = np.log(np.exp(z - z.max()).mean(0)) + z.max()
    by_raw = marginal_entropy(tensor, "raw_log_mean_exp").item()
    assert by_raw == pytest.approx(entropy_of(raw), abs=1e-4)


def test_rho_and_strength_are_the_same_prior():
    assert MemoSpec(bn_prior=16).bn_share == pytest.approx(16 / 17)
    assert MemoSpec(bn_prior={"rho": 0.94}).bn_share == 0.94
    assert MemoSpec(bn_prior=None).bn_share is None


def test_ensembles_are_carried_along_from_the_selected_views():
    model = small_model()
    views = some_views()
    with torch.no_grad():
        p = model(views).softmax(-1)
    order = (-(p * p.log()).sum(1)).argsort()[:3]
    spec = MemoSpec(views=FEW, select=0.5, bn_prior=None)
    answers = build_method(spec, model).predict(Subject(views)).answers
    torch.testing.assert_close(answers["view_ensemble"].exp(), p[order].mean(0))
    votes = torch.bincount(p[order].argmax(1), minlength=5) / 3
    torch.testing.assert_close(answers["majority_vote"].exp(), votes, atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("settings", "forward", "backward"),
    [
        ({}, 2 + 64, 64),
        ({"select": 0.1}, 2 + 64 + 6, 6),
        ({"select": 0.1, "steps": 2}, 2 + 2 * 64 + 12, 12),
        ({"select": 0.1, "steps": 2, "bn_prior": None}, 2 + 64 + 12, 12),
    ],
)
def test_the_stated_cost_is_what_a_run_pays(settings, forward, backward):
    spec = MemoSpec(**settings)
    assert (spec.cost().forward, spec.cost().backward) == (forward, backward)
    model = small_model()
    seen = []
    model.network.register_forward_pre_hook(lambda _, x: seen.append(len(x[0])))
    build_method(spec, model).predict(Subject(some_views(64)))
    assert sum(seen) == forward


def test_the_original_may_stay_out_of_the_loss_and_still_be_answered_for():
    """The published code's batch is augmented views alone; the answer is for the image."""
    views = some_views(7)
    apart = MemoSpec(views=AugMix(count=6, include_original=False), optimizer=Sgd(lr=0.05))
    within = MemoSpec(views=AugMix(count=6), optimizer=Sgd(lr=0.05))
    model, twin = small_model(), small_model()
    outcome = build_method(apart, model).predict(Subject(views))
    build_method(within, twin).predict(Subject(views[1:]))
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)
    assert outcome.details["selected_views"] == [1, 2, 3, 4, 5, 6]
    source = small_model()(views[:1])[0].log_softmax(-1).detach()
    torch.testing.assert_close(outcome.answers["source"], source)
