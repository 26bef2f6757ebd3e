"""What every test-time method promises, written once; each method's test class inherits it."""

from abc import ABC, abstractmethod
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from hardy.data.preprocess import Preprocess
from hardy.methods.base import Adapts, Method, Outcome, Subject, outcome_of
from hardy.methods.base_spec import MethodBase
from hardy.methods.build import build_method as build
from hardy.models.model import Model
from hardy.tasks.build import build_task
from hardy.tasks.classify.spec import ClassifySpec
from hardy.tasks.segment.spec import SegmentSpec
from tests.contracts.device import another_device

PLAIN = Preprocess(
    size=16, resize=16, interpolation="bilinear", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)


def small_model(classes: int = 5, seed: int = 0) -> Model:
    """Return a network with convolutions, batch norm whose statistics are not trivial, a head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, classes),
        )
        network.train()
        for _ in range(3):
            network(torch.randn(16, 3, 16, 16) * 0.7 + 0.2)
    return Model(network, PLAIN).eval()


def small_segmenter(classes: int = 4, seed: int = 0) -> Model:
    """Return a network that answers for each pixel, its batch norm's statistics not trivial.

    What it says depends on a pixel's neighbours, and on which side they lie.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, classes, 3, padding=1),
        )
        network.train()
        for _ in range(3):
            network(torch.randn(16, 3, 12, 16) * 0.7 + 0.2)
    return Model(network, PLAIN).eval()


def build_method(spec: MethodBase, *models: Model) -> Method:
    """Build a method of classification from its schema."""
    names = tuple(f"class {n}" for n in range(5))
    return build(spec, models, build_task(ClassifySpec(), names))


def build_dense(spec: MethodBase, *models: Model) -> Method:
    """Build a method of segmentation from its schema."""
    names = tuple(f"class {n}" for n in range(4))
    return build(spec, models, build_task(SegmentSpec(), names))


