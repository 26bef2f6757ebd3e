"""The configuration of shaharYadin/ViT-BYOL says what the shipped experiments say.

docs/vit-byol.md has the same mapping in words.
"""

import re
from pathlib import Path

import pytest

from hardy.spec import resolve
from hardy.spec.experiment import Experiment

ROOT = Path(__file__).parents[2]
CONFIG = {
    "network": {"projection_head": {"mlp_hidden_size": 512, "projection_size": 128}},
    "trainer": {"batch_size": 128, "m": 0.996, "max_epochs": 100, "sigma": 1.4},
    "classifier_trainer": {"batch_size": 1024, "max_epochs": 200},
    "optimizer": {
        "params": {"lr": 1e-5, "weight_decay": 0},
        "classifier_params": {"lr": 3e-4, "weight_decay": 0},
    },
}
PUBLISHED = {0: 91.27, 0.8: 81.50}


def experiment(name: str, *overrides: str) -> Experiment:
    (unit,) = resolve(name, overrides).units
    return unit.experiment


@pytest.mark.parametrize(
    ("name", "lr", "last"),
    [
        ("cifar10-vit-b16", 1e-5, 1.4),
        ("cifar10-vit-b16-constant", 1e-5, None),
        ("cifar10-vit-small", 1e-4, 1.4),
    ],
)
def test_byol_is_its_configuration(name: str, lr: float, last: float | None) -> None:
    found = experiment(f"byol/{name}")
    method, trainer = found.method, CONFIG["trainer"]
    assert (method.epochs, method.batch) == (trainer["max_epochs"], trainer["batch_size"])
    assert (method.momentum, method.momentum_to) == (trainer["m"], None)
    assert (method.noise.sigma, method.noise.to) == (0.2, last)
    assert (method.noise.ramp, method.noise.space) == ("linear", "normalised")
    head = CONFIG["network"]["projection_head"]
    for part in (method.projector, method.predictor):
        assert (part.hidden, part.size) == (head["mlp_hidden_size"], head["projection_size"])
    assert (method.optimizer.kind, method.optimizer.lr) == ("adam", lr)
    assert method.optimizer.weight_decay == CONFIG["optimizer"]["params"]["weight_decay"]
    assert (method.scheduler.kind, method.scheduler.every, method.scheduler.factor) == (
        "step",
        40,
        0.1,
    )
    assert method.drop_last
    assert not method.augment
    partition = found.data.partition
    assert (partition.fractions, partition.part) == ({"train": 0.8, "val": 0.2}, "train")


def test_the_small_vit_is_its_own() -> None:
    model = experiment("byol/cifar10-vit-small").model
    sizes = (model.patch, model.dim, model.depth, model.heads, model.mlp, model.dropout)
    assert sizes == (4, 512, 6, 8, 512, 0.1)
    assert model.input.size == 32


@pytest.mark.parametrize("name", ["cifar10-vit-b16", "cifar10-vit-b16-constant"])
def test_its_modes_chain(name: str) -> None:
    byol, probe = experiment(f"byol/{name}"), experiment(f"byol/{name}-probe")
    method, parameters = probe.method, CONFIG["optimizer"]["classifier_params"]
    assert str(probe.model.weights) == f"experiment:byol/{name}"
    assert probe.data == byol.data  # one stored division
    assert probe.model.input == byol.model.input
    stated = CONFIG["classifier_trainer"]
    assert (method.batch, method.epochs) == (stated["batch_size"], stated["max_epochs"])
    assert (method.optimizer.kind, method.optimizer.lr) == ("adam", parameters["lr"])
    assert (method.normalise, method.batch_norm, method.noise) == (True, True, None)
    assert (method.scheduler.kind, method.scheduler.patience) == ("plateau", 2)
    for end, sigma in (("test", 0), ("noisy", 0.8)):
        tested = experiment(f"byol/{name}-{end}")
        assert str(tested.model.weights) == f"experiment:byol/{name}-probe"
        assert tested.data.split == "test"
        shift = tested.data.shift
        assert (0 if shift is None else shift.sigma) == sigma
        (expected,) = tested.expect
        assert expected.value == pytest.approx(PUBLISHED[sigma] / 100)
        assert expected.unverified


def test_the_sweep_has_its_31_strengths() -> None:
    units = resolve("byol/cifar10-vit-b16-sweep").units
    shifts = [unit.experiment.data.shift for unit in units]
    assert [shift.sigma for shift in shifts] == pytest.approx([0.05 * n for n in range(31)])
    assert {shift.space for shift in shifts} == {"normalised"}


def test_the_search_is_its_own() -> None:
    resolved = resolve("search/byol")
    method, search = resolved.units[0].experiment.method, resolved.search.spec
    lr = search.space["method.optimizer.lr"]
    assert (lr.low, lr.high, lr.log) == (1e-4, 1e-1, True)
    assert (search.budget.trials, search.sampler.kind, search.pruner.kind) == (30, "tpe", "median")
    assert (method.optimizer.kind, method.epochs, method.max_batches) == ("radam", 50, 30)
    assert (method.noise.sigma, method.monitor) == (0.1, "loss")
    assert method.validate_on.samples == 10 * method.batch


def test_the_page_names_every_experiment_and_number() -> None:
    page = (ROOT / "docs" / "vit-byol.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:byol|search)/[a-z0-9-]+)`", page):
        assert (ROOT / "experiments" / f"{name}.yaml").is_file(), name
    for value in PUBLISHED.values():
        assert f" {value:.2f} " in page
    keys = ("use_amp", "mlp_hidden_size", "checkpoint_interval", "trainer.sigma", "num_workers")
    assert all(key in page for key in keys)
