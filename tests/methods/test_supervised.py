"""Supervised training: its loss and mixup against formulas, what learns, what is weighed."""

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional

from hardy.core.errors import SpecError
from hardy.data.item import Batch, Targets
from hardy.data.open import open_dataset
from hardy.data.spec import DataSpec
from hardy.methods.base import Subject, outcome_of
from hardy.methods.supervised.learner import SupervisedLearner, partners
from hardy.methods.supervised.method import Supervised
from hardy.methods.supervised.spec import SupervisedSpec
from hardy.methods.supervised.weights import class_weights
from hardy.methods.tuned import tuned
from hardy.models.model import Model
from hardy.models.segmenters.encoder_decoder import UNet
from hardy.spec.experiment import Experiment
from hardy.tasks.build import build_task
from hardy.tasks.classify.spec import ClassifySpec
from hardy.tasks.reconstruct.spec import ReconstructSpec
from hardy.tasks.segment.spec import SegmentSpec
from tests.contracts.device import another_device
from tests.contracts.learner import LearnerContract
from tests.contracts.method import PLAIN, build_method, small_model, some_views

NAMES = tuple(f"class {n}" for n in range(5))
SHAPES = {"dataset": "shapes", "shapes": {"count": 30, "size": 16}}


def spec(**changes):
    given = {"validate_on": {"split": "test"}, "epochs": 2, "batch": 4}
    return SupervisedSpec.model_validate({"kind": "supervised"} | given | changes)


@pytest.mark.parametrize("kind", ["constant", "step", "cosine", "plateau", "one_cycle"])
def test_what_a_run_keeps_of_its_schedule_is_read_again(kind):
    given = spec(scheduler={"kind": kind}, monitor="loss", accumulate=2)
    assert SupervisedSpec.model_validate(given.model_dump(mode="json")) == given
    with pytest.raises(ValueError, match="warmup belongs to a training without scheduler"):
        spec(scheduler={"kind": kind}, warmup=0.2)


def task():
    return build_task(ClassifySpec(), NAMES)


def batch(epoch=0, count=8, step=0):
    drawn = torch.Generator().manual_seed(5)
    pixels = torch.randint(0, 256, (count, 3, 16, 16), generator=drawn, dtype=torch.uint8)
    labels = torch.tensor([0, 4, 0, 3, 4, 0, 1, 2])[:count]
    ids = tuple(f"s{n}" for n in range(count))
    return Batch(pixels, Targets(labels), ids, 0, epoch, step)


ADAM = {"optimizer": {"kind": "adam", "lr": 0.01}}


class TestSupervisedLearner(LearnerContract):
    changes = MappingProxyType(ADAM)

    def build(self, device="cpu"):
        model = small_model().to(device)
        found = SupervisedLearner(model, spec(**self.changes), task(), torch.ones(5))
        return found.to(device)

    def batch(self, epoch=0):
        return batch(epoch)


class TestMixedUp(TestSupervisedLearner):
    changes = MappingProxyType({"mixup": 0.4, "label_smoothing": 0.1, **ADAM})


class TestPlanes(LearnerContract):
    """A small U-Net whose truth is masks."""

    def build(self, device="cpu"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = Model(UNet(4, width=8), PLAIN).to(device)
        known = build_task(SegmentSpec(), ("ground", "a", "b", "c"))
        return SupervisedLearner(model, spec(**ADAM, mixup=0.2), known).to(device)

    def batch(self, epoch=0):
        masks = torch.randint(0, 4, (4, 16, 16), generator=torch.Generator().manual_seed(3))
        masks[0, :4] = 255  # void
        return batch(epoch, count=4)._replace(targets=Targets(mask=masks))


class TestImages(TestPlanes):
    """The same network, which is to give images."""

    def build(self, device="cpu"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = Model(UNet(3, width=8), PLAIN).to(device)
        return SupervisedLearner(model, spec(**ADAM), build_task(ReconstructSpec())).to(device)

    def batch(self, epoch=0):
        found = batch(epoch, count=4)
        return found._replace(targets=Targets(image=found.inputs))


@pytest.mark.parametrize("stated", [{"label_smoothing": 0.1}, {"class_weights": "balanced"}])
def test_what_a_loss_does_not_have_is_refused(stated):
    parts = {
        "name": "clean",
        "task": {"kind": "reconstruct"},
        "data": {**SHAPES, "split": "train"},
        "model": {"kind": "segmenter"},
    }
    method = {"kind": "supervised", "validate_on": {"split": "test"}}
    Experiment.model_validate({**parts, "method": method})
    with pytest.raises(ValueError, match=rf"nothing that method.{next(iter(stated))} could say"):
        Experiment.model_validate({**parts, "method": method | stated})


def loss_of(learner, epoch=1):
    with torch.no_grad():
        return float(learner(batch(epoch))["loss"])


def test_the_loss_is_the_weighted_mean_of_smoothed_cross_entropies():
    model = small_model()
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.5])
    learner = SupervisedLearner(model, spec(label_smoothing=0.2), task(), weights)
    with torch.no_grad():
        logs = model(PLAIN.normalise(batch().inputs)).double().log_softmax(-1).numpy()
    labels = batch().targets.label.numpy()
    total = 0.0
    for row, label in zip(logs, labels, strict=True):
        truth = np.full(5, 0.2 / 5)
        truth[label] += 0.8
        total -= float((weights.numpy() * truth * row).sum())
    assert loss_of(learner) == pytest.approx(total / 8, rel=1e-5)