def some_views(count: int = 6, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def some_subject(seed: int = 1) -> Subject:
    return Subject(some_views(seed=seed), f"sample-{seed}")


def some_planes(seed: int = 1, count: int = 6) -> Subject:
    """Return views of no square, every second one told to be mirrored."""
    views = torch.randn(count, 3, 12, 16, generator=torch.Generator().manual_seed(seed))
    return Subject(views, f"sample-{seed}", mirrored=tuple(n % 2 == 1 for n in range(count)))


def predict(method: Method, subject: Subject) -> Outcome:
    """Answer; a method that adapts stays adapted."""
    return method.predict(subject) if isinstance(method, Adapts) else outcome_of(method, subject)


def put_back(method: Method) -> None:
    if isinstance(method, Adapts):
        method.reset()


class MethodContract(ABC):
    """Inherit, name the method's own answer, and say how to build it."""

    answer: str
    before: str = "source"
    """Name of the unadapted model's answer."""
    shape: tuple[int, ...] = (5,)
    """Of an answer, the classes first."""

    @abstractmethod
    def build(self, model: Model) -> Method: ...

    def subject(self, seed: int = 1) -> Subject:
        """Return one image as the method sees it."""
        return some_subject(seed)

    @pytest.fixture
    def model(self) -> Model:
        return small_model()

    @pytest.fixture
    def method(self, model: Model) -> Method:
        return self.build(model)

    def test_answers_are_log_probabilities(self, method: Method) -> None:
        outcome = predict(method, self.subject())
        assert self.answer in outcome.answers
        assert self.before in outcome.answers
        for answer in outcome.answers.values():
            assert answer.shape == self.shape
            assert answer.dtype == torch.float32
            assert answer.device.type == "cpu"
            assert not answer.requires_grad
            torch.testing.assert_close(answer.exp().sum(0), torch.ones(self.shape[1:]))

    def test_source_answer_is_the_unadapted_models(self, method: Method, model: Model) -> None:
        subject = self.subject()
        with torch.no_grad():
            expected = model(subject.views[:1])[0].log_softmax(0)
        torch.testing.assert_close(predict(method, subject).answers[self.before], expected)

    def test_reset_restores_every_tensor_bit_for_bit(self, method: Method, model: Model) -> None:
        before = {name: t.clone() for name, t in model.state_dict().items()}
        addresses = [t.data_ptr() for t in model.state_dict().values()]
        for seed in range(3):
            predict(method, self.subject(seed))
            put_back(method)
        after = model.state_dict()
        assert list(after) == list(before)
        assert all(torch.equal(after[name], before[name]) for name in before)
        assert [t.data_ptr() for t in after.values()] == addresses

    def test_reset_leaves_no_gradient_hook_or_mode(self, method: Method, model: Model) -> None:
        modules = [type(module) for module in model.modules()]
        predict(method, self.subject())
        put_back(method)
        assert all(p.grad is None for p in model.parameters())
        assert all(p.requires_grad for p in model.parameters())
        assert not model.training
        assert [type(module) for module in model.modules()] == modules
        assert all(not m._forward_hooks and not m._backward_hooks for m in model.modules())

    def test_an_answer_does_not_depend_on_what_came_before(self, method: Method) -> None:
        subject = self.subject(7)
        first = predict(method, subject).answers
        put_back(method)
        for seed in range(2):
            predict(method, self.subject(seed))
            put_back(method)
        again = predict(method, subject).answers
        assert all(torch.equal(first[name], again[name]) for name in first)

    def test_views_are_not_written_to(self, method: Method) -> None:
        subject = self.subject()
        kept = subject.views.clone()
        predict(method, subject)
        assert torch.equal(subject.views, kept)

    def test_it_answers_alike_on_another_device(self, model: Model) -> None:
        subject = self.subject()
        expected = outcome_of(self.build(model), subject)
        with another_device() as device:
            there = self.build(model.to(device))
            found = outcome_of(there, replace(subject, views=subject.views.to(device)))
        assert found.answers.keys() == expected.answers.keys()
        for name, answer in expected.answers.items():
            assert type(found.answers[name]) is Tensor  # it has come back to the CPU
            torch.testing.assert_close(found.answers[name].exp(), answer.exp())
        assert found.details.keys() == expected.details.keys()
        assert found.details.get("selected_views") == expected.details.get("selected_views")


class DenseMethodContract(MethodContract):
    """The same of a method that answers for each pixel, with views of which some are mirrored."""

    shape = (4, 12, 16)

    def subject(self, seed: int = 1) -> Subject:
        """Return one image as the method sees it."""
        return some_planes(seed)

    @pytest.fixture
    def model(self) -> Model:
        return small_segmenter()

    def test_mirrored_views_are_mirrored_back(self, model: Model) -> None:
        """An image and its mirror image say the same of it by a network that knows no sides.

        Not after a step, whose gradient does.
        """
        with torch.no_grad():
            for layer in model.modules():
                if isinstance(layer, nn.Conv2d):
                    layer.weight.copy_((layer.weight + layer.weight.flip(-1)) / 2)
        method, plain = self.build(model), self.subject().views[:1]
        views = torch.cat([plain, plain.flip(-1)]).repeat(3, 1, 1, 1)
        told = Subject(views, "a", mirrored=(False, True) * 3)
        same = Subject(plain.repeat(6, 1, 1, 1), "a")
        found, expected = outcome_of(method, told), outcome_of(method, same)
        for name in ("source", "view_ensemble", "majority_vote"):
            torch.testing.assert_close(found.answers[name], expected.answers[name])
        losses = [outcome.details.get("loss", 0.0) for outcome in (found, expected)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        untold = outcome_of(method, replace(told, mirrored=())).answers["view_ensemble"]
        assert not torch.allclose(untold, expected.answers["view_ensemble"], atol=1e-2)
