"""BYOL's learner: loss, target, heads, ramps and what judges features, each by another formula."""

from collections import Counter
from contextlib import nullcontext
from types import MappingProxyType

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn
from torch.nn import functional

from hardy.core.errors import MethodError, SpecError
from hardy.data.item import Batch, Targets
from hardy.methods.byol.learner import ByolLearner, distance, head_of, momentum_at
from hardy.methods.byol.method import Byol
from hardy.methods.byol.monitors import floor_of, monitors_of
from hardy.methods.byol.pictures import pairs, pixels_of
from hardy.methods.byol.probe import OnlineProbe
from hardy.methods.byol.spec import ByolSpec, Heads, ViewNoise
from hardy.methods.byol.views import sigma_of, views_of_batch
from hardy.methods.neighbours import neighbour_log_probabilities
from hardy.methods.tuned import tuned
from hardy.models.model import Model
from hardy.tasks.build import build_task
from hardy.tasks.classify.spec import ClassifySpec
from hardy.tasks.represent.spec import RepresentSpec
from tests.contracts.device import another_device
from tests.contracts.learner import LearnerContract, gradients, step, trained_of
from tests.methods.byols import (
    CLASSES,
    SHAPED,
    SIDE,
    Pixels,
    cnn,
    learner,
    shapes,
    spec,
    task,
    vit,
)

AUGMENT = [{"kind": "crop", "area": [0.3, 1.0]}, {"kind": "flip"}, {"kind": "jitter"}]


def batch(epoch=0, number=0, count=8, seed=0):
    pixels, labels = shapes(32)
    ids = tuple(f"s{n}" for n in range(count))
    return Batch(pixels[:count], Targets(labels[:count]), ids, seed, epoch, number)


class TestByolLearner(LearnerContract):
    changes = MappingProxyType({"noise": {"sigma": 0.2, "to": 0.8}, "momentum_to": 1.0})

    def build(self, device="cpu"):
        source = Pixels(*shapes(32), device=device)
        return learner(cnn().to(device), source, **self.changes).to(device)

    def batch(self, epoch=0):
        return batch(epoch)


class TestTwiceAugmented(TestByolLearner):
    changes = MappingProxyType({"noise": None, "augment": AUGMENT})


class TestShifted(TestByolLearner):
    """Samples come shifted, with the images before as their truth."""

    changes = MappingProxyType({"shift": {"kind": "salt_and_pepper", "amount": 0.1}})

    def batch(self, epoch=0):
        found = batch(epoch)
        shifted = (found.inputs.int() + 40 * (1 + epoch)).clamp(max=255).byte()
        targets = found.targets._replace(image=found.inputs)
        return found._replace(inputs=shifted, targets=targets)


class TestTransformer(TestByolLearner):
    def build(self, device="cpu"):
        source = Pixels(*shapes(32), device=device)
        return learner(vit().to(device), source, **self.changes).to(device)


# --- the loss, the target, the heads


def numbers(tensor):
    return tensor.detach().numpy().astype(np.float64)


def test_the_loss_is_the_distance_of_unit_vectors():
    drawn = torch.Generator().manual_seed(0)
    one, other = (torch.randn(7, 16, generator=drawn) for _ in range(2))
    a, b = numbers(one), numbers(other)
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    np.testing.assert_allclose(distance(one, other), ((a - b) ** 2).sum(1), rtol=1e-5)


def by_formula(x, sequential, *, training):
    """Return Linear - BatchNorm - ReLU - Linear of rows, in float64."""
    into, norm, _, out = sequential
    hidden = x @ numbers(into.weight).T + numbers(into.bias)
    mean, variance = numbers(norm.running_mean), numbers(norm.running_var)
    if training:
        mean, variance = hidden.mean(0), hidden.var(0)
    hidden = (hidden - mean) / np.sqrt(variance + norm.eps)
    hidden = hidden * numbers(norm.weight) + numbers(norm.bias)
    return np.maximum(hidden, 0) @ numbers(out.weight).T + numbers(out.bias)


