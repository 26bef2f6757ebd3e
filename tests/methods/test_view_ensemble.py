"""View ensembles against means and votes counted out in numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hardy.core.errors import MethodError
from hardy.data.view_spec import Cut, Identity, Photometric
from hardy.methods.pooling import majority_vote, view_ensemble
from hardy.methods.view_ensemble.spec import ViewEnsembleSpec
from tests.contracts.method import (
    DenseMethodContract,
    MethodContract,
    build_dense,
    build_method,
    small_model,
    small_segmenter,
    some_planes,
    some_subject,
)


class TestViewEnsemble(MethodContract):
    answer = "view_ensemble"

    def build(self, model):
        return build_method(ViewEnsembleSpec(views=Cut(count=6), select=0.5), model)


class TestDropoutEnsemble(MethodContract):
    answer = "view_ensemble"

    def build(self, model):
        spec = ViewEnsembleSpec(views=Identity(count=6), dropout=0.5)
        return build_method(spec, model)


class TestViewEnsembleOfPlanes(DenseMethodContract):
    answer = "view_ensemble"

    def build(self, model):
        return build_dense(ViewEnsembleSpec(views=Photometric(count=6), select=0.5), model)


tables = arrays(
    np.float32,
    st.tuples(st.integers(1, 9), st.integers(2, 5)),
    elements=st.floats(-8, 8, width=32),
)


@given(tables)
def test_the_ensemble_is_the_mean_of_softmaxes(logits):
    e = np.exp(logits.astype(np.float64))
    expected = (e / e.sum(1, keepdims=True)).mean(0)
    got = view_ensemble(torch.tensor(logits)).exp().numpy()
    assert got == pytest.approx(expected, abs=1e-5)


@given(tables)
def test_the_vote_counts_each_views_first_choice(logits):
    counts = np.bincount(logits.argmax(1), minlength=logits.shape[1])
    got = majority_vote(torch.tensor(logits)).exp().numpy()
    assert got == pytest.approx(counts / counts.sum(), abs=0.006)
    assert got.sum() == pytest.approx(1, abs=1e-5)
    assert counts[got.argmax()] == counts.max()
    assert np.sum(got == got.max()) == 1


def test_a_tied_vote_goes_to_the_class_of_higher_mean_probability():
    logits = torch.tensor([[5.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert majority_vote(logits).argmax() == 0


def test_dropout_masks_differ_by_view_and_by_sample_and_come_from_the_seed():
    model = small_model()
    spec = ViewEnsembleSpec(views=Identity(count=6), dropout=0.5)
    method = build_method(spec, model)
    a, b = some_subject(1), some_subject(2)
    same_image = type(b)(a.views, b.id)
    first, other = (method.predict(s).answers["view_ensemble"] for s in (a, same_image))
    assert not torch.equal(first, other)
    assert torch.equal(first, method.predict(a).answers["view_ensemble"])


def test_dropout_keeps_the_mean_of_the_feature_map():
    """Inverted dropout: over many masks the mean logit is the plain one."""
    model = small_model()
    subject = some_subject()
    many = type(subject)(subject.views[:1].expand(4000, -1, -1, -1), "x")
    method = build_method(ViewEnsembleSpec(views=Identity(count=4000), dropout=0.3), model)
    with torch.no_grad():
        plain = model(subject.views[:1])[0]
        with method._dropout(many):
            masked = model(many.views)
    error = masked.std(0) / 4000**0.5
    assert torch.all((masked.mean(0) - plain).abs() < 5 * error)
    assert masked.std(0).min() > 0


def test_dropout_needs_a_feature_map():
    import timm

    network = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=5)
    model = small_model()
    model.network = network.eval()
    spec = ViewEnsembleSpec(views=Identity(count=2), dropout=0.5)
    subject = some_subject()
    views = torch.nn.functional.interpolate(subject.views, size=32)
    with pytest.raises(MethodError, match="4-D"):
        build_method(spec, model).predict(type(subject)(views))


def aligned(subject, model):
    """Views' probabilities (B, C, h, w), in numpy, mirrored views mirrored back."""
    with torch.no_grad():
        logits = model(subject.views).double().numpy()
    for n, mirrored in enumerate(subject.mirrored):
        logits[n] = logits[n][..., ::-1].copy() if mirrored else logits[n]
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_planes_are_joined_and_voted_on_pixel_by_pixel():
    model, subject = small_segmenter(), some_planes(3, count=5)
    p = aligned(subject, model)
    spec = ViewEnsembleSpec(views=Photometric(count=5), select=0.6)
    outcome = build_dense(spec, model).predict(subject)
    doubt = -(p * np.log(p)).sum(1).mean((1, 2))
    chosen = np.argsort(doubt)[:3]
    assert outcome.details["selected_views"] == sorted(chosen.tolist())
    found = {name: answer.exp().numpy() for name, answer in outcome.answers.items()}
    np.testing.assert_allclose(found["view_ensemble"], p[chosen].mean(0), atol=1e-5)
    choices = p[chosen].argmax(1)
    votes = np.stack([(choices == c).mean(0) for c in range(4)])
    np.testing.assert_allclose(found["majority_vote"], votes, atol=0.006)
    # Where three views name three classes, the surest of them wins.
    tied = votes.max(0) < 0.5
    assert tied.any()
    mean = np.where(votes == votes.max(0), p[chosen].mean(0), -1)
    np.testing.assert_array_equal(found["majority_vote"].argmax(0), mean.argmax(0))
