"""Probes and neighbours as runs: features once, whatever stops them; what they leave to whom."""

import pytest
import torch
from safetensors.torch import save_file

from hardy.core.cache import default_cache
from hardy.core.seeding import torch_generator
from hardy.data.item import Batch, Targets
from hardy.engine.answer import rows
from hardy.engine.checkpoint import Checkpoint
from hardy.engine.fit import fit, load_fitted
from hardy.engine.progress import Reporter
from hardy.engine.setup import set_up
from hardy.engine.signals import Stopped
from hardy.methods.frozen_features import features_of
from hardy.methods.linear_probe.spec import LinearProbeSpec
from hardy.models import head
from hardy.models.state import FITTED, WEIGHTS
from hardy.models.weights import Located
from hardy.plan.units import make_plan
from hardy.registry.stores import default_stores
from hardy.spec import resolve
from hardy.spec.experiment import Experiment
from tests.contracts.method import small_model
from tests.engine.runs import KeptRun, set_up_of, untimed

SPEC = """\
name: probe
data: {dataset: shapes, split: train, shapes: {count: 24, size: 32}}
model: {kind: hardy, weights: random, classes: 10, input: {size: 16, fit: squeeze}}
method:
  kind: linear_probe
  epochs: 4
  batch: 16
  batch_norm: true
  validate_on: {split: test}
compute: {workers: 0, device: cpu}
"""
BANK = """\
name: neighbours
data:
  {dataset: shapes, split: test, shapes: {count: 24, size: 32}, shift: {kind: fog, severity: 2}}
model: {kind: hardy, weights: random, classes: 10, input: {size: 16, fit: squeeze}}
method: {kind: knn, k: 5, bank_on: {split: train, clean: true}}
compute: {workers: 0, device: cpu}
"""


@pytest.fixture
def unit(tmp_path):
    """Plan a spec with overrides."""

    def planned(*overrides, text=SPEC):
        (tmp_path / "spec.yaml").write_text(text)
        resolved = resolve(str(tmp_path / "spec.yaml"), overrides)
        return make_plan(resolved, default_stores(), None).units[0]

    return planned


@pytest.fixture(autouse=True)
def no_curves(monkeypatch):
    """Pictures take longer than all else here."""
    monkeypatch.setattr("hardy.engine.train.log_curves", lambda *_: None)


@pytest.fixture
def seen(monkeypatch):
    """How many images went through the network for features, call by call."""
    found, real = [], head.features

    def counted(network, images):
        found.append(len(images))
        return real(network, images)

    monkeypatch.setattr(head, "features", counted)
    return found


class Said(Reporter):
    def __init__(self):
        super().__init__()
        self.news = []

    def say(self, news):
        self.news.append(news)


def fitted(planned, run_id="run", run=None, reporter=None):
    run = run or KeptRun(run_id)
    setup = set_up_of(planned)
    folder = fit(setup, Checkpoint(run_id, "f" * 32), run, reporter or Said())
    return setup, run, folder


def weights(run):
    return run.files[WEIGHTS]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(t, other[n]) for n, t in one.items())


def passes(seen):
    """Return what went through the network for features since the last time, but for one check."""
    total = sum(seen) - 1
    seen.clear()
    return total


def test_features_are_made_once_for_all_that_is_tried_on_them(unit, seen):
    said = Said()
    _, first, _ = fitted(unit(), "a", reporter=said)
    count = len(set_up_of(unit()).data["fit"].samples)
    held = len(set_up_of(unit()).data["validate"].samples)
    assert passes(seen) == count + held
    whole = "\n".join(said.news)
    assert "a new fc learns, all else stays as it is (the weights are the library's)" in whole
    assert f"{count} features of 64 from {count} samples to fit" in whole
    assert "(kept)" not in whole
    assert f"computes features of {count} samples (fit)" in whole
    again, others = Said(), ("method.l2=0.1", "method.normalise=false", "method.keep=last")
    _, second, _ = fitted(unit(), "b", reporter=again)
    assert passes(seen) == 0
    assert same(weights(first), weights(second))
    assert sum("(kept)" in line for line in again.news) == 2
    for override in others:
        _, run, _ = fitted(unit(override), f"c{others.index(override)}")
        assert passes(seen) == 0, override
        assert not same(weights(first), weights(run)), override