@pytest.mark.parametrize("training", [True, False])
def test_a_head_is_two_layers_with_a_batch_norm_between(training):
    head = head_of(12, Heads(hidden=20, size=5)).train(training)
    with torch.no_grad():
        head[1].running_mean.normal_()
        head[1].weight.uniform_(0.5, 2)
        x = torch.randn(9, 12)
        expected = by_formula(numbers(x), head, training=training)
        np.testing.assert_allclose(head(x), expected, rtol=1e-3, atol=1e-5)


def cosine_loss(one, other):
    cos = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    return 2 - 2 * cos


def test_the_whole_loss_is_that_of_both_views_foretold():
    made = learner(noise={"sigma": 0.5}).eval()
    with torch.no_grad():
        for parameter in (*made.target.parameters(), *made.target_projector.parameters()):
            parameter.mul_(1.3).add_(0.01)
        found = made(batch(1))["loss"]
        noise = batch(1).normal("view-1", (3, SIDE, SIDE))
        plain = SHAPED.normalise(batch(1).inputs)
        body, slow = made.network[:-1], made.target[:-1]
        views = plain + 0.5 * noise, plain
        online, target = [body(v) for v in views], [slow(v) for v in views]
    heads = made.projector, made.predictor
    foretold = [numbers(x) for x in online]
    for head in heads:
        foretold = [by_formula(x, head, training=False) for x in foretold]
    wanted = [by_formula(numbers(x), made.target_projector, training=False) for x in target]
    both = cosine_loss(foretold[0], wanted[1]) + cosine_loss(foretold[1], wanted[0])
    assert float(found) == pytest.approx(both.mean(), rel=1e-4)


@pytest.mark.parametrize("network", [cnn, vit])
def test_the_target_has_no_gradient_and_the_network_s_head_none_either(network):
    made = learner(network()).train()
    made(batch(1))["loss"].backward()
    learned = set(gradients(made))
    assert not {n for n in learned if n.startswith("target")}
    assert {n.partition(".")[0] for n in learned} == {"network", "projector", "predictor"}
    last = list(made.network.state_dict())[-1].rpartition(".")[0]
    assert not {n for n in learned if n.startswith(f"network.{last}.")}
    body = {n for n, _ in made.network.named_parameters() if not n.startswith(f"{last}.")}
    assert {f"network.{n}" for n in body} == {n for n in learned if n.startswith("network.")}


