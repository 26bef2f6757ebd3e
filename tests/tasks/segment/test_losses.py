"""Each term of segmentation's loss against sums over single pixels in float64."""

import numpy as np
import pytest
import torch

from hardy.core.errors import MethodError
from hardy.data.item import Targets
from hardy.tasks.build import build_task
from hardy.tasks.segment.spec import SegmentSpec

NAMES, VOID = ("ground", "void", "tree", "sky"), 1
LABELS = [0, 2, 3]
WEIGHTS = (1.0, 0.5, 3.0)


def task(**changes):
    return build_task(SegmentSpec(**changes), NAMES, VOID)


@pytest.fixture
def some():
    rng = np.random.default_rng(2)
    outputs, masks = 2 * rng.normal(size=(3, 3, 6, 5)), rng.integers(0, 4, (3, 6, 5))
    masks[1][masks[1] == 3] = 0  # no sky
    masks[2] = VOID
    return outputs, masks


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def pixels(outputs, mask):
    """Yield the outputs and the true channel of each pixel that counts."""
    for y, x in zip(*np.nonzero(mask != VOID), strict=True):
        yield outputs[:, y, x], LABELS.index(mask[y, x])


def overlap(outputs, pairs, weights, p_of, ratio):
    areas = np.zeros((3, 3))  # Σ g p, Σ p, Σ g by class
    for z, k in pairs:
        p = p_of(z)
        areas[0, k] += p[k]
        areas[1] += p
        areas[2, k] += 1
    there = [c for c in range(3) if areas[2, c] > 0]
    if not there:
        return 0.0
    found = {c: ratio(*areas[:, c]) for c in there}
    return sum(weights[c] * (1 - found[c]) for c in there) / sum(weights[c] for c in there)


def dice(both, said, true):
    return (2 * both + 1e-5) / (said + true + 1e-5)


def iou(both, said, true):
    return (both + 1e-5) / (said + true - both + 1e-5)


def expected(term, outputs, mask, weights=(1.0, 1.0, 1.0), p_of=softmax):
    pairs = list(pixels(outputs, mask))
    own = [(z, int(z.argmax())) for z in outputs.reshape(3, -1).T]
    each = {
        "cross_entropy": lambda z, k: -weights[k] * np.log(softmax(z)[k]),
        "focal": lambda z, k: -weights[k] * (1 - softmax(z)[k]) ** 2 * np.log(softmax(z)[k]),
        "sigmoid_cross_entropy": lambda z, k: -weights[k] * np.log(softmax(sigmoid(z))[k]),
        "mse": lambda z, k: weights[k] * np.mean((z - np.eye(3)[k]) ** 2),
    }
    if term in each:
        return np.mean([each[term](z, k) for z, k in pairs]) if pairs else 0.0
    given = own if term.startswith("pseudo_") else pairs
    ratio = dice if term.endswith("dice") else iou
    return overlap(outputs, given, weights, p_of, ratio)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("term", sorted(SegmentSpec.loss_terms))
def test_a_term_is_its_formula(some, term, weights):
    outputs, masks = some
    given = None if weights is None else torch.tensor(weights)
    tensor = torch.tensor(outputs, dtype=torch.float32, requires_grad=True)
    found = task().loss(
        tensor, Targets(mask=torch.as_tensor(masks)), class_weights=given, terms={term: 1.0}
    )
    wanted = [
        expected(term, o, m, weights or (1.0,) * 3) for o, m in zip(outputs, masks, strict=True)
    ]
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-5, atol=1e-7)
    found.sum().backward()
    gradient = tensor.grad.movedim(1, -1)
    assert torch.isfinite(gradient).all()
    void = torch.as_tensor(masks == VOID)
    assert (gradient[void] == 0).all() is not term.startswith("pseudo_")


@pytest.mark.parametrize("term", ["dice", "iou", "pseudo_dice", "pseudo_iou"])
def test_the_overlap_of_a_perfect_pixel_is_one_and_of_a_missed_one_epsilon(term):
    sure = torch.tensor([0.0, 200.0, 0.0]).view(1, 3, 1, 1)
    right, wrong = (Targets(mask=torch.tensor([[[label]]])) for label in (2, 3))
    assert float(task().loss(sure, right, terms={term: 1.0})) == pytest.approx(0, abs=1e-7)
    if not term.startswith("pseudo_"):
        missed = 1 - float(task().loss(sure, wrong, terms={term: 1.0}))
        assert missed == pytest.approx(1e-5 / (1 + 1e-5), abs=5e-7)  # float32 near 1