def test_features_of_other_inputs_are_made_anew(unit, seen, monkeypatch):
    monkeypatch.setattr("hardy.engine.work.train", lambda *_: None)
    near = "data.shift={kind: gaussian_sigma, sigma: 0.1234566}"
    cases = {
        near: (1, 1),
        near.replace("66}", "67}"): (1, 1),
        "data.shift={kind: fog, severity: 2}": (1, 1),
        "seed=1": (1, 1),  # random weights
        "precision=bf16-mixed": (1, 1),
        "model.input={size: 20, fit: squeeze}": (1, 1),
        "method.noise=[0.5]": (1, 0),
        "method.noise=[0, 0.5]": (2, 0),
        "data.subset={count: 12}": (1, 0),
        "method.validate_on={split: test, samples: 7}": (0, 1),
        "method.l2=0.5": (0, 0),
    }
    fitted(unit(), "first")
    seen.clear()
    for number, (override, (of_fit, of_validate)) in enumerate(cases.items()):
        setup, _, _ = fitted(unit(override), f"run-{number}")
        count, held = (len(setup.data[role].samples) for role in ("fit", "validate"))
        assert passes(seen) == of_fit * count + of_validate * held, override


def test_validation_samples_may_be_clean_beside_shifted_ones(unit, seen, monkeypatch):
    monkeypatch.setattr("hardy.engine.work.train", lambda *_: None)
    shift = "data.shift={kind: fog, severity: 2}"
    clean = "method.validate_on={split: test, clean: true}"
    answers = "method.answer_on={split: test}"
    fitted(unit(), "clean")
    fitted(unit(shift, answers), "shifted")
    seen.clear()
    setup, _, _ = fitted(unit(shift, clean, answers), "both")
    assert passes(seen) == 0  # those of the first, and those of the second
    assert setup.pipeline("validate").shift is None
    assert setup.pipeline("answer").shift == setup.pipeline("fit").shift is not None


@pytest.mark.parametrize("emptied", [False, True])
@pytest.mark.parametrize("at", [1, 3])
def test_a_probe_that_was_stopped_ends_with_the_same_bits(unit, at, emptied):
    planned = unit("method.noise=[0, 0.4]", "method.optimizer={kind: adam, lr: 0.05}")
    _, whole, _ = fitted(planned, "whole")
    default_cache().empty()
    with pytest.raises(Stopped):
        fitted(planned, "halves", KeptRun("halves", stop_at=at))
    if emptied:
        default_cache().empty()
    _, halves, _ = fitted(planned, "halves")
    assert same(weights(whole), weights(halves))
    found = untimed(whole.steps)
    assert all(found[epoch] == values for epoch, values in untimed(halves.steps).items())


@pytest.mark.parametrize("text", [SPEC, BANK])
def test_the_number_of_workers_changes_nothing(unit, text):
    made = []
    for workers in (1, 2):
        default_cache().empty()
        _, run, _ = fitted(unit(f"compute.workers={workers}", text=text), f"workers-{workers}")
        made.append(run.files[WEIGHTS if text == SPEC else FITTED])
    assert same(*made)


def test_the_weights_that_a_probe_leaves_are_a_network(unit, tmp_path):
    """Everything but its head is as it was; `evaluate` on them says what the probe said."""
    setup, run, folder = fitted(unit("data.shift={kind: gaussian_sigma, sigma: 0.1}"))
    before, after = set_up_of(unit()).model.network.state_dict(), weights(run)
    rest = [name for name in before if not name.startswith("fc.")]
    assert all(torch.equal(before[name], after[name]) for name in rest)
    assert set(after) - set(rest) >= {"fc.weight", "fc.bias", "fc.normalise", "fc.norm.running_var"}
    assert after["fc.weight"].shape == (6, 64)
    save_file(after, tmp_path / "w.safetensors")
    given = setup.experiment.model_dump(mode="json", by_alias=True)
    given |= {"method": {"kind": "evaluate"}}
    given["data"]["split"] = "test"
    given["model"]["weights"] = "file:w.safetensors"
    located = {"model.weights": Located(tmp_path / "w.safetensors", "")}
    evaluated = set_up(Experiment.model_validate(given), located, {"answer": setup.data["answer"]})
    load_fitted(setup.method, folder)
    places = range(len(setup.data["answer"].samples))
    for (_, one), (_, other) in zip(
        rows(setup, places, 0), rows(evaluated, places, 0), strict=True
    ):
        assert one["linear_probe.confidence"] == other["evaluate.confidence"]
        assert one["linear_probe.prediction"] == other["evaluate.prediction"]