def test_mixup_blends_images_and_losses():
    model = small_model()
    learner = SupervisedLearner(model, spec(mixup=0.4), task())
    share, order = partners(batch(1), 0.4)
    assert sorted(order.tolist()) == list(range(8))
    assert len(set(share.tolist())) == 8
    inputs = PLAIN.normalise(batch().inputs)
    blended = torch.stack(
        [share[n] * inputs[n] + (1 - share[n]) * inputs[order[n]] for n in range(8)]
    )
    with torch.no_grad():
        logits = model(blended)
    labels = batch().targets.label
    own = functional.cross_entropy(logits, labels, reduction="none")
    other = functional.cross_entropy(logits, labels[order], reduction="none")
    expected = (share * own + (1 - share) * other).mean()
    assert loss_of(learner) == pytest.approx(float(expected), rel=1e-5)
    assert loss_of(learner, 0) == pytest.approx(loss_of(SupervisedLearner(model, spec(), task())))


def test_shares_are_of_the_beta_distribution():
    many = torch.cat([partners(batch(1, step=n), 0.3)[0] for n in range(100)])
    assert stats.kstest(many.numpy(), stats.beta(0.3, 0.3).cdf).pvalue > 0.01


def learning(model, tune):
    with tuned(model.network, tune):
        return [name for name, p in model.network.named_parameters() if p.requires_grad]


def test_what_learns():
    model = small_model()
    assert len(learning(model, "all")) == len(list(model.parameters()))
    assert learning(model, ("3.*", "8.bias")) == ["3.weight", "3.bias", "8.bias"]
    assert all(p.requires_grad for p in model.parameters())  # and then all do again
    with pytest.raises(SpecError, match=r"no parameter of the network is called 'layer4.\*'"):
        learning(model, ("layer4.*",))


def test_the_head_alone_learns():
    import timm

    with torch.random.fork_rng(devices=[]):
        network = timm.create_model("resnet18", num_classes=5)
    with tuned(network, "head"):
        names = [name for name, p in network.named_parameters() if p.requires_grad]
    assert names == ["fc.weight", "fc.bias"]


def test_it_answers_with_what_it_loaded():
    model = small_model()
    method = build_method(spec(), model)
    assert isinstance(method, Supervised)
    moved = {f"network.{n}": t * 1.01 for n, t in model.network.state_dict().items()}
    method.load(moved)
    expected = small_model()
    expected.network.load_state_dict({n.removeprefix("network."): t for n, t in moved.items()})
    with torch.no_grad():
        logs = expected(some_views(4)).log_softmax(-1)
    torch.testing.assert_close(method.answer(some_views(4))["supervised"], logs)
    one = outcome_of(method, Subject(some_views(1))).answers["supervised"]
    assert one.shape == (5,)


def test_it_answers_alike_on_another_device():
    model = small_model()
    expected = build_method(spec(), model).answer(some_views(4))["supervised"]
    with another_device() as device:
        there = build_method(spec(), small_model().to(device))
        found = there.answer(some_views(4).to(device))["supervised"]
    assert type(found) is torch.Tensor
    torch.testing.assert_close(found, expected)


def test_balanced_weights_are_one_over_all_samples():
    dataset = open_dataset(DataSpec.model_validate(SHAPES))
    known = build_task(ClassifySpec(), dataset.classes)
    weights = class_weights("balanced", dataset, known)
    labels = torch.tensor([sample.label for sample in dataset.samples])
    assert float(weights[labels].mean()) == pytest.approx(1)
    counts = torch.bincount(labels)
    assert torch.allclose(weights * counts, (weights * counts)[0].expand(len(counts)))


def test_pixels_are_counted_where_masks_are_the_truth():
    dataset = open_dataset(DataSpec.model_validate(SHAPES))
    known = build_task(SegmentSpec(), dataset.mask_classes, dataset.void)
    weights = class_weights("balanced", dataset, known)
    masks = np.stack([np.asarray(dataset.read_mask(sample)) for sample in dataset.samples])
    assert float(weights[torch.from_numpy(masks.astype(int))].mean()) == pytest.approx(1, rel=1e-5)
    assert weights[0] == weights.min()  # the background is most of the pixels


