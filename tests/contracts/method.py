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


def build_method(spec: MethodBase, *models: Model) -> Method:
    """Build a method of classification from its schema."""
    names = tuple(f"class {n}" for n in range(5))
    return build(spec, models, build_task(ClassifySpec(), names))


def some_views(count: int = 6, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def some_subject(seed: int = 1) -> Subject:
    return Subject(some_views(seed=seed), f"sample-{seed}")


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

    @abstractmethod
    def build(self, model: Model) -> Method: ...

    @pytest.fixture
    def model(self) -> Model:
        return small_model()

    @pytest.fixture
    def method(self, model: Model) -> Method:
        return self.build(model)

    def test_answers_are_log_probabilities(self, method: Method) -> None:
        outcome = predict(method, some_subject())
        assert self.answer in outcome.answers
        assert self.before in outcome.answers
        for answer in outcome.answers.values():
            assert answer.shape == (5,)
            assert answer.dtype == torch.float32
            assert answer.device.type == "cpu"
            assert not answer.requires_grad
            torch.testing.assert_close(answer.exp().sum(), torch.tensor(1.0))

    def test_source_answer_is_the_unadapted_models(self, method: Method, model: Model) -> None:
        subject = some_subject()
        with torch.no_grad():
            expected = model(subject.views[:1])[0].log_softmax(-1)
        torch.testing.assert_close(predict(method, subject).answers[self.before], expected)

    def test_reset_restores_every_tensor_bit_for_bit(self, method: Method, model: Model) -> None:
        before = {name: t.clone() for name, t in model.state_dict().items()}
        addresses = [t.data_ptr() for t in model.state_dict().values()]
        for seed in range(3):
            predict(method, some_subject(seed))
            put_back(method)
        after = model.state_dict()
        assert list(after) == list(before)
        assert all(torch.equal(after[name], before[name]) for name in before)
        assert [t.data_ptr() for t in after.values()] == addresses

    def test_reset_leaves_no_gradient_hook_or_mode(self, method: Method, model: Model) -> None:
        modules = [type(module) for module in model.modules()]
        predict(method, some_subject())
        put_back(method)
        assert all(p.grad is None for p in model.parameters())
        assert all(p.requires_grad for p in model.parameters())
        assert not model.training
        assert [type(module) for module in model.modules()] == modules
        assert all(not m._forward_hooks and not m._backward_hooks for m in model.modules())

    def test_an_answer_does_not_depend_on_what_came_before(self, method: Method) -> None:
        subject = some_subject(7)
        first = predict(method, subject).answers
        put_back(method)
        for seed in range(2):
            predict(method, some_subject(seed))
            put_back(method)
        again = predict(method, subject).answers
        assert all(torch.equal(first[name], again[name]) for name in first)

    def test_views_are_not_written_to(self, method: Method) -> None:
        subject = some_subject()
        kept = subject.views.clone()
        predict(method, subject)
        assert torch.equal(subject.views, kept)

    def test_it_answers_alike_on_another_device(self, model: Model) -> None:
        subject = some_subject()
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