@pytest.mark.parametrize("changes", [{"momentum": 0.9}, {"momentum": 0.5, "momentum_to": 1.0}])
def test_the_target_is_the_mean_of_what_it_followed(changes):
    made = learner(**changes, optimizer={"kind": "sgd", "lr": 0.1})
    trained = trained_of(made, steps=12)
    followed = [(*made.network.parameters(), *made.projector.parameters())]
    followed = [[numbers(p).copy() for p in followed[0]]]
    for number in range(1, 7):
        step(trained, batch(1, number), number)
        now = (*made.network.parameters(), *made.projector.parameters())
        followed.append([numbers(p).copy() for p in now])
    # m_1 ... m_n θ_0 + Σ (1 - m_i) m_{i+1} ... m_n θ_i
    steps = 3 * (32 // 8)
    m = np.array([changes["momentum"]] * 6)
    if "momentum_to" in changes:
        m = 1 - 0.5 * (np.cos(np.pi * np.arange(6) / steps) + 1) / 2
    shares = [np.prod(m), *((1 - m[i]) * np.prod(m[i + 1 :]) for i in range(6))]
    target = (*made.target.parameters(), *made.target_projector.parameters())
    for place, parameter in enumerate(target):
        expected = sum(s * each[place] for s, each in zip(shares, followed, strict=True))
        np.testing.assert_allclose(numbers(parameter), expected, rtol=1e-4, atol=1e-6)
    # Its running statistics are those of its own passes, in training as the network's are.
    assert not torch.equal(made.target[1].running_mean, made.network[1].running_mean)
    assert int(made.target[1].num_batches_tracked) == 12


def modes(module):
    return {name: part.training for name, part in module.named_modules()}


@pytest.mark.parametrize("network", [cnn, lambda: vit(dropout=0.1)])
def test_every_part_is_in_the_mode_of_its_phase(network):
    made, seen = learner(network()), []
    for name in ("network", "target", "projector", "target_projector", "predictor"):
        getattr(made, name).register_forward_pre_hook(
            lambda part, _, name=name: seen.append((name, set(modes(part).values())))
        )
    made.train()(batch(1))
    parts = {name for name, _ in made.named_children()} - {"probe"}
    assert Counter(name for name, _ in seen) == dict.fromkeys(parts, 2)
    assert all(mode == {True} for _, mode in seen)
    seen.clear()
    made.eval().measure(batch())
    assert len(seen) > 10
    assert all(mode == {False} for _, mode in seen)
    made.train()
    made.refresh()
    seen.clear()
    made.bank()
    assert all(mode == {False} for _, mode in seen)
    assert len(seen) == 3  # features of 24 samples, 8 at a time
    assert all(modes(made).values())  # it goes on as it was


def test_what_is_frozen_stays_in_evaluation_in_the_target_too():
    network = cnn()
    made = learner(network)
    with tuned(network, ["6.*", "7.*"]):
        made.train()
        before = made.network[1].running_mean.clone()
        made(batch(1))["loss"].backward()
        assert not made.network[1].training
        assert not made.target[1].training
        assert made.network[7].training
        assert made.target[7].training
        assert torch.equal(made.network[1].running_mean, before)
        assert torch.equal(made.target[1].running_mean, before)
        names = {n for n in gradients(made) if n.startswith("network.")}
        assert names == {"network.6.weight", "network.7.weight", "network.7.bias"}


# --- views


@pytest.mark.parametrize("ramp", ["linear", "cosine"])
def test_the_noise_goes_from_the_first_epoch_s_to_the_last_s(ramp):
    noise = ViewNoise(sigma=0.2, to=1.4, ramp=ramp)
    along = np.linspace(0, 1, 100)
    along = along if ramp == "linear" else (1 - np.cos(np.pi * along)) / 2
    found = [sigma_of(noise, epoch, 100) for epoch in range(1, 101)]
    np.testing.assert_allclose(found, 0.2 + 1.2 * along, rtol=1e-12)
    assert sigma_of(ViewNoise(sigma=0.3), 7, 9) == 0.3
    assert sigma_of(noise, 1, 1) == 0.2


def test_the_momentum_goes_along_a_cosine():
    given = spec(momentum=0.9, momentum_to=1.0)
    found = [momentum_at(given, n, 50) for n in range(1, 51)]
    np.testing.assert_allclose(found, 1 - 0.1 * (np.cos(np.pi * np.arange(50) / 50) + 1) / 2)
    assert momentum_at(spec(momentum=0.9), 17, 50) == 0.9


def test_validation_has_one_noise_for_all_epochs_unless_it_is_to_go_along():
    ramp = {"sigma": 0.2, "to": 1.0}
    last, stated, going = (
        learner(noise=ramp, validate_sigma=each) for each in (None, 0.3, "current")
    )
    told = []
    for epoch in (1, 2, 3):
        noted = [each.start_epoch(epoch) for each in (last, stated, going)]
        told.append([each.sigma(0) for each in (last, stated, going)])
        assert noted[0]["sigma"] == pytest.approx(0.2 + 0.4 * (epoch - 1))
    np.testing.assert_allclose(told, [[1.0, 0.3, 0.2], [1.0, 0.3, 0.6], [1.0, 0.3, 1.0]])


def first_view(given, **place):
    return views_of_batch(batch(**place), given, SHAPED, 0.5)[0]


@pytest.mark.parametrize("changes", [{}, {"noise": {"space": "pixels"}}, {"augment": AUGMENT}])
def test_views_are_drawn_anew_for_each_step_epoch_seed_and_view(changes):
    given = spec(**changes)
    places = [
        {"epoch": e, "number": n, "seed": s} for e in (0, 1, 2) for n in (0, 1) for s in (0, 1)
    ]
    found = [first_view(given, **place) for place in places]
    for one in range(len(found)):
        assert torch.equal(found[one], first_view(given, **places[one]))
        assert not any(torch.equal(found[one], other) for other in found[one + 1 :])
    first, second = views_of_batch(batch(1), given, SHAPED, 0.5)
    assert not torch.equal(first, second)


def test_both_views_are_augmented_each_by_draws_of_its_own():
    first, second = views_of_batch(batch(1), spec(noise=None, augment=AUGMENT), SHAPED, 0.0)
    plain = SHAPED.normalise(batch(1).inputs)
    for one, other in ((first, second), (first, plain), (second, plain)):
        assert (one - other).abs().flatten(1).mean(1).min() > 0.01


def test_noise_has_its_strength_in_the_units_of_its_space():
    plain = SHAPED.normalise(batch(1).inputs)
    first, second = views_of_batch(batch(1), spec(), SHAPED, 0.5)
    assert torch.equal(second, plain)
    assert float((first - plain).std()) == pytest.approx(0.5, rel=0.02)
    assert float(first.max()) > 1.5  # nothing is clipped
    grey = batch(1)._replace(inputs=torch.full((8, 3, SIDE, SIDE), 128, dtype=torch.uint8))
    first, second = views_of_batch(grey, spec(noise={"space": "pixels"}), SHAPED, 0.1)
    assert float((first - second).std()) == pytest.approx(0.1 / 0.5, rel=0.02)
    first, _ = views_of_batch(batch(1), spec(noise={"space": "pixels"}), SHAPED, 0.5)
    assert float(first.min()) == -1
    assert float(first.max()) == pytest.approx(1)


def test_the_rows_of_a_process_are_those_of_the_whole_batch():
    whole = first_view(spec(), epoch=1)
    rows = batch(1)._replace(
        inputs=batch(1).inputs[1::2], ids=batch(1).ids[1::2], rank=1, ranks=2, whole=8
    )
    assert torch.equal(views_of_batch(rows, spec(), SHAPED, 0.5)[0], whole[1::2])


# --- what judges the features


def test_neighbours_vote_by_their_weights():
    rng = np.random.default_rng(0)
    bank, asked = rng.normal(size=(50, 8)), rng.normal(size=(9, 8)) * 3
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    labels = rng.integers(0, 4, 50)
    found = neighbour_log_probabilities(
        torch.tensor(asked),
        torch.tensor(bank).float(),
        torch.tensor(labels),
        4,
        7,
        0.1,
    )
    for row, answer in zip(asked, found.numpy(), strict=True):
        alike = bank @ (row / np.linalg.norm(row))
        near = np.argsort(-alike)[:7]
        shares = np.zeros(4)
        for place in near:
            shares[labels[place]] += np.exp(alike[place] / 0.1)
        shares /= shares.sum()
        np.testing.assert_allclose(np.exp(answer), (7 * shares + 0.25) / 8, rtol=1e-4)


def test_a_bank_smaller_than_k_votes_as_a_whole():
    bank = functional.normalize(torch.randn(3, 8), dim=1)
    found = neighbour_log_probabilities(
        torch.randn(2, 8), bank, torch.tensor([0, 1, 1]), 2, k=20, temperature=1e6
    )
    np.testing.assert_allclose(found.exp()[0], [1.5 / 4, 2.5 / 4], rtol=1e-4)


@pytest.mark.parametrize("shape", [(40, 12), (12, 40)])
def test_the_monitors_follow_their_formulas(shape):
    features = np.random.default_rng(1).normal(size=shape) + 0.5
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    found = monitors_of("of", torch.tensor(features))
    assert found["of/spread"] == pytest.approx(unit.std(0).mean() * shape[1] ** 0.5)
    values = np.linalg.svd(unit, compute_uv=False)
    shares = values / values.sum()
    assert found["of/effective_rank"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


def test_the_monitors_know_both_ends():
    even = torch.randn(4000, 32, generator=torch.Generator().manual_seed(0))
    found = monitors_of("of", even)
    assert found["of/spread"] == pytest.approx(1, abs=0.02)
    assert found["of/effective_rank"] > 31
    same = monitors_of("of", torch.ones(50, 32))
    assert same == {"of/spread": pytest.approx(0, abs=1e-6), "of/effective_rank": pytest.approx(1)}
    assert floor_of("features/spread", 0.8) == pytest.approx(0.2)
    assert floor_of("features/spread", 0.3) == pytest.approx(0.1)
    assert floor_of("features/spread", 0.05) == pytest.approx(0.025)


def test_the_online_probe_takes_adam_s_steps_of_the_cross_entropy():
    mine = OnlineProbe(10, 4).train()
    theirs, norm = nn.Linear(10, 4), nn.BatchNorm1d(10, affine=False)
    nn.init.zeros_(theirs.weight)
    nn.init.zeros_(theirs.bias)
    adam = torch.optim.Adam(theirs.parameters(), lr=3e-3)
    drawn = torch.Generator().manual_seed(0)
    for _ in range(20):
        features = torch.randn(16, 10, generator=drawn) * 5
        labels = torch.randint(0, 4, (16,), generator=drawn)
        mine.learn(features, labels)
        adam.zero_grad()
        logits = theirs(norm(functional.normalize(features, dim=1)))
        functional.cross_entropy(logits, labels).backward()
        adam.step()
    torch.testing.assert_close(mine.weight[:, :10], theirs.weight.detach(), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(mine.weight[:, 10], theirs.bias.detach(), rtol=1e-3, atol=1e-5)


def test_the_online_probe_learns_in_float32_whatever_the_precision():
    plain, half = (OnlineProbe(10, 4).train() for _ in range(2))
    features, labels = torch.randn(16, 10), torch.randint(0, 4, (16,))
    plain.learn(features, labels)
    with torch.autocast("cpu", torch.bfloat16):
        half.learn(features, labels)
        assert torch.equal(half.eval()(features), plain.eval()(features))
    assert torch.equal(half.weight, plain.weight)


def test_the_online_probe_has_no_influence():
    both = [learner(online_probe=each) for each in (None, False)]
    for made in both:
        trained = trained_of(made)
        losses = [step(trained, batch(1, n), n) for n in (1, 2, 3)]
        assert made.optimizers()[0].param_groups
        made.losses = losses
    with_it, without = both
    assert with_it.probe.weight.any()
    assert without.probe is None
    assert with_it.losses == without.losses
    ours, theirs = with_it.weights(), without.weights()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    assert "probe_accuracy" in with_it.eval().measure(batch())[0]
    assert "probe_accuracy" not in without.eval().measure(batch())[0]


def test_the_bank_is_drawn_by_the_seed_and_the_answers_are_its_neighbours():
    made = learner(source=Pixels(*shapes(64)))
    bank, same, other = (
        learner(source=Pixels(*shapes(64), seed=seed)).bank() for seed in (0, 0, 1)
    )
    assert bank.features.shape == (24, 64)
    assert torch.equal(bank.labels, same.labels)
    assert not torch.equal(bank.labels, other.labels)
    assert len(set(bank.labels.tolist())) == CLASSES
    _, answers = made.eval().measure(batch())
    with torch.no_grad():
        features = made.network[:-1](SHAPED.normalise(batch().inputs))
    expected = neighbour_log_probabilities(
        features, bank.features, bank.labels, CLASSES, k=5, temperature=0.07
    )
    torch.testing.assert_close(answers, expected)


def test_samples_without_labels_are_judged_by_no_class():
    pixels, _ = shapes(32)
    bare = build_task(ClassifySpec(), ())
    made = ByolLearner(Model(cnn(), SHAPED), spec(), bare, Pixels(pixels))
    found, _ = made.eval().measure(batch()._replace(targets=Targets()))
    assert set(found) == {"loss"}
    assert made.bank().labels is None
    assert made.merit({"loss": 2.0}) == -2.0
    made.train()(batch(1)._replace(targets=Targets()))["loss"].backward()


# --- the schema


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise": {}, "shift": {"kind": "fog"}}, "shift takes the place of noise"),
        ({"shift": {"kind": "fog"}, "augment": AUGMENT}, "leave one of them out"),
        ({"noise": None, "validate_sigma": 0.2}, "noise is null"),
        ({"predictor": {"size": 7}}, "predictor.size is 7"),
        ({"accumulate": 2}, "compares all samples of a batch"),
        ({"online_probe": False, "monitor": "probe_accuracy"}, "online_probe is false"),
        ({"neighbours": {"bank": 1}}, "greater than or equal to 2"),
        ({"neighbours": {"bank": 19}}, "k is 20, but the bank has 19 samples: lower k or raise"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        spec(**changes)


def test_a_shift_takes_the_place_of_noise_and_is_read_again():
    given = spec(shift={"kind": "fog"})
    assert given.noise is None
    assert ByolSpec.model_validate_json(given.model_dump_json()) == given
    assert spec().noise == ViewNoise()
    assert ByolSpec.model_validate_json(spec().model_dump_json()) == spec()
    assert given.lasts(32) == (3, 12)
    assert spec(steps=5).lasts(32) == (2, 5)
    assert spec(batch=32).lasts(32) == (3, 3)
    assert spec(batch=64).lasts(32) == (3, 3)  # without a batch: refused later on


def test_what_goes_together_is_taken():
    assert spec(predictor=None).predictor is None
    assert spec(monitor="probe_accuracy").online_probe is None
    assert spec(neighbours={"k": 7, "bank": 7}).neighbours.k == 7
    assert (spec().needs_labels, spec(online_probe=True).needs_labels) == ("", "online_probe")


def test_a_pattern_that_fits_nothing_is_refused():
    with pytest.raises(SpecError, match="no parameter"), tuned(cnn(), ["layer9.*"]):
        pass


def test_a_sample_costs_four_passes_forward_and_two_back_in_each_epoch():
    cost = spec(epochs=7, batch=8).cost()
    assert (cost.forward, cost.backward, cost.batch) == (28, 14, 16)


# --- what is noted, drawn, answered


def test_an_epoch_begins_with_the_momentum_of_its_first_step():
    made = learner(momentum=0.9, momentum_to=1.0)
    steps = 3 * (32 // 8)
    for epoch in (1, 2, 3):
        step_ = 4 * (epoch - 1)
        expected = 1 - 0.1 * (np.cos(np.pi * step_ / steps) + 1) / 2
        assert made.start_epoch(epoch)["momentum"] == pytest.approx(expected)
    assert "sigma" not in learner(noise=None).start_epoch(1)


def test_what_features_were_before_the_first_step_is_the_first_highest():
    made = learner()
    made.start_epoch(1)
    before = list(made.bank().monitors.values())
    np.testing.assert_allclose(made.highest.tolist(), before, rtol=1e-6)
    made.highest.fill_(99.0)
    made.start_epoch(2)  # a later epoch compares with what there was
    assert made.highest.tolist() == [99.0] * 4
    made.highest.fill_(0.01)
    made.end_epoch(2)
    np.testing.assert_allclose(made.highest.tolist(), before, rtol=1e-6)


class Asked(Pixels):
    """Also keeps the epochs that batches were asked for."""

    def batches(self, order, size, epoch, **place):
        self.epochs = {*getattr(self, "epochs", ()), epoch}
        return super().batches(order, size, epoch, **place)


def test_the_bank_is_of_samples_as_they_are_without_an_epoch_s_draws():
    source = Asked(*shapes(32))
    learner(source=source).bank()
    assert source.epochs == {0}


def test_views_are_drawn_once_of_each_chosen_epoch():
    drawn = []
    made = learner(view_grids=[2], picture=lambda path, _: drawn.append(path))
    for epoch, number in ((1, 0), (2, 1), (3, 0)):
        made.train()(batch(epoch, number))
    assert not drawn
    made.train()(batch(2, 0))
    made.eval()(batch(2))
    assert drawn == ["views/epoch-0002.png"]


def test_pixels_of_views_are_those_that_were_normalised():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    found = pixels_of(SHAPED.normalise(levels), SHAPED)
    assert np.array_equal(found[0], levels[0].permute(1, 2, 0).numpy())
    beyond = pixels_of(torch.tensor([-9.0, 9.0]).reshape(1, 1, 1, 2).expand(1, 3, 1, 2), SHAPED)
    assert beyond[0, 0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("count", [3, 4, 6])
def test_the_tiles_of_both_halves_are_whole_and_apart(count):
    first = np.full((count, 8, 8, 3), (255, 0, 0), np.uint8)
    second = np.full((count, 8, 8, 3), (0, 0, 255), np.uint8)
    picture = np.asarray(pairs(first, second, ("one", "other")).convert("RGB"))
    middle = picture.shape[1] // 2
    for colour, here in (((255, 0, 0), slice(None, middle)), ((0, 0, 255), slice(middle, None))):
        mask = (picture == colour).all(-1)
        assert mask.sum() == mask[:, here].sum()
        pieces, number = ndimage.label(mask)
        assert number == count
        sizes = [tuple(s.stop - s.start for s in p) for p in ndimage.find_objects(pieces)]
        assert sizes == [(96, 96)] * count


@pytest.mark.parametrize(("count", "side"), [(1, 200), (3, 296), (6, 396)])
def test_views_stand_in_rows_of_four_below_their_titles(count, side):
    """Tiles of 96 pixels at steps of 100; 16 at the edges, 32 between the halves."""
    views = np.zeros((count, 8, 8, 3), np.uint8)
    views[...] = (255, 0, 0)
    picture = np.asarray(pairs(views, views, ("one", "other")))
    rows = -(-count // 4)
    assert picture.shape == (36 + 100 * rows - 4 + 16, 2 * side + 64, 3)
    mask = (picture == (255, 0, 0)).all(-1)
    found = sorted((p[0].start, p[1].start) for p in ndimage.find_objects(ndimage.label(mask)[0]))
    lefts = (16, 16 + side + 32)
    places = [divmod(n, 4) for n in range(count)]
    assert found == sorted((36 + 100 * r, left + 100 * c) for left in lefts for r, c in places)
    for left in lefts:
        ink = ndimage.find_objects((picture[:36, left : left + side] < 200).any(-1).astype(int))
        assert ink[0][1].start < 4
        assert ink[0][0].start >= 10


class Given:
    """What a method is given to fit with, on a device; trains nothing, and looks at what would."""

    autocast, picture = staticmethod(nullcontext), None

    def __init__(self, device="cpu", *, labelled=True):
        self.device, self.seed, self.said = torch.device(device), 0, []
        self.pixels = Pixels(*shapes(32)[: 1 + labelled], device=device)

    def source(self, role, augment=(), *, left=False, shift=None):
        return self.pixels

    def say(self, line):
        self.said.append(line)

    def train(self, learner, fit, validate):
        self.places = {tensor.device for tensor in learner.state_dict().values()}


@pytest.mark.parametrize(
    ("changes", "named", "told"),
    [
        ({"keep": "best"}, True, True),
        ({"keep": "best", "monitor": "accuracy"}, True, True),
        ({"early_stop": 2}, True, True),
        ({"keep": "best", "monitor": "loss"}, True, False),
        ({"keep": "best"}, False, False),
        ({}, True, False),
    ],
)
def test_that_labels_choose_the_epoch_is_said_where_they_do(changes, named, told):
    work = Given(labelled=named)
    method(task() if named else build_task(RepresentSpec()), **changes).fit(work)
    assert any("by labels" in line for line in work.said) == told


def test_all_that_learns_is_on_the_models_device():
    with another_device() as device:
        work = Given(device)
        made = Byol(Model(cnn(), SHAPED).to(device), spec(), task())
        found = made.fit(work)
    assert work.places == {torch.device(device)}
    assert {"target.0.weight", "predictor.0.weight", "bank.features"} <= set(found)


def method(task_, **changes):
    return Byol(Model(cnn(), SHAPED), spec(**changes), task_)


def test_what_it_fitted_answers_in_evaluation_and_features_need_no_bank():
    network = {f"network.{name}": t.clone() for name, t in cnn(seed=5).state_dict().items()}
    images = SHAPED.normalise(shapes(32)[0][:4])
    features = build_task(RepresentSpec(), task().names)  # of samples that have classes
    made = method(features)
    made.model.train()
    made.load(network)
    assert not made.model.training
    with torch.no_grad():
        expected = cnn(seed=5).eval()[:-1](images)
    torch.testing.assert_close(made.answer(images)["byol"], expected)
    classes = method(task())
    classes.load(network)
    with pytest.raises(MethodError, match="no labelled features"):
        classes.answer(images)