def test_terms_are_added_up_by_their_weights(some):
    outputs, masks = some
    targets = Targets(mask=torch.as_tensor(masks))
    found = task().loss(torch.tensor(outputs), targets, terms={"dice": 0.5, "focal": 2.0})
    wanted = [
        0.5 * expected("dice", o, m) + 2 * expected("focal", o, m)
        for o, m in zip(outputs, masks, strict=True)
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_cross_entropy_alone_is_the_tasks_own_bit_for_bit(some):
    outputs, masks = torch.tensor(some[0]), Targets(mask=torch.as_tensor(some[1]))
    own = task().loss(outputs, masks, smoothing=0.1)
    assert torch.equal(own, task().loss(outputs, masks, smoothing=0.1, terms={"cross_entropy": 1}))


def test_the_loss_of_overlap_goes_by_the_tasks_probabilities(some):
    outputs, masks = some
    given = task(probabilities="sigmoid")
    found = given.loss(
        torch.tensor(outputs), Targets(mask=torch.as_tensor(masks)), terms={"iou": 1.0}
    )
    wanted = [expected("iou", o, m, p_of=sigmoid) for o, m in zip(outputs, masks, strict=True)]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_the_floor_of_cross_entropy_on_sigmoids_is_that_of_the_readme():
    masks = torch.randint(2, 4, (1, 4, 4))
    channels = torch.tensor([0, 0, 1, 2])[masks]
    outputs = 100 * (2 * torch.nn.functional.one_hot(channels, 3).permute(0, 3, 1, 2).float() - 1)
    found = task().loss(outputs, Targets(mask=masks), terms={"sigmoid_cross_entropy": 1.0})
    assert (
        float(found) == pytest.approx(-np.log(np.e / (np.e + 2))) == pytest.approx(0.5514, abs=1e-4)
    )


def test_terms_without_truth_look_at_none(some):
    outputs = torch.tensor(some[0])
    terms = {"pseudo_dice": 1.0, "pseudo_iou": 1.0}
    nothing = task().loss(outputs, Targets(), terms=terms)
    assert torch.equal(
        nothing, task().loss(outputs, Targets(mask=torch.tensor(some[1])), terms=terms)
    )


def test_what_is_ignored_is_no_part_of_a_loss(some):
    outputs, masks = torch.tensor(some[0]), some[1]
    given = task(ignore=("tree",))
    as_void = np.where(masks == 2, VOID, masks)
    for term in ("cross_entropy", "focal", "dice", "iou", "mse"):
        found = given.loss(outputs, Targets(mask=torch.as_tensor(masks)), terms={term: 1.0})
        wanted = task().loss(outputs, Targets(mask=torch.as_tensor(as_void)), terms={term: 1.0})
        torch.testing.assert_close(found, wanted)
    # As a network's own answer, too: where it says tree all over, nothing is left to learn from.
    trees = torch.zeros(1, 3, 4, 4).index_fill(1, torch.tensor([1]), 5.0)
    assert float(given.loss(trees, Targets(), terms={"pseudo_dice": 1.0})) == 0


def test_two_classes_of_one_channel_are_a_sigmoid():
    given = build_task(SegmentSpec(binary=True), ("ground", "object"))
    assert given.outputs == 1
    rng = np.random.default_rng(3)
    z, masks = rng.normal(size=(2, 1, 5, 4)), rng.integers(0, 2, (2, 5, 4))
    masks[0, 0, 0] = 255  # padded
    outputs, targets = torch.tensor(z), Targets(mask=torch.as_tensor(masks))
    p, kept = sigmoid(z[:, 0]), masks != 255
    likelihood = np.where(masks == 1, p, 1 - p)
    wanted = [-np.log(a[k]).mean() for a, k in zip(likelihood, kept, strict=True)]
    np.testing.assert_allclose(given.loss(outputs, targets), wanted, rtol=1e-6)
    squared = [((a[k] - m[k]) ** 2).mean() for a, m, k in zip(z[:, 0], masks, kept, strict=True)]
    np.testing.assert_allclose(given.loss(outputs, targets, terms={"mse": 1.0}), squared, rtol=1e-6)
    answers = given.answer(outputs)
    np.testing.assert_allclose(answers[:, 1].exp(), p, rtol=1e-5)
    np.testing.assert_allclose(answers.exp().sum(1), 1, rtol=1e-5)
    found = given.columns("own", answers, targets)
    hits = (p > 0.5) & (masks == 1)
    assert [row[1] for row in found["intersection"]] == hits.sum((1, 2)).tolist()
    with pytest.raises(MethodError, match=r"\(2, 2, 5, 4\), where the masks need \(2, 1, 5, 4\)"):
        given.loss(torch.zeros(2, 2, 5, 4), targets)
