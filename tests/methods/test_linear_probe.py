"""The linear probe: its loss by a formula, its head, its noise, its samples in memory."""

from types import MappingProxyType

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression
from torch import nn

from hardy.core.errors import SpecError
from hardy.data.item import Batch, Targets
from hardy.methods.linear_probe.method import ProbeLearner, check_last
from hardy.methods.linear_probe.spec import LinearProbeSpec
from hardy.methods.tensor_source import TensorSource
from hardy.models import head
from hardy.models.model import Model
from hardy.models.probe import Before
from hardy.spec.experiment import Experiment
from hardy.tasks.build import build_task
from hardy.tasks.classify.spec import ClassifySpec
from tests.contracts.device import another_device
from tests.contracts.learner import LearnerContract, step, trained_of
from tests.contracts.method import PLAIN, MethodContract, build_method, small_model, some_views

NAMES = tuple(f"class {n}" for n in range(5))
HELD = {"split": "test"}


def spec(**changes):
    given = {"validate_on": HELD, "epochs": 2, "batch": 8}
    return LinearProbeSpec.model_validate({"kind": "linear_probe"} | given | changes)


def task(names=NAMES):
    return build_task(ClassifySpec(), names)


BOTH = Before(normalise=True, batch_norm=True)


def probed(before=BOTH, device="cpu"):
    """Return a small network with a new head."""
    model = small_model()
    head.make(model.network, 5, 3, before)
    return Model(model.network, PLAIN).eval().to(device)


def batch(epoch=0):
    drawn = torch.Generator().manual_seed(5)
    features = torch.rand(8, 8, generator=drawn) + 0.1
    labels = torch.tensor([0, 4, 0, 3, 4, 0, 1, 2])
    return Batch(features, Targets(labels), tuple(f"s{n}" for n in range(8)), 0, epoch)


class TestProbeLearner(LearnerContract):
    changes = MappingProxyType({"l2": 0.1})

    def build(self, device="cpu"):
        return ProbeLearner(probed(device=device), spec(**self.changes), task())

    def batch(self, epoch=0):
        return batch(epoch)

    def test_only_the_head_is_kept_while_it_learns_and_all_of_the_network_after(self, learner):
        assert set(learner.state_dict()) == {
            f"network.{name}"
            for name in (
                "weight",
                "bias",
                "normalise",
                "norm.running_mean",
                "norm.running_var",
                "norm.num_batches_tracked",
            )
        }
        assert set(learner.weights()) == set(probed().network.state_dict())


class TestLinearProbe(MethodContract):
    answer = "linear_probe"
    before = "linear_probe"

    def build(self, model):
        return build_method(spec(), model)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_loss_is_that_of_the_formula(normalise, batch_norm):
    model = probed(Before(normalise, batch_norm))
    learner = ProbeLearner(model, spec(l2=0.3), task()).train()
    layer = model.network[8]
    x = batch().inputs.double().numpy()
    if normalise:
        x = x / np.sqrt((x**2).sum(1, keepdims=True))
    if batch_norm:  # a batch's own statistics in training
        x = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    weight, bias = (t.detach().double().numpy() for t in (layer.weight, layer.bias))
    logits = x @ weight.T + bias
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    mean = -logs[np.arange(8), batch().targets.label.numpy()].mean()
    expected = mean + 0.15 * (weight**2).sum()
    assert float(learner(batch(1))["loss"].detach()) == pytest.approx(expected, rel=1e-5)
    if not batch_norm:  # what is measured has no penalty
        found, answers = learner.eval().measure(batch())
        assert float(found["loss"]) == pytest.approx(mean, rel=1e-5)
        np.testing.assert_allclose(answers.numpy(), logs, rtol=1e-4, atol=1e-5)


def test_the_batch_norm_learns_statistics_in_training_and_answers_by_them():
    model = probed()
    learner, norm = ProbeLearner(model, spec(), task()).train(), model.network[8].norm
    unit = nn.functional.normalize(batch().inputs, dim=-1)
    learner(batch(1))
    torch.testing.assert_close(norm.running_mean, 0.1 * unit.mean(0))
    learner.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    _, answers = learner.measure(batch())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    moved = (unit - norm.running_mean) / (norm.running_var + 1e-5).sqrt()
    layer = model.network[8]
    logits = moved @ layer.weight.T + layer.bias
    torch.testing.assert_close(answers, logits.detach().log_softmax(-1), rtol=1e-4, atol=1e-5)
    one = learner.measure(
        batch()._replace(
            inputs=batch().inputs[:1], ids=("s0",), targets=Targets(batch().targets.label[:1])
        )
    )[1]
    torch.testing.assert_close(one[0], answers[0])  # whatever else is asked


def problem(rows, width=16, seed=0):
    """Return features of three classes that overlap."""
    drawn = np.random.default_rng(seed)
    labels = drawn.integers(0, 3, rows)
    centres = np.random.default_rng(9).normal(0, 0.6, (3, width))
    return (centres[labels] + drawn.normal(0, 1, (rows, width))).astype(np.float32), labels


