"""What every test-time method promises, written once; each method's test class inherits it."""

from abc import ABC, abstractmethod

import pytest
import torch
from torch import Tensor, nn

from hardy.data.preprocess import Preprocess
from hardy.methods.base import Subject, TestTimeMethod
from hardy.models.model import Model

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


def some_views(count: int = 6, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def some_subject(seed: int = 1) -> Subject:
    return Subject(some_views(seed=seed), f"sample-{seed}")


class TimeMethodContract(ABC):
    """Inherit, name the method's own answer, and say how to build it."""

    answer: str

    @abstractmethod
    def build(self, model: Model) -> TestTimeMethod: ...

    @pytest.fixture
    def model(self) -> Model:
        return small_model()

    @pytest.fixture
    def method(self, model: Model) -> TestTimeMethod:
        return self.build(model)

    def test_answers_are_log_probabilities(self, method: TestTimeMethod) -> None:
        outcome = method.predict(some_subject())
        assert self.answer in outcome.answers
        assert "source" in outcome.answers
        for answer in outcome.answers.values():
            assert answer.shape == (5,)
            assert answer.dtype == torch.float32
            assert answer.device.type == "cpu"
            assert not answer.requires_grad
            torch.testing.assert_close(answer.exp().sum(), torch.tensor(1.0))

    def test_source_answer_is_the_unadapted_models(
        self, method: TestTimeMethod, model: Model
    ) -> None:
        subject = some_subject()
        with torch.no_grad():
            expected = model(subject.views[:1])[0].log_softmax(-1)
        torch.testing.assert_close(method.predict(subject).answers["source"], expected)

    def test_reset_restores_every_tensor_bit_for_bit(
        self, method: TestTimeMethod, model: Model
    ) -> None:
        before = {name: t.clone() for name, t in model.state_dict().items()}
        addresses = [t.data_ptr() for t in model.state_dict().values()]
        for seed in range(3):
            method.predict(some_subject(seed))
            method.reset()
        after = model.state_dict()
        assert list(after) == list(before)
        assert all(torch.equal(after[name], before[name]) for name in before)
        assert [t.data_ptr() for t in after.values()] == addresses

    def test_reset_leaves_no_gradient_hook_or_mode(
        self, method: TestTimeMethod, model: Model
    ) -> None:
        modules = [type(module) for module in model.modules()]
        method.predict(some_subject())
        method.reset()
        assert all(p.grad is None for p in model.parameters())
        assert all(p.requires_grad for p in model.parameters())
        assert not model.training
        assert [type(module) for module in model.modules()] == modules
        assert all(not m._forward_hooks and not m._backward_hooks for m in model.modules())

    def test_an_answer_does_not_depend_on_what_came_before(self, method: TestTimeMethod) -> None:
        subject = some_subject(7)
        first = method.predict(subject).answers
        method.reset()
        for seed in range(2):
            method.predict(some_subject(seed))
            method.reset()
        again = method.predict(subject).answers
        assert all(torch.equal(first[name], again[name]) for name in first)

    def test_views_are_not_written_to(self, method: TestTimeMethod) -> None:
        subject = some_subject()
        kept = subject.views.clone()
        method.predict(subject)
        assert torch.equal(subject.views, kept)
