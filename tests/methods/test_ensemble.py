"""Ensembles against formulas written out in numpy, float64, without their own code."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hardy.data.item import Targets
from hardy.data.view_spec import AugMix, Cut, Identity
from hardy.methods.base import Subject
from hardy.methods.ensemble.method import Ensemble
from hardy.methods.ensemble.pool import certainty_weights, fit_temperature, opinion, pool
from hardy.methods.ensemble.spec import EnsembleSpec, HeldOut, Member
from hardy.methods.evaluate.spec import SourceSpec
from hardy.methods.memo.spec import MemoSpec
from hardy.methods.optim_spec import Sgd
from hardy.methods.view_ensemble.spec import ViewEnsembleSpec
from hardy.models.spec import TimmModel
from tests.contracts.method import PLAIN, MethodContract, build_method, small_model

FEW = AugMix(count=6)
MEMO = MemoSpec(views=FEW, select=0.5, optimizer=Sgd(lr=0.1), bn_prior=None)
ANY_MODEL = TimmModel(name="resnet18", weights="random")


def levels(count: int, seed: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 16, 16), generator=torch.manual_seed(seed)).float()


def subject(seed: int = 1, sets: int = 1) -> Subject:
    pixels = tuple(levels(6, seed) for _ in range(sets))
    return Subject(PLAIN.normalise(pixels[0][:1]), f"sample-{seed}", others=pixels)


def two_models() -> EnsembleSpec:
    members = (
        Member(name="first", model=ANY_MODEL, method=MEMO),
        Member(name="second", model=ANY_MODEL, method=MEMO),
    )
    return EnsembleSpec(members=members, temperatures=(1.5, 0.7))


class TestEnsemble(MethodContract):
    answer = "ensemble"

    @pytest.fixture(autouse=True)
    def with_sets(self, monkeypatch):
        import tests.contracts.method as contract

        monkeypatch.setattr(contract, "some_subject", lambda seed=1: subject(seed))

    def build(self, model):
        members = (
            Member(name="memo", method=MEMO),
            Member(name="views", method=ViewEnsembleSpec(views=FEW)),
        )
        return build_method(EnsembleSpec(members=members), model)


def log_softmax(z: np.ndarray) -> np.ndarray:
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def expected_pool(views: list[np.ndarray], temperatures: list[float], p1: bool) -> np.ndarray:
    """The steps of the published code, or the same with probabilities in their place."""
    opinions = []
    for z, t in zip(views, temperatures, strict=True):
        a = np.log(np.exp(z).mean(0)) if p1 else np.log(np.exp(log_softmax(z)).mean(0))
        opinions.append(log_softmax(a / t))
    entropies = np.array([-(np.exp(o) * o).sum() for o in opinions])
    share = entropies.sum() / entropies
    weights = share / share.sum()
    pooled = sum(w * o for w, o in zip(weights, opinions, strict=True))
    return pooled if p1 else log_softmax(pooled)


@pytest.mark.parametrize("p1", [True, False])
@pytest.mark.parametrize("temperatures", [[1.0, 1.0, 1.0], [1.55, 0.7, 3.0]])
def test_the_pool_is_the_formula(p1, temperatures):
    rng = np.random.default_rng(0)
    views = [rng.normal(0, 3, (n, 7)) for n in (4, 1, 6)]
    marginal = "raw_log_mean_exp" if p1 else "probability_mean"
    tensors = [torch.tensor(z) for z in views]
    opinions = [opinion(z, t, marginal) for z, t in zip(tensors, temperatures, strict=True)]
    found = pool(opinions, renormalise=not p1)
    np.testing.assert_allclose(found.numpy(), expected_pool(views, temperatures, p1), atol=1e-5)


@given(st.lists(st.floats(-30, 30), min_size=4, max_size=4), st.integers(2, 5))
def test_equal_members_agree_with_themselves(logits, members):
    log_p = torch.log_softmax(torch.tensor(logits, dtype=torch.float64), -1)
    torch.testing.assert_close(pool([log_p] * members, renormalise=True), log_p)


def test_a_wholly_certain_member_decides():
    certain = torch.tensor([0.0, -200.0, -200.0])
    unsure = torch.log_softmax(torch.tensor([0.0, 0.1, 0.2]), -1)
    weights = certainty_weights(torch.stack([certain, unsure]))
    assert torch.isfinite(weights).all()
    assert weights[0] > 0.999


def test_no_gradient_goes_through_the_weights():
    logits = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    opinions = [torch.log_softmax(z, -1) for z in logits]
    pool(opinions, renormalise=False)[0].backward()
    weights = certainty_weights(torch.stack(opinions))
    probabilities = torch.softmax(logits.detach(), -1)
    one = torch.eye(5, dtype=torch.float64)[0]
    torch.testing.assert_close(logits.grad, weights[:, None] * (one - probabilities))


def built(spec: EnsembleSpec) -> Ensemble:
    models = [small_model(), small_model(seed=1), small_model(seed=2)]
    return Ensemble(models, spec, None)


@pytest.mark.parametrize("steps", [1, 3])
def test_joint_steps_are_gradient_descent_through_all_members(steps):
    spec = two_models().model_copy(update={"steps": steps})
    outcome = built(spec).predict(subject())
    views = PLAIN.normalise(levels(6, 1))
    models = [small_model(seed=1), small_model(seed=2)]
    with torch.no_grad():
        chosen = []
        for model in models:
            p = torch.softmax(model(views), -1)
            chosen.append(torch.argsort(-(p * p.log()).sum(-1), stable=True)[:3])

    def pooled(images):
        opinions = []
        for model, x, t in zip(models, images, (1.5, 0.7), strict=True):
            marginal = torch.softmax(model(x), -1).mean(0)
            opinions.append(torch.log_softmax(marginal.log() / t, -1))
        h = torch.stack([-(o.exp() * o).sum() for o in opinions]).detach()
        w = (1 / h) / (1 / h).sum()
        return torch.log_softmax(sum(a * o for a, o in zip(w, opinions, strict=True)), -1)

    for step in range(steps):
        log_p = pooled([views[index] for index in chosen])
        loss = -(log_p.exp() * log_p).sum()
        if step == 0:
            assert outcome.details["loss"] == pytest.approx(loss.item(), rel=1e-5)
            torch.testing.assert_close(outcome.answers["simple_ensemble"], log_p.detach())
        parameters = [p for model in models for p in model.parameters()]
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= 0.1 * gradient
    with torch.no_grad():
        final = pooled([views[:1], views[:1]])
    torch.testing.assert_close(outcome.answers["ensemble"], final, atol=1e-5, rtol=1e-5)


def test_a_member_alone_answers_as_its_method_does_alone():
    outcome = built(two_models()).predict(subject())
    for name, seed in (("first", 1), ("second", 2)):
        alone = build_method(MEMO, small_model(seed=seed))
        expected = alone.predict(Subject(PLAIN.normalise(levels(6, 1)), "sample-1"))
        assert torch.equal(outcome.answers[name], expected.answers["memo"])


def test_without_singles_the_pool_is_the_same():
    spec = two_models()
    whole, less = (
        built(spec.model_copy(update={"singles": flag})).predict(subject()).answers
        for flag in (True, False)
    )
    assert set(whole) - set(less) == {"first", "second"}
    assert torch.equal(whole["ensemble"], less["ensemble"])


def test_members_share_the_views_that_are_the_same():
    views = {"a": FEW, "b": AugMix(count=6), "c": Cut(count=6), "d": None}
    members = tuple(
        Member(name=n, method=SourceSpec() if v is None else MemoSpec(views=v))
        for n, v in views.items()
    )
    method = build_method(EnsembleSpec(members=members), small_model())
    assert [part.place for part in method.parts] == [0, 0, 1, 2]
    assert [each.views for each in method.view_sets] == [FEW, Cut(count=6), Identity()]


def test_members_share_an_unchanged_image_only_where_noise_would_be_the_same():
    """Noise after the normalisation is put on levels by the deviations, which may differ."""
    model, other = small_model(), small_model(seed=1)
    other.preprocess = replace(PLAIN, std=(0.9, 0.9, 0.9))
    for views, shared in ((None, False), (FEW, True)):
        method = SourceSpec() if views is None else MemoSpec(views=views)
        members = (
            Member(name="a", method=method),
            Member(name="b", method=method, model=ANY_MODEL),
        )
        built = build_method(EnsembleSpec(members=members), model, other)
        assert len({part.place for part in built.parts}) == (1 if shared else 2)


def test_members_on_the_experiments_model_tune_copies_of_their_own():
    members = tuple(Member(name=n, method=MEMO) for n in ("a", "b"))
    model = small_model()
    kept = copy.deepcopy(model.state_dict())
    method = build_method(EnsembleSpec(members=members), model)
    outcome = method.predict(subject())
    # Two members that are one and the same agree with themselves, before and after.
    torch.testing.assert_close(outcome.answers["a"], outcome.answers["b"], atol=0, rtol=0)
    assert all(torch.equal(v, kept[k]) for k, v in model.state_dict().items())
    networks = {id(part.adapter.model.network) for part in method.parts}
    assert len(networks | {id(model.network)}) == 3


def test_still_members_alone_take_no_step():
    members = (
        Member(name="source-model", method=SourceSpec()),
        Member(name="views", method=ViewEnsembleSpec(views=FEW)),
    )
    method = build_method(EnsembleSpec(members=members, steps=3), small_model())
    answers = method.predict(subject(sets=2)).answers
    torch.testing.assert_close(answers["ensemble"], answers["simple_ensemble"])


@pytest.mark.parametrize("truth", [0.3, 1.0, 4.0])
def test_a_temperature_is_found_again(truth):
    """Labels drawn from softmax(z / T): the fit is near T, and no near temperature is better."""
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2, (20_000, 5))
    p = np.exp(log_softmax(z / truth))
    labels = (p.cumsum(1) > rng.random((len(p), 1))).argmax(1)

    def loss(t):
        return -log_softmax(z / t)[np.arange(len(z)), labels].mean()

    found = fit_temperature(log_softmax(z), labels)
    assert found == pytest.approx(truth, rel=0.05)
    assert loss(found) <= min(loss(found * 1.01), loss(found / 1.01))


def test_a_temperature_is_bounded_where_every_answer_is_right():
    log_p = log_softmax(np.eye(4) * 3)
    assert fit_temperature(log_p, np.arange(4)) == pytest.approx(0.1, rel=1e-3)


class Works:
    """Has eight labelled images, and keeps nothing."""

    def __init__(self):
        self.logged, self.keys = {}, []

    def data(self, role):
        return SimpleNamespace(samples=range(8))

    def subjects(self, role):
        assert role == "fit"
        return [(subject(seed), Targets(torch.tensor([seed % 5]))) for seed in range(8)]

    def kept(self, kind, key, make):
        self.keys.append((kind, key))
        return make()

    def log(self, values):
        self.logged |= values

    def say(self, news):
        assert "8 held-out samples" in news


def test_fitting_gives_one_temperature_a_member_and_sets_none():
    method, work = built(two_models()), Works()
    opinions = torch.stack([method.unscaled(subject(seed)) for seed in range(8)]).numpy()
    labels = np.arange(8) % 5
    given = list(method.temperatures)
    fitted = method.fit(work)
    expected = [fit_temperature(opinions[:, m], labels) for m in (0, 1)]
    assert list(fitted) == ["temperatures"]
    assert fitted["temperatures"].tolist() == expected
    assert work.logged == {"temperature/first": expected[0], "temperature/second": expected[1]}
    assert method.temperatures == given
    method.load(fitted)
    assert method.temperatures == expected
    assert len(set(map(str, work.keys))) == 1


def test_the_opinions_that_are_fitted_are_those_of_the_views_before_any_step():
    method = built(two_models())
    found = method.unscaled(subject())
    views = PLAIN.normalise(levels(6, 1))
    for row, seed in zip(found, (1, 2), strict=True):
        with torch.no_grad():
            p = torch.softmax(small_model(seed=seed)(views), -1)
        best = torch.argsort(-(p * p.log()).sum(-1), stable=True)[:3]
        torch.testing.assert_close(row, p[best].mean(0).log())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": ()}, "at least 1 item"),
        ({"temperatures": (1.0,)}, "temperatures has 1 values for 2 members"),
        ({"temperatures": (1.0, 0.0)}, "greater than 0"),
        ({"members": (Member(name="a", method=MEMO),) * 2}, "two members are named a"),
        ({"members": (Member(name="source", method=MEMO),)}, "as another answer is"),
    ],
)
def test_a_schema_that_cannot_be(changes, message):
    with pytest.raises(ValidationError, match=message):
        EnsembleSpec(**{**two_models().model_dump(), **changes})


def test_members_weights_are_outside_its_identity():
    """The plan adds what they hold."""
    prints = []
    for weights in ("random", "experiment:train", {"from": "file:x", "into": "encoder"}):
        model = TimmModel(name="resnet18", weights=weights)
        prints.append(
            EnsembleSpec(members=(Member(name="a", model=model, method=MEMO),)).identity()
        )
    assert prints[0] == prints[1] == prints[2]


@pytest.mark.parametrize("given", [{}, {"split": "test", "part": "fit"}])
def test_held_out_samples_are_named_one_way(given):
    with pytest.raises(ValidationError, match="either split or part"):
        HeldOut(**given)


def test_what_it_costs_is_what_the_members_cost():
    one = MEMO.cost()
    with_singles, without = (
        EnsembleSpec(members=two_models().members, singles=flag).cost() for flag in (True, False)
    )
    assert with_singles.backward == 4 * one.backward
    assert without.forward == 1 + 2 * one.forward