@pytest.mark.parametrize("c", [0.1, 10.0])
def test_with_the_penalty_it_is_scikit_learns_logistic_regression(c):
    (x, y), (tried, truth) = problem(600), problem(400, seed=1)
    given = spec(l2=1 / (c * len(x)), optimizer={"kind": "adam", "lr": 1.0})
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    head.make(network, 3, 0, Before(normalise=True))
    learner = ProbeLearner(Model(network, PLAIN), given, task(("a", "b", "c")))
    source = TensorSource(torch.from_numpy(x), torch.from_numpy(y), range(len(x)), 0)
    (whole,) = source.batches(range(len(x)), len(x), 1)
    moved = trained_of(learner, steps=250)
    for number in range(1, 251):
        step(moved, whole, number)

    unit, others = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, tried))
    known = LogisticRegression(C=c, max_iter=5000, tol=1e-8).fit(unit, y)
    with torch.no_grad():
        found = learner.network(torch.from_numpy(tried)).softmax(-1).numpy()
    expected = known.predict_proba(others)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    right, reference = ((p.argmax(1) == truth).mean() for p in (found, expected))
    assert abs(right - reference) <= 0.005
    assert reference > 0.5


def test_samples_in_memory_come_as_images_do():
    rows = torch.arange(10.0).view(10, 1)
    source = TensorSource(rows, torch.arange(10), [f"s{n}" for n in range(10)], 7)
    order = [9, 3, 1, 0, 2, 8, 7]
    first, _, third = source.batches(order, 3, 4)
    assert first.inputs.flatten().tolist() == [9, 3, 1] == first.targets.label.tolist()
    assert first.ids == ("s9", "s3", "s1")
    assert (third.step, third.epoch, third.seed, third.whole) == (2, 4, 7, 1)
    (again,) = source.batches(order, 3, 4, first=2)
    assert again.ids == third.ids
    shared = [next(source.batches(order, 3, 4, rank=rank, ranks=2)) for rank in (0, 1)]
    assert [each.ids for each in shared] == [("s9", "s1"), ("s3",)]
    assert [each.whole for each in shared] == [3, 3]
    assert len(source) == 10
    with another_device() as device:
        there = TensorSource(rows.to(device), torch.arange(10).to(device), range(10), 0)
        (batch,) = there.batches([4, 2], 2, 1)
        assert batch.inputs.cpu().flatten().tolist() == [4, 2]


class Scaled(nn.Module):
    """Makes a head's answers half as large again."""

    def forward(self, x):
        return 1.5 * x


def test_a_head_that_is_not_the_last_step_is_refused():
    check_last(probed())
    squashed = nn.Sequential(nn.Flatten(), nn.Linear(768, 5), nn.ReLU())
    scaled = nn.Sequential(nn.Flatten(), nn.Linear(768, 5), Scaled())
    for network in (squashed, scaled):
        with pytest.raises(SpecError, match="no linear function of what its head is given"):
            check_last(Model(network, PLAIN))
    pointwise = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.Conv2d(8, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    with pytest.raises(SpecError, match="no linear function"):
        check_last(Model(pointwise, PLAIN))


def test_it_answers_with_what_it_loaded():
    """A network as the library gives it becomes what the run's files say."""
    trained_model = probed()
    method = build_method(spec(), small_model(seed=4))
    method.model.train()
    method.load({f"network.{n}": t for n, t in trained_model.network.state_dict().items()})
    assert not method.model.training
    images = some_views(4)
    with torch.no_grad():
        expected = trained_model(images).log_softmax(-1)
    torch.testing.assert_close(method.answer(images)["linear_probe"], expected)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"noise": [0.1, 0.1]}, "noise has a level twice"),
        ({"noise": []}, "at least 1 item"),
        ({"noise": [-1]}, "greater than or equal to 0"),
        ({"layer_decay": 0.5}, "every layer learns"),
        ({"l2": 0}, "greater than 0"),
    ],
)
def test_what_has_no_meaning_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        spec(**changes)


def test_what_it_costs_is_a_pass_a_level():
    assert spec(noise=[0, 0.5, 1]).cost().forward == 3
    assert spec().levels == (0.0,)
    assert (spec().cost().forward, spec().cost().backward, spec().spent(100)) == (1, 0, 1.0)


def test_a_registered_probe_and_models_of_texts():
    parts = {
        "name": "probe",
        "data": {"dataset": "shapes", "split": "train"},
        "model": {"kind": "hardy", "weights": "random", "classes": 6},
        "method": {"kind": "linear_probe", "validate_on": HELD},
    }
    Experiment.model_validate({**parts, "register": "any"})
    clip = {"kind": "open_clip", "name": "hardy-shapes", "weights": "random"}
    with pytest.raises(ValidationError, match="compares images with texts"):
        Experiment.model_validate({**parts, "model": clip})


def test_a_probe_goes_on_from_the_weights_that_it_gave():
    made, other = (TestProbeLearner().build() for _ in range(2))
    with torch.no_grad():
        made.network.weight.fill_(0.25)
    other.load_weights(made.weights())
    assert (other.network.weight == 0.25).all()
