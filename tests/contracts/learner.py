"""What every learner inherits: its loss, its optimizers, its state, on this device and another."""

from abc import ABC, abstractmethod

import pytest
import torch
from lightning_fabric import Fabric

from hardy.data.item import Batch, Targets
from hardy.engine.trained import Trained
from hardy.methods.learner import Learner
from tests.contracts.device import another_device


def on(batch: Batch, device: torch.device) -> Batch:
    """Return a batch on a device."""
    parts = (part.to(device) if torch.is_tensor(part) else part for part in batch.targets)
    return batch._replace(inputs=batch.inputs.to(device), targets=Targets(*parts))


def gradients(learner: Learner) -> dict[str, torch.Tensor]:
    return {n: p.grad for n, p in learner.named_parameters() if p.grad is not None}


def trained_of(learner: Learner, steps: int = 8) -> Trained:
    return Trained(learner, Fabric(accelerator="cpu", devices=1), steps=steps, epoch_steps=2)


def step(trained: Trained, batch: Batch, number: int = 1) -> float:
    """Take a step as the loop does; return the loss before it."""
    trained.learner.train()
    loss = trained.gradients(batch)["loss"]
    trained.step(number)
    trained.learner.eval()
    return float(loss)


class LearnerContract(ABC):
    """Inherit, and say how to build a learner on a device and what a batch of an epoch is."""

    @abstractmethod
    def build(self, device: torch.device | str = "cpu") -> Learner: ...

    @abstractmethod
    def batch(self, epoch: int = 0) -> Batch: ...

    @pytest.fixture
    def learner(self) -> Learner:
        return self.build()

    def test_a_batch_has_a_loss_with_gradients(self, learner: Learner) -> None:
        found = learner.train()(self.batch(1))
        assert found["loss"].shape == ()
        found["loss"].backward()
        assert gradients(learner)
        assert all(not value.requires_grad for n, value in found.items() if n != "loss")

    def test_a_batch_that_is_measured_draws_nothing(self, learner: Learner) -> None:
        learner.eval()
        with torch.no_grad():
            one, other = (learner(self.batch())["loss"] for _ in range(2))
        assert torch.equal(one, other)

    def test_steps_lower_the_loss(self, learner: Learner) -> None:
        trained = trained_of(learner, steps=40)
        losses = [step(trained, self.batch(1), n) for n in range(1, 21)]
        assert losses[-1] < losses[0]

    def test_a_batch_is_left_as_it_is(self, learner: Learner) -> None:
        batch = self.batch(1)
        before = batch.inputs.clone()
        learner.train()(batch)
        assert torch.equal(batch.inputs, before)

    def test_it_learns_alike_on_another_device(self, learner: Learner) -> None:
        learner.train()(self.batch(1))["loss"].backward()
        expected, measured = gradients(learner), learner.eval().measure(self.batch())
        with another_device() as device:
            there = self.build(device)
            there.train()(on(self.batch(1), device))["loss"].backward()
            found = {name: gradient.cpu() for name, gradient in gradients(there).items()}
            means, answers = there.eval().measure(on(self.batch(), device))
            means = {name: float(value) for name, value in means.items()}
            for optimizer in there.optimizers():
                optimizer.step()
            there.end_step(1)
            there.refresh()
            kept = there.weights()
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-6)
        assert means == pytest.approx({n: float(v) for n, v in measured[0].items()}, rel=1e-4)
        if answers is not None:
            assert type(answers) is torch.Tensor  # it has come back to the CPU
            torch.testing.assert_close(answers, measured[1], rtol=1e-4, atol=1e-5)
        assert all(type(tensor) is torch.Tensor for tensor in kept.values())

    def test_a_state_goes_on_bit_for_bit(self, learner: Learner) -> None:
        begun = learner.weights()
        trained = trained_of(learner)
        step(trained, self.batch(1), 1)
        tensors, parts = trained.tensors(), trained.parts()
        step(trained, self.batch(2), 2)
        other = trained_of(self.build())
        other.load(tensors, parts)
        step(other, self.batch(2), 2)
        expected, found = trained.tensors(), other.tensors()
        assert expected.keys() == found.keys()
        assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
        assert other.parts() == trained.parts()
        assert not all(torch.equal(tensor, begun[n]) for n, tensor in learner.weights().items())
