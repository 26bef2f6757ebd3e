"""The contrastive loss and its learner, against formulas written here."""

import math

import numpy as np
import pytest
import torch

from hardy.data.item import Batch, Targets
from hardy.methods.base import Subject
from hardy.methods.contrastive.method import ContrastiveLearner, contrastive_loss, cropped
from hardy.methods.contrastive.spec import ContrastiveSpec
from hardy.methods.optim import schedule
from hardy.models.model import Model
from tests.contracts.learner import LearnerContract
from tests.contracts.method import PLAIN, MethodContract, build_method
from tests.models.clips import VIT, tiny, zero_shot

NAMES = ("circle", "square", "triangle", "cross", "star")
CAPTIONS = ("a red circle", "a star", "a red circle", "a cross", "a star", "a red circle")


def spec(**changes):
    given = {"validate_on": {"split": "test"}, "epochs": 2, "batch": 4}
    return ContrastiveSpec.model_validate(given | changes)


def clip_model():
    network = zero_shot(tiny({**VIT, "image_size": 16}), NAMES)
    return Model(network, PLAIN).eval()


@pytest.fixture
def learner():
    return ContrastiveLearner(clip_model().network, spec(), PLAIN)


def batch(epoch=0, count=6, seed=0):
    drawn = torch.Generator().manual_seed(5)
    pixels = torch.randint(0, 256, (6, 3, 16, 16), generator=drawn, dtype=torch.uint8)
    labels = torch.tensor([0, 4, 0, 3, 4, 0])
    ids = tuple(f"s{n}" for n in range(count))
    targets = Targets(labels[:count], caption=CAPTIONS[:count])
    return Batch(pixels[:count], targets, ids, seed, epoch)


class TestContrastive(MethodContract):
    answer = "contrastive"

    @pytest.fixture
    def model(self):
        return clip_model()

    def build(self, model):
        method = build_method(spec(), model)
        moved = {n: tensor * 1.01 for n, tensor in model.network.clip.state_dict().items()}
        method.load({f"network.{name}": tensor for name, tensor in moved.items()})
        return method

    def test_both_networks_answer(self, method, model):
        pixels = batch().inputs
        with torch.no_grad():
            expected = method.trained(PLAIN.normalise(pixels[:1]))[0].log_softmax(-1)
        answers = method.predict(Subject(PLAIN.normalise(pixels[:1]))).answers
        torch.testing.assert_close(answers["contrastive"], expected)
        assert not torch.allclose(answers["source"], expected, atol=1e-4)


def by_hand(logits, captions):
    """-1/2B Σ_i Σ_j p_ij (log softmax of row i at j + log softmax of column i at j)."""
    total, count = 0.0, len(captions)
    for i in range(count):
        positives = [j for j in range(count) if captions[j] == captions[i]]
        for rows in (logits, logits.T):
            normaliser = math.log(sum(math.exp(value) for value in rows[i]))
            total -= sum(rows[i, j] - normaliser for j in positives) / len(positives)
    return total / (2 * count)


