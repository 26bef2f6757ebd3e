"""Supervised training by stated terms, on some labels, over changed pixels, with frozen parts."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from hardy.core.errors import MethodError, SpecError
from hardy.core.seeding import generator
from hardy.data.item import Batch, Targets
from hardy.data.open import open_dataset
from hardy.data.spec import DataSpec
from hardy.engine.checkpoint import Checkpoint
from hardy.engine.executor import beside
from hardy.engine.ranks import (
    NoCheckpoint,
    NoRun,
    Rank,
    free_address,
    meet,
    part,
    ranked_fabric,
    silent,
)
from hardy.engine.train import train
from hardy.methods.supervised.learner import SupervisedLearner
from hardy.methods.supervised.spec import SupervisedSpec
from hardy.methods.supervised.weights import labelled
from hardy.methods.tuned import tuned
from hardy.models.build import build_network
from hardy.models.model import Model
from hardy.models.segmenters.spec import VqVae
from hardy.spec.experiment import Experiment
from hardy.tasks.build import build_task
from hardy.tasks.reconstruct.spec import ReconstructSpec
from hardy.tasks.segment.spec import SegmentSpec
from tests.contracts.learner import LearnerContract
from tests.contracts.method import PLAIN
from tests.engine.runs import KeptRun
from tests.engine.toys import PRINT, training

NAMES = ("ground", "a", "b")
SEGMENT = build_task(SegmentSpec(), NAMES)
SHAPES = {"dataset": "shapes", "shapes": {"count": 30, "size": 16}}


class Coded(nn.Module):
    """An encoder with batch norm, a codebook of one code, a head: what a VQ-VAE tells of itself."""

    def __init__(self, outputs=3):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Conv2d(4, outputs, 1)
        self.register_buffer("code", torch.full((4, 1, 1), 0.5))
        self.register_buffer("used", torch.zeros(()))
        self._commitment = torch.zeros(())

    def forward(self, images):
        found = self.encoder(images)
        self._commitment = (found - self.code).square().mean()
        if self.training:
            self.used += 1
        return self.head(found)

    def aux_losses(self):
        return {"commitment": self._commitment}

    def epoch_measures(self):
        used = float(self.used)
        self.used.zero_()
        return {"codebook_usage": used}


def network(outputs=3):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Coded(outputs)


def spec(**changes):
    given = {"validate_on": {"split": "test"}, "epochs": 2, "batch": 4, "keep": "last"}
    optimizer = {"kind": "adam", "lr": 0.01}
    return SupervisedSpec.model_validate(
        {"kind": "supervised", "optimizer": optimizer} | given | changes
    )


def learner(task=SEGMENT, known=None, outputs=3, net=None, **changes):
    model = Model(net or network(outputs), PLAIN)
    return SupervisedLearner(model, spec(**changes), task, labelled=known)


def batch(epoch=1, count=4):
    drawn = torch.Generator().manual_seed(5)
    pixels = torch.randint(0, 256, (count, 3, 8, 9), generator=drawn, dtype=torch.uint8)
    masks = torch.randint(0, 3, (count, 8, 9), generator=drawn)
    return Batch(pixels, Targets(mask=masks), tuple(f"s{n}" for n in range(count)), 0, epoch)


TERMS = {"cross_entropy": 1.0, "dice": 0.5, "commitment": 0.25}


class TestTerms(LearnerContract):
    """With everything that a loss can be made of."""

    def build(self, device="cpu"):
        terms = {**TERMS, "pseudo_dice": 0.1}
        made = learner(known=frozenset({"s0", "s2"}), labelled=0.5, loss=terms)
        return made.to(device)

    def batch(self, epoch=0):
        return batch(epoch)


def test_a_networks_own_terms_are_added_and_told():
    made = learner(loss=TERMS).eval()
    found = made(batch())
    outputs = made.network(PLAIN.normalise(batch().inputs))
    plain = SEGMENT.loss(outputs, batch().targets, terms={"cross_entropy": 1.0, "dice": 0.5})
    said = made.network.aux_losses()["commitment"]
    torch.testing.assert_close(found["loss"], plain.mean() + 0.25 * said)
    torch.testing.assert_close(found["commitment"], said.detach())
    means, _ = made.measure(batch(0))
    assert float(means["loss"]) == pytest.approx(float(found["loss"].detach()))
    # By its gradient, too: what the network's own term alone asks of the encoder.
    made(batch())["loss"].backward()
    with_it = made.network.encoder[0].weight.grad.clone()
    other = learner(loss={name: TERMS[name] for name in ("cross_entropy", "dice")}).eval()
    other(batch())["loss"].backward()
    assert not torch.allclose(with_it, other.network.encoder[0].weight.grad)


def test_a_network_that_lacks_a_term_is_named():
    plain = nn.Conv2d(3, 3, 1)
    made = learner(net=plain, loss=TERMS)
    with pytest.raises(MethodError, match="commitment, which Conv2d does not give"):
        made(batch())


def test_without_terms_nothing_of_the_network_is_added():
    made = learner().eval()
    outputs = made.network(PLAIN.normalise(batch().inputs))
    expected = SEGMENT.loss(outputs, batch().targets).mean()
    assert torch.equal(made(batch())["loss"], expected)
    assert list(made(batch())) == ["loss"]


def test_the_truth_of_the_others_is_not_seen():
    known = frozenset({"s1", "s2"})
    terms = {"cross_entropy": 1.0, "pseudo_iou": 0.5}
    made = learner(known=known, labelled=0.5, loss=terms).eval()
    given = batch()
    loss = made(given)["loss"]
    loss.backward()
    gradient = made.network.head.weight.grad.clone()
    outputs = made.network(PLAIN.normalise(given.inputs))
    true = SEGMENT.loss(outputs, given.targets, terms={"cross_entropy": 1.0})
    own = SEGMENT.loss(outputs, Targets(), terms={"pseudo_iou": 0.5})
    expected = (own[0] + true[1] + true[2] + own[3]) / 4
    torch.testing.assert_close(loss, expected)
    masks = given.targets.mask.clone()
    masks[[0, 3]] = 2 - masks[[0, 3]]
    made.zero_grad()
    other = made(given._replace(targets=Targets(mask=masks)))["loss"]
    other.backward()
    assert torch.equal(loss, other)
    assert torch.equal(gradient, made.network.head.weight.grad)
    masks[1] = 2 - masks[1]
    assert not torch.equal(loss, made(given._replace(targets=Targets(mask=masks)))["loss"])


def test_the_dice_of_a_training_is_of_the_labelled_alone():
    terms = {"cross_entropy": 1.0, "pseudo_iou": 0.5}
    given, tallies = batch(), []
    masks = given.targets.mask.clone()
    masks[[0, 3]] = 2 - masks[[0, 3]]
    for each in (given, given._replace(targets=Targets(mask=masks))):
        made = learner(known=frozenset({"s1", "s2"}), labelled=0.5, loss=terms).train()
        made(each)
        tallies.append(made.tally.clone())
    assert torch.equal(*tallies)
    assert int(tallies[0].view(3, -1)[2].sum()) == 2 * 8 * 9


def test_the_labelled_are_drawn_by_the_seed_alone():
    dataset = open_dataset(DataSpec.model_validate(SHAPES))
    one, again, other = (labelled(dataset, 0.3, seed) for seed in (0, 0, 1))
    assert len(one.samples) == round(0.3 * len(dataset.samples))
    assert one.samples == again.samples != other.samples
    assert set(one.samples) < set(dataset.samples)
    assert labelled(dataset, 1.0, 0).samples == dataset.samples
    assert len(labelled(dataset, 1e-6, 0).samples) == 1


@pytest.mark.parametrize(("terms", "power"), [(None, 2), ({"l1": 2.0}, 1)])
def test_the_loss_over_changed_pixels(terms, power):
    given = batch()
    clean = given.inputs.clone()
    clean[0, :, 2:4, 3:6] += 40  # wraps: another level all the same
    clean[1, 1, 0, 0] += 1  # one colour is enough
    targets = Targets(image=clean)
    made = learner(build_task(ReconstructSpec()), over="changed", loss=terms).eval()
    with torch.no_grad():
        found = made(given._replace(targets=targets))["loss"]
        outputs = made.network(PLAIN.normalise(given.inputs)).double().numpy()
        measured = made.measure(given._replace(targets=targets))[0]["loss"]
    errors = np.abs(outputs - clean.numpy() / 255) ** power
    changed = (given.inputs != clean).any(1).numpy()
    each = [errors[n].mean(0)[changed[n]].mean() if changed[n].any() else 0.0 for n in range(4)]
    factor = 2.0 if terms else 1.0
    assert float(found) == float(measured) == pytest.approx(factor * np.mean(each), rel=1e-5)
    everywhere = learner(build_task(ReconstructSpec()), over="all", loss=terms).eval()
    assert everywhere.spec.over is None
    with torch.no_grad():
        found = everywhere(given._replace(targets=targets))["loss"]
    assert float(found) == pytest.approx(factor * errors.mean(), rel=1e-5)


class Planes:
    """Images and masks in memory."""

    def __init__(self, count=10, seed=0):
        drawn = torch.Generator().manual_seed(count)
        self.inputs = torch.randint(0, 256, (count, 3, 8, 9), generator=drawn, dtype=torch.uint8)
        self.masks = (self.inputs[:, 0].long() // 86).clamp(max=2)
        self.seed = seed

    def __len__(self):
        return len(self.inputs)

    def batches(self, order, size, epoch, *, first=0, rank=0, ranks=1):
        for number, start in enumerate(range(first * size, len(order), size), start=first):
            places = list(order[start : start + size])[rank::ranks]
            targets = Targets(mask=self.masks[places])
            ids = tuple(map(str, places))
            yield Batch(self.inputs[places], targets, ids, self.seed, epoch, number)


def run(made, name="run", kept=None):
    told = kept or KeptRun(name)
    job = replace(training(made, told, fit=Planes(), validate=Planes(6)), task=SEGMENT)
    train(job, Checkpoint(name, PRINT))
    return told


@pytest.fixture(autouse=True)
def states_are_kept_often(monkeypatch):
    monkeypatch.setattr("hardy.engine.train._KEEPING", float("inf"))
    monkeypatch.setattr("hardy.engine.train._WITHIN_SECONDS", 0.0)
    monkeypatch.setattr("hardy.engine.train._NEWS_SECONDS", 0.0)
    monkeypatch.setattr("hardy.engine.train.log_curves", lambda *_: None)


def test_each_epoch_tells_its_dice_in_training_and_what_the_network_says():
    made = learner(optimizer={"kind": "sgd", "lr": 1e-12}, loss=TERMS)
    told = run(made)
    rows, outputs = Planes(), []
    before = network().train()  # in training, each batch is normalised by itself
    for epoch in (1, 2):
        order = generator(0, "order", epoch).permutation(10)
        said = np.zeros((10, 8, 9), int)
        for places in (order[:4], order[4:8], order[8:]):
            with torch.no_grad():
                found = before(PLAIN.normalise(rows.inputs[places]))
            said[places] = found.argmax(1).numpy()
        ratios = []
        for c in range(3):
            guess, true = said == c, rows.masks.numpy() == c
            ratios.append(2 * (guess & true).sum() / (guess.sum() + true.sum()))
        outputs.append(np.mean(ratios))
    for epoch, expected in enumerate(outputs, start=1):
        assert told.steps[epoch]["train/dice"] == pytest.approx(expected, rel=1e-6)
        assert told.steps[epoch]["train/codebook_usage"] == 3  # forward passes in training
        assert told.steps[epoch]["train/commitment"] > 0
        assert {"validation/dice", "validation/boundary_f1"} <= set(told.steps[epoch])


class Watched(SupervisedLearner):
    """Keeps its encoder at the end of each epoch; may die at its Nth forward pass."""

    left = 0

    def __init__(self, *parts, **named):
        super().__init__(*parts, **named)
        self.ends = []

    def forward(self, batch):
        self.left -= self.training
        if self.training and self.left == 0:
            raise Killed
        return super().forward(batch)

    def end_epoch(self, epoch):
        self.ends.append({n: t.clone() for n, t in self.network.encoder.state_dict().items()})
        return super().end_epoch(epoch)


class Killed(BaseException):
    """Ends a training anywhere, as a signal would."""


def frozen(**changes):
    given = {"epochs": 3, "freeze": {"parts": ["encoder.*"], "epochs": 2}} | changes
    return Watched(Model(network(), PLAIN), spec(**given), SEGMENT)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(t, other[n]) for n, t in one.items())


def test_what_is_frozen_learns_later_and_its_batch_norm_counts_nothing_before():
    made = frozen()
    begun, head = network().encoder.state_dict(), made.network.head.weight.clone()
    run(made)
    first, second, third = made.ends
    assert same(first, begun)  # buffers, too: running means, variances, batches
    assert same(second, begun)
    assert all(not torch.equal(third[name], begun[name]) for name in begun)
    assert not torch.equal(made.network.head.weight, head)
    free = frozen(freeze=None)
    run(free, "free")
    assert not same(free.ends[0], begun)


def test_what_tune_leaves_out_stays_out_when_the_rest_thaws():
    made = frozen(freeze={"parts": ["encoder.*"], "epochs": 1}, tune=["head.*", "encoder.0.*"])
    begun = network().encoder.state_dict()
    with tuned(made.network, made.spec.tune):
        run(made)
    assert same(made.ends[0], begun)
    assert torch.equal(made.ends[2]["1.weight"], begun["1.weight"])
    assert not torch.equal(made.ends[2]["0.weight"], begun["0.weight"])
    assert all(p.requires_grad for p in made.network.parameters())


@pytest.mark.parametrize("at", [2, 5, 6, 8])
def test_a_training_with_frozen_parts_that_was_killed_ends_with_the_same_bits(at):
    expected = run(whole := frozen(loss=TERMS), "straight")
    told, dying = KeptRun(), frozen(loss=TERMS)
    dying.left = at
    with pytest.raises(Killed):
        run(dying, "killed", told)
    run(resumed := frozen(loss=TERMS), "killed", told)
    assert same(resumed.weights(), whole.weights())
    for epoch in (1, 2, 3):
        for name in ("train/loss", "train/dice", "train/commitment", "validation/miou"):
            assert told.steps[epoch][name] == expected.steps[epoch][name]


SMALL = VqVae(name="vqvae", hidden=8, residual=4, layers=1, codes=9, code_dim=2, restart=2)


def coded(dying=0, **changes):
    made = build_network(SMALL, outputs=3)[0]
    terms = {"cross_entropy": 1.0, "commitment": 0.25}
    found = Watched(Model(made, PLAIN), spec(epochs=3, loss=terms, **changes), SEGMENT)
    found.left = dying
    return found


@pytest.mark.parametrize("at", [2, 4, 8])
def test_a_training_of_codes_that_was_killed_ends_with_the_same_bits(at):
    expected = run(whole := coded(), "straight")
    told = KeptRun()
    with pytest.raises(Killed):
        run(coded(at), "killed", told)
    run(resumed := coded(), "killed", told)
    assert same(resumed.weights(), whole.weights())
    for epoch in (1, 2, 3):
        for name in ("train/codebook_usage", "train/perplexity", "train/dice", "train/loss"):
            assert told.steps[epoch][name] == expected.steps[epoch][name]


def test_usage_is_of_the_epochs_steps_where_a_mean_of_the_weights_is_kept():
    plain, mean = run(coded(), "plain"), run(coded(ema=0.9), "mean")
    for epoch in (1, 2, 3):
        for name in ("train/codebook_usage", "train/perplexity", "train/dice"):
            assert mean.steps[epoch][name] == plain.steps[epoch][name]
    assert mean.steps[3]["validation/loss"] != plain.steps[3]["validation/loss"]


def codes(made):
    return {n: t.clone() for n, t in made.network.codebook.state_dict().items()}


@pytest.mark.parametrize("tune", [["head.*"], ["decoder.*", "head.*"]])
def test_codes_that_tune_leaves_out_stay(tune):
    made = coded(tune=tune)
    begun = codes(made)
    with tuned(made.network, made.spec.tune):
        run(made)
    assert same(codes(made), begun)
    made.train()
    assert made.network.codebook.training  # in another training they move again
    other = coded(tune=[*tune, "codebook.*"])
    with tuned(other.network, other.spec.tune):
        run(other, "moving")
    assert not same(codes(other), begun)


def test_codes_that_are_frozen_move_later():
    class Kept(Watched):
        def end_epoch(self, epoch):
            self.ends.append(codes(self))
            return {}

    freeze = {"parts": ["encoder.*", "codebook.*"], "epochs": 2}
    made = Kept(
        Model(build_network(SMALL, outputs=3)[0], PLAIN), spec(epochs=3, freeze=freeze), SEGMENT
    )
    begun = codes(made)
    run(made)
    first, second, third = made.ends
    assert same(first, begun)
    assert same(second, begun)
    assert not same(third, begun)


@pytest.mark.parametrize(
    ("parts", "message"),
    [(["encodr.*"], "method.freeze.parts: no parameter .* 'encodr"), (["*"], "nothing left")],
)
def test_parts_that_cannot_be_frozen_are_named(parts, message):
    with pytest.raises(SpecError, match=message):
        run(frozen(freeze={"parts": parts, "epochs": 1}))


def plain_network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 3, 1))


@dataclass(frozen=True)
class SegmentRank:
    """One rank of a training on some labels."""

    rank: Rank
    coded: bool

    def __call__(self, send):
        torch.set_num_threads(1)
        meet(self.rank)
        try:
            self.train(NoRun(), NoCheckpoint())
        finally:
            part()

    def train(self, told, checkpoint):
        made = on_some_labels(coded=self.coded)
        job = training(made, told, fit=Planes(), validate=Planes(6), reporter=silent())
        fabric = ranked_fabric(Experiment.model_validate(EXPERIMENT | SOURCE), self.rank)
        train(replace(job, task=SEGMENT, fabric=fabric), checkpoint)
        return made


def on_some_labels(*, coded=False):
    terms = {"cross_entropy": 1.0, "pseudo_dice": 0.3} | ({"commitment": 0.25} if coded else {})
    known = frozenset(str(n) for n in range(0, 10, 3))
    small = SMALL.model_copy(update={"restart": None})  # each rank would draw from its own rows
    net = build_network(small, outputs=3)[0] if coded else plain_network()
    net.to(memory_format=torch.channels_last)  # as engine.setup lays it out before ranks meet
    return learner(net=net, known=known, labelled=0.4, loss=terms)


@pytest.mark.slow
@pytest.mark.parametrize("coded", [False, True])
def test_two_devices_see_the_same_labels_and_count_the_dice_of_all(coded):
    alone = run(one := on_some_labels(coded=coded), "alone")
    address, told = free_address(), KeptRun("together")
    with beside([SegmentRank(Rank(1, 2, 1, address), coded)]):
        meet(rank := Rank(0, 2, 0, address))
        try:
            both = SegmentRank(rank, coded).train(told, Checkpoint("together", PRINT))
        finally:
            part()
    for name, tensor in one.weights().items():
        torch.testing.assert_close(both.weights()[name], tensor, rtol=1e-4, atol=1e-6)
    for epoch in (1, 2):
        names = ("train/codebook_usage", "train/perplexity", "train/commitment") if coded else ()
        for name in ("train/loss", "train/dice", "validation/miou", *names):
            assert told.steps[epoch][name] == pytest.approx(alone.steps[epoch][name], rel=1e-4)


SOURCE = {"method": {"kind": "source"}, "compute": {"device": "cpu"}}
EXPERIMENT = {
    "name": "stated",
    "task": {"kind": "segment"},
    "data": {**SHAPES, "split": "train"},
    "model": {"kind": "segmenter"},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": {"commitment": 0.25, "dice": 1}}, "method.loss names commitment, which is no"),
        ({"loss": {"focl": 1.0}}, "method.loss names focl.*'focal'"),
        ({"loss": {}}, "at least 1"),
        ({"loss": {"dice": 0.0}}, "greater than 0"),
        ({"loss": {"pseudo_dice": 1.0}}, "pseudo_dice sees no truth.*labelled: 0.25"),
        ({"loss": {"pseudo_dice": 1.0}, "labelled": 0.5}, "no term that sees the truth"),
        ({"loss": {"dice": 1.0}, "label_smoothing": 0.1}, "loss has neither"),
        ({"labelled": 0.5, "mixup": 0.2}, "leave one out"),
        ({"over": "changed"}, "the loss of the task segment has nothing that method.over"),
        ({"freeze": {"parts": [], "epochs": 1}}, "at least 1"),
    ],
)
def test_what_cannot_be_is_refused_by_validate(changes, message):
    method = {"kind": "supervised", "validate_on": {"split": "test"}}
    whole = {"loss": {"cross_entropy": 1, "pseudo_iou": 0.5}, "labelled": 0.5}
    Experiment.model_validate({**EXPERIMENT, "method": method | whole})
    with pytest.raises(ValueError, match=message):
        Experiment.model_validate({**EXPERIMENT, "method": method | changes})


def test_changed_pixels_need_a_shift_that_changes_them():
    method = {"kind": "supervised", "validate_on": {"split": "test"}, "over": "changed"}
    stated = EXPERIMENT | {"task": {"kind": "reconstruct"}, "method": method}
    shifted = EXPERIMENT["data"] | {"shift": {"kind": "mask"}}
    Experiment.model_validate(stated | {"data": shifted})
    with pytest.raises(ValueError, match=r"nothing would be learned; set data\.shift"):
        Experiment.model_validate(stated)


def test_codes_that_are_learned_need_their_term():
    method = {"kind": "supervised", "validate_on": {"split": "test"}}
    model = {"kind": "segmenter", "name": "vqvae", "codebook": "learned"}
    stated = EXPERIMENT | {"model": model}
    whole = {"cross_entropy": 1, "commitment": 0.25, "dictionary": 1}
    Experiment.model_validate(stated | {"method": method | {"loss": whole}})
    Experiment.model_validate(stated | {"method": {"kind": "evaluate"}})
    Experiment.model_validate(stated | {"model": model | {"codebook": "ema"}, "method": method})
    for terms in (None, {"cross_entropy": 1, "commitment": 0.25}):
        with pytest.raises(ValueError, match=r"method\.loss lacks dictionary"):
            Experiment.model_validate(stated | {"method": method | {"loss": terms}})


def test_parts_that_thaw_are_refused_on_several_devices():
    method = {"kind": "supervised", "validate_on": {"split": "test"}}
    method["freeze"] = {"parts": ["down.*"], "epochs": 1}
    one = EXPERIMENT | {"method": method}
    Experiment.model_validate(one)
    with pytest.raises(ValueError, match=r"method\.freeze changes what learns"):
        Experiment.model_validate(one | {"compute": {"devices": 2}})


def test_what_is_said_as_a_default_is_the_same_experiment():
    stated = {
        "kind": "segment",
        "probabilities": "softmax",
        "binary": False,
        "ignore": [],
        "resolution": "network",
    }
    assert SegmentSpec.model_validate(stated) == SegmentSpec()
    assert SegmentSpec.model_validate(stated).identity() == SegmentSpec().identity()
    assert spec(over="all").identity() == spec().identity()
    with pytest.raises(ValueError, match="binary is a sigmoid of one channel already"):
        SegmentSpec(binary=True, probabilities="sigmoid")
    with pytest.raises(SpecError, match=r"no class 'grond'.*"):
        build_task(SegmentSpec(ignore=("grond",)), NAMES)
    with pytest.raises(SpecError, match="for two classes, and these are 3"):
        build_task(SegmentSpec(binary=True), NAMES)