def test_a_clean_bank_is_made_once_for_all_shifts(unit, seen):
    setup, run, folder = fitted(unit(text=BANK))
    assert sum(seen) == len(setup.data["fit"].samples)
    seen.clear()
    other = "data.shift={kind: fog, severity: 5}"
    _, second, _ = fitted(unit(other, text=BANK), "second")
    assert not seen
    assert same(run.files[FITTED], second.files[FITTED])
    bank = run.files[FITTED]
    assert set(bank) == {"bank.features", "bank.labels"}
    labels = [sample.label for sample in setup.data["fit"].samples]
    assert bank["bank.labels"].tolist() == labels
    torch.testing.assert_close(bank["bank.features"].norm(dim=1), torch.ones(len(labels)))
    _, third, _ = fitted(unit("method.bank_on={split: train}", text=BANK), "third")
    assert sum(seen) == len(labels)  # under the shift
    assert not torch.equal(third.files[FITTED]["bank.features"], bank["bank.features"])
    load_fitted(setup.method, folder)
    assert len(list(rows(setup, range(4), 0))) == 4


class Samples:
    """Some images of a role, and no cache."""

    def __init__(self, count):
        self.seed, self.device, self.count = 0, torch.device("cpu"), count
        drawn = torch.Generator().manual_seed(1)
        self.pixels = torch.randint(0, 256, (count, 3, 16, 16), generator=drawn, dtype=torch.uint8)

    def data(self, role):
        from types import SimpleNamespace

        samples = [SimpleNamespace(id=f"{role}-{n}") for n in range(self.count)]
        return SimpleNamespace(samples=samples)

    def source(self, role):
        return self

    def __len__(self):
        return self.count

    def batches(self, order, size, epoch):
        assert epoch == 0
        for start in range(0, len(order), size):
            places = list(order[start : start + size])
            ids = tuple(f"fit-{place}" for place in places)
            yield Batch(self.pixels[places], Targets(torch.tensor(places)), ids, self.seed, epoch)

    def kept(self, kind, key, make, role):
        return make()

    def autocast(self):
        return torch.autocast("cpu", enabled=False)

    def say(self, news):
        pass


class Blocks(LinearProbeSpec):
    size: int = 4

    def block(self, height, width, device):
        return self.size


def found(model, size=4, noise=(0.0,), count=10):
    given = Blocks.model_validate({"validate_on": {"split": "test"}, "size": size})
    return features_of(Samples(count), "fit", model, given, noise)


def test_features_are_those_of_a_network_in_evaluation():
    model = small_model()
    model.network.insert(8, torch.nn.Dropout(0.5))
    first = found(model)
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    second = found(model)
    assert torch.equal(first.inputs, second.inputs)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not second.inputs.requires_grad
    pixels = model.preprocess.normalise(Samples(10).pixels)
    expected = head.features(model.eval().network, pixels)
    torch.testing.assert_close(second.inputs[0], expected.detach())
    assert second.labels.tolist() == list(range(10))
    assert second.ids[3] == "fit-3"


def test_noise_is_a_sample_s_own_at_each_level():
    model = small_model()
    model.network[0] = torch.nn.Identity()
    model.network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 5))
    clean, low, high = found(model, noise=(0.0, 0.5, 1.0)).inputs  # the pixels themselves
    for level, noisy in ((0.5, low), (1.0, high)):
        drawn = (noisy - clean) / level
        assert abs(float(drawn.mean())) < 0.05
        assert float(drawn.std()) == pytest.approx(1, rel=0.05)
        assert abs(float((drawn[0] * drawn[1]).mean())) < 0.15
    assert abs(float(((low - clean) / 0.5 * (high - clean)).mean())) < 0.05
    own = torch_generator(0, "noise", "0.5", "fit-3")  # by the seed, the level and the sample
    expected = clean[3] + 0.5 * torch.randn(3, 16, 16, generator=own).flatten()
    torch.testing.assert_close(low[3], expected)
    again = found(model, size=7, noise=(1.0, 0.5)).inputs
    assert torch.equal(again[0], high)
    assert torch.equal(again[1], low)
    rows = found(model, noise=(0.0, 0.5)).source(Samples(10))
    assert len(rows) == 20
    assert torch.equal(rows.inputs[13], low[3])
    assert (int(rows.labels[13]), rows.ids[13]) == (3, "fit-3")


def test_a_bank_of_fewer_samples_than_neighbours_is_said(unit):
    few, enough = Said(), Said()
    count = len(set_up_of(unit(text=BANK)).data["fit"].samples)
    fitted(unit(f"method.k={count + 1}", text=BANK), "few", reporter=few)
    fitted(unit(f"method.k={count}", text=BANK), "enough", reporter=enough)
    said = f"k is {count + 1}, but the bank has {count} samples: all vote"
    assert any(said in line for line in few.news)
    assert not any("but the bank" in line for line in enough.news)