def test_a_class_without_a_sample_weighs_nothing():
    dataset = open_dataset(DataSpec.model_validate(SHAPES))
    few = replace(dataset, samples=tuple(s for s in dataset.samples if s.label < 2))
    weights = class_weights("balanced", few, build_task(ClassifySpec(), dataset.classes))
    assert weights[2:].tolist() == [0.0] * (len(dataset.classes) - 2)
    labels = torch.tensor([sample.label for sample in few.samples])
    assert float(weights[labels].mean()) == pytest.approx(1)


def test_a_class_of_one_sample_weighs_as_much_as_its_count_says():
    dataset = open_dataset(DataSpec.model_validate(SHAPES))
    labels = [0, 1, 1, 1]
    some = tuple(replace(dataset.samples[n], label=label) for n, label in enumerate(labels))
    known = build_task(ClassifySpec(), dataset.classes)
    weights = class_weights("balanced", replace(dataset, samples=some), known)
    assert weights[:2].tolist() == pytest.approx([4 / (2 * 1), 4 / (2 * 3)])


def test_some_of_the_outputs_are_trained_where_these_are_the_classes():
    model = small_model()
    model.model_indices = [4, 1]
    known = build_task(ClassifySpec(), ("e", "b"))
    learner = SupervisedLearner(model, spec(), known)
    two = batch(1, count=2)._replace(targets=Targets(torch.tensor([1, 0])))
    with torch.no_grad():
        logits = model.network(PLAIN.normalise(two.inputs))[:, [4, 1]]
        found = learner(two)["loss"]
    expected = functional.cross_entropy(logits, two.targets.label)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tune": []}, "at least 1 item"),
        ({"monitor": "acuracy"}, "method.monitor is acuracy, which no epoch .*'accuracy'"),
        ({"layer_decay": 0.8}, "layer_decay needs layers that timm can tell"),
        ({"augment": [{"kind": "crop"}]}, "augmentation by crop cannot be with data.shift"),
    ],
)
def test_what_the_spec_alone_tells_is_refused_by_validate(changes, message):
    parts = {
        "name": "refused",
        "data": {**SHAPES, "split": "train", "shift": {"kind": "fog", "severity": 2}},
        "model": {"kind": "hardy", "classes": 6},
    }
    method = {"kind": "supervised", "validate_on": {"split": "test"}}
    Experiment.model_validate({**parts, "method": method | {"monitor": "validation/accuracy"}})
    with pytest.raises(ValueError, match=message):
        Experiment.model_validate({**parts, "method": method | changes})


def test_models_of_images_and_texts_are_refused():
    parts = {"name": "refused", "data": {**SHAPES, "split": "train"}}
    model = {"kind": "open_clip", "name": "hardy-shapes", "weights": "random"}
    method = {"kind": "supervised", "validate_on": {"split": "test"}}
    with pytest.raises(ValueError, match="compares images with texts"):
        Experiment.model_validate({**parts, "model": model, "method": method})


def test_stated_samples_to_answer_for_are_kept_where_a_whole_is_divided():
    parts = {
        "name": "divided",
        "data": {"dataset": "folder", "root": "/nowhere"},
        "model": {"kind": "hardy"},
        "method": {"kind": "supervised", "answer_on": {"part": "val", "samples": 5}},
    }
    method = Experiment.model_validate(parts).method
    assert (method.answer_on.part, method.answer_on.samples) == ("val", 5)
    assert method.validate_on.part == "val"
    assert (
        Experiment.model_validate({**parts, "method": {"kind": "supervised"}}).method.answer_on.part
        == "test"
    )
    with pytest.raises(ValueError, match="part 'nope'"):
        Experiment.model_validate(
            {**parts, "method": {"kind": "supervised", "answer_on": {"part": "nope"}}}
        )


def test_void_is_no_class_that_could_weigh():
    dataset = open_dataset(DataSpec.model_validate(SHAPES))
    known = build_task(SegmentSpec(), dataset.mask_classes, 0)
    weights = class_weights("balanced", dataset, known)
    assert len(weights) == known.outputs == len(dataset.mask_classes) - 1
    stated = class_weights({dataset.mask_classes[1]: 5.0}, dataset, known)
    assert stated.tolist() == [5.0] + [1.0] * (known.outputs - 1)


def test_stated_weights_go_by_the_classes_names():
    dataset = open_dataset(DataSpec.model_validate(SHAPES))
    known = build_task(ClassifySpec(), dataset.classes)
    found = class_weights({"square": 3.0}, dataset, known)
    assert found.tolist() == [3.0 if name == "square" else 1.0 for name in dataset.classes]
    assert class_weights(None, dataset, known) is None
    with pytest.raises(SpecError, match="there is no class 'sqare'") as caught:
        class_weights({"sqare": 3.0}, dataset, known)
    assert "square" in caught.value.hint