@pytest.mark.parametrize("captions", [CAPTIONS, tuple("abcdef"), ("a",) * 6])
def test_the_loss_is_the_formula_s(captions):
    logits = torch.randn(6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 4
    found = contrastive_loss(logits, captions)
    assert float(found) == pytest.approx(by_hand(logits.numpy(), captions), rel=1e-12)


def test_without_equal_captions_it_is_open_clip_s_loss():
    from open_clip.loss import ClipLoss

    drawn = torch.Generator().manual_seed(2)
    images, texts = torch.nn.functional.normalize(
        torch.randn(2, 6, 8, generator=drawn, dtype=torch.float64), dim=-1
    )
    expected = ClipLoss()(images, texts, torch.tensor(14.3, dtype=torch.float64))
    found = contrastive_loss(14.3 * images @ texts.T, tuple("abcdef"))
    torch.testing.assert_close(found, expected)


def test_pairs_of_one_caption_do_not_push_each_other_apart():
    logits = torch.zeros(6, 6, dtype=torch.float64, requires_grad=True)
    contrastive_loss(logits, ("a",) * 6).backward()
    assert float(logits.grad.abs().max()) < 1e-15


def test_a_validation_batch_takes_the_first_template_and_the_whole_image(learner):
    clip, tokenizer = learner.network.clip, learner.network.tokenizer
    with torch.no_grad():
        images = clip.encode_image(PLAIN.normalise(batch().inputs), normalize=True)
        texts = [f"a photo of {caption}." for caption in CAPTIONS]
        features = clip.encode_text(tokenizer(texts), normalize=True)
        logits = clip.logit_scale.exp() * images @ features.T
    found, answers = learner.measure(batch())
    assert answers is None
    assert float(found["loss"]) == pytest.approx(
        by_hand(logits.double().numpy(), CAPTIONS), rel=1e-4
    )
    right = learner.network(PLAIN.normalise(batch().inputs)).argmax(-1) == batch().targets.label
    assert found["accuracy"] == pytest.approx(float(right.float().mean()))


def test_what_is_drawn_depends_on_seed_epoch_and_sample_alone(learner):
    one, other = learner._texts(batch(1)), learner._texts(batch(2))
    assert one == learner._texts(batch(1))
    assert one != other
    assert one[:3] == learner._texts(batch(1, count=3))
    boxes = learner._boxes(batch(1))
    assert torch.equal(boxes[:3], learner._boxes(batch(1, count=3)))
    assert not torch.equal(boxes, learner._boxes(batch(1, seed=1)))
    area, low = boxes[:, 0] ** 2, boxes[:, 1:] - boxes[:, :1] / 2
    assert ((area >= 0.9) & (area <= 1)).all()
    assert ((low >= -1e-6) & (low + boxes[:, :1] <= 1 + 1e-6)).all()


def test_a_crop_shows_its_box():
    # A ramp is linear, so that bilinear sampling gives it exactly, wherever the pixels lie.
    centres = (torch.arange(32) + 0.5) / 32
    ramp = (100 * centres).expand(1, 3, 32, 32)
    whole = cropped(ramp, torch.tensor([[1.0, 0.5, 0.5]]))
    torch.testing.assert_close(whole, ramp, atol=1e-4, rtol=0)
    part = cropped(ramp, torch.tensor([[0.5, 0.6, 0.5]]))
    expected = 100 * (0.35 + 0.5 * centres)
    torch.testing.assert_close(part[0, 0, 7], expected, atol=1e-4, rtol=0)


def test_the_scale_stays_at_100_or_below(learner):
    with torch.no_grad():
        learner.network.clip.logit_scale.fill_(6.0)
    learner.end_step(1)
    assert learner.network.clip.logit_scale.detach().exp().item() == pytest.approx(100)


def test_the_schedule_rises_along_a_line_and_falls_along_half_a_cosine():
    rates = [schedule(step, 50, 0.2) for step in range(50)]
    assert rates[:10] == pytest.approx([(n + 1) / 10 for n in range(10)])
    assert rates[10:] == pytest.approx([(1 + np.cos(np.pi * n / 40)) / 2 for n in range(40)])
    assert schedule(0, 1, 0.0) == 1


def test_gains_and_biases_do_not_decay(learner):
    (optimizer,) = learner.optimizers()
    groups = optimizer.param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert {p.ndim for p in groups[1]["params"]} <= {0, 1}
    counts = [len(group["params"]) for group in groups]
    assert sum(counts) == len(list(learner.network.parameters()))
    assert [group["lr"] for group in groups] == [1e-3, 1e-3]


class TestContrastiveLearner(LearnerContract):
    def build(self, device="cpu"):
        return ContrastiveLearner(clip_model().to(device).network, spec(), PLAIN)

    def batch(self, epoch=0):
        return batch(epoch)
