"""BYOL as it is run: stopped anywhere, resumed, its files, its pictures, what it says."""

import json

import pytest
import timm
import torch

from hardy.core.errors import MethodError, SpecError
from hardy.data.open import open_dataset
from hardy.engine.answer import rows, table
from hardy.engine.checkpoint import Checkpoint
from hardy.engine.fit import fit, fitted_folder, load_fitted
from hardy.engine.pictures import draw
from hardy.engine.progress import Reporter
from hardy.engine.setup import set_up
from hardy.engine.smoke import smoke
from hardy.methods.base import outcomes_of
from hardy.methods.byol.learner import ByolLearner
from hardy.models.reference import WeightsRef
from hardy.models.state import FITTED, WEIGHTS
from hardy.models.weights import Located, load, read
from hardy.spec import Resolved, Unit
from hardy.spec.experiment import Experiment
from tests.engine.runs import KeptRun, untimed
from tests.engine.toys import PRINT, trained
from tests.methods.byols import Pixels, cnn, learner, shapes, vit

AUGMENT = [{"kind": "crop", "area": [0.3, 1.0]}, {"kind": "flip"}, {"kind": "jitter"}]
TIMM = {"kind": "timm", "name": "test_resnet", "weights": "random"}
INPUT = {"size": 32, "fit": "squeeze"}
HEADS = {"hidden": 32, "size": 16}


def experiment(data=None, **method):
    given = {
        "kind": "byol",
        "epochs": 2,
        "batch": 8,
        "validate_on": {"split": "test", "samples": 8},
        "projector": HEADS,
        "predictor": HEADS,
        "neighbours": {"k": 3, "bank": 20},
    }
    own = {"dataset": "shapes", "split": "train", "shapes": {"count": 24, "size": 48}}
    parts = {
        "name": "byol",
        "data": own | (data or {}),
        "model": {**TIMM, "input": INPUT},
        "method": given | method,
        "compute": {"device": "cpu"},
    }
    return Experiment.model_validate_json(json.dumps(parts))


def set_up_of(given):
    data = {}
    for role, other in given.method.roles().items():
        data[role] = open_dataset(other.data(given.data, given.seed) if other else given.data)
    return set_up(given, {"model.weights": Located(None, "random")}, data)


class Told(Reporter):
    def __init__(self):
        super().__init__()
        self.said = []

    def say(self, line):
        self.said.append(line)


def fitted(given, run_id, stop_at=0):
    run, setup, told = KeptRun(run_id, stop_at), set_up_of(given), Told()
    fit(setup, Checkpoint(run_id, PRINT), run, told)
    return run, setup, told.said


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(autouse=True)
def each_step_is_kept(monkeypatch):
    monkeypatch.setattr("hardy.engine.train._KEEPING", float("inf"))
    monkeypatch.setattr("hardy.engine.train._WITHIN_SECONDS", 0.0)
    monkeypatch.setattr("hardy.engine.train._NEWS_SECONDS", 0.0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARDY_HOME", str(tmp_path_factory.mktemp("whole")))
        given = experiment(view_grids=[2], noise={"sigma": 0.2, "to": 0.6}, keep="best")
        yield (*fitted(given, "whole"), fitted_folder("whole"))


def test_an_epoch_has_its_measures(whole):
    run, _, said, _ = whole
    assert set(run.steps) == {1, 2}
    names = {"train/loss", "validation/loss", "validation/accuracy", "validation/probe_accuracy"}
    names |= {"sigma", "momentum", "train/gradient_norm", "features/spread", "collapsed"}
    names |= {"features/effective_rank", "projections/spread", "projections/effective_rank"}
    assert names <= set(run.steps[2])
    assert [run.steps[n]["sigma"] for n in (1, 2)] == pytest.approx([0.2, 0.6])
    assert 0 < run.steps[2]["train/loss"] <= 8
    assert [line for line in said if "by labels" in line] == [
        "byol: epochs are compared by accuracy on the validation samples: by labels"
    ]


def test_views_are_drawn_at_the_epochs_that_ask_for_it(whole):
    run = whole[0]
    assert [path for path in run.files if path.startswith("views/")] == ["views/epoch-0002.png"]
    assert run.files["views/epoch-0002.png"].startswith(b"\x89PNG")


def test_a_backbone_loads_strictly_into_its_library_and_so_does_the_target(whole):
    run, setup, _, folder = whole
    network = timm.create_model("test_resnet", num_classes=6)
    network.load_state_dict(run.files[WEIGHTS], strict=True)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(images), setup.model.network(images))
    beside = {name.partition(".")[0] for name in run.files[FITTED]}
    assert beside == {"target", "projector", "predictor", "bank"}
    reference = WeightsRef.of("experiment:byol/a", take="target")
    tensors = read(Located(folder / FITTED, "run"), reference)
    assert load(network, tensors).missing == ()
    assert not torch.equal(tensors["conv1.0.weight"], run.files[WEIGHTS]["conv1.0.weight"])


def test_answers_come_from_the_files(whole):
    _, setup, _, folder = whole
    images = torch.randn(3, 3, 32, 32)
    fresh = set_up_of(experiment(view_grids=[2], noise={"sigma": 0.2, "to": 0.6}, keep="best"))
    with pytest.raises(MethodError, match="no labelled features"):
        outcomes_of(fresh.method, images)
    load_fitted(fresh.method, folder)
    here, there = (outcomes_of(each.method, images) for each in (setup, fresh))
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one.answers["byol"], other.answers["byol"])
        assert float(one.answers["byol"].exp().sum()) == pytest.approx(1)


@pytest.mark.parametrize(
    "changes",
    [
        {"noise": None, "augment": AUGMENT},
        {"shift": {"kind": "gaussian_sigma", "sigma": 0.5, "space": "normalised"}},
        {"shift": {"kind": "motion_blur", "severity": 3}},
    ],
)
def test_views_of_each_kind_are_trained_on_whatever_the_workers(changes, monkeypatch):
    given = experiment(**changes, epochs=1)
    run, _, _ = fitted(given, "one")
    monkeypatch.setattr("hardy.engine.work.Work._workers", 3)
    other, _, _ = fitted(given, "three")
    assert untimed(run.steps) == untimed(other.steps)
    assert same(run.files[WEIGHTS], other.files[WEIGHTS])
    assert same(run.files[FITTED], other.files[FITTED])


def test_crops_are_cut_from_images_that_are_kept_larger():
    setup, seen = set_up_of(experiment(noise=None, augment=AUGMENT, epochs=1)), []
    plain = ByolLearner.forward

    def watched(self, batch):
        seen.append((bool(batch.epoch), tuple(batch.inputs.shape[-2:])))
        return plain(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ByolLearner, "forward", watched)
        fit(setup, Checkpoint("larger", PRINT), KeptRun("larger"), Reporter())
    # Kept as large as the images' own 48 pixels; the network's input has 32.
    assert {size for trains, size in seen if trains} == {(48, 48)}


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        ({}, {"batch": 23}, "has one alone"),
        ({}, {"batch": 23, "max_batches": 2}, "has one alone"),
        ({}, {"batch": 64, "drop_last": True}, "drop_last leaves nothing"),
        ({}, {"batch": 1}, "compares samples of a batch"),
        ({}, {"tune": ["layer9.*"]}, "no parameter of the network"),
        ({"shift": {"kind": "fog"}}, {"shift": {"kind": "fog"}}, "on one view, and data.shift"),
        (
            {"shift": {"kind": "gaussian_sigma", "sigma": 0.1, "space": "normalised"}},
            {"augment": [{"kind": "flip"}]},
            "comes after augmentation",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(data, changes, message):
    with pytest.raises(SpecError, match=message) as refused:
        fitted(experiment(data, **changes), "refused")
    assert refused.value.hint


def test_a_last_batch_of_one_can_be_left_out():
    run, _, _ = fitted(experiment(batch=23, drop_last=True, epochs=1), "dropped")
    assert run.steps[1]["train/loss"] > 0


def test_no_picture_shows_what_the_head_says(whole):
    """It has learned nothing."""
    _, setup, _, folder = whole
    load_fitted(setup.method, folder)
    frame = table(setup.task, [row for _, row in rows(setup, range(8), workers=0)])
    assert setup.experiment.explain.gradcam is not None
    assert not [path for path, _ in draw(setup, frame) if path.startswith("gradcam")]


@pytest.mark.parametrize("monitor", ["probe_accuracy", "validation/probe_accuracy"])
def test_the_best_epoch_by_the_probe_is_that_of_the_highest_accuracy(monitor, monkeypatch):
    kept = []
    monkeypatch.setattr("hardy.engine.train.log_curves", lambda *given: kept.append(given[4]))
    monkeypatch.setattr(
        ByolLearner, "measure", lambda made, _: ({"loss": 1.0, "probe_accuracy": made._epoch}, None)
    )
    fitted(experiment(keep="best", monitor=monitor), monitor.replace("/", "-"))
    assert kept == [2]


def test_batches_before_one_that_would_be_alone_are_enough():
    run, _, _ = fitted(experiment(batch=23, max_batches=1, epochs=1), "capped")
    assert run.steps[1]["train/loss"] > 0


def test_the_bank_is_the_same_after_a_stop_behind_the_last_epoch(monkeypatch):
    given = experiment(epochs=1, online_probe=False)
    given = given.model_copy(update={"precision": "bf16-mixed"})
    expected, _, _ = fitted(given, "straight")

    def stopped(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("hardy.engine.train.log_curves", stopped)
        with pytest.raises(Killed):
            fitted(given, "halves")
    found, _, _ = fitted(given, "halves")
    assert same(found.files[FITTED], expected.files[FITTED])


def test_a_smoke_test_has_samples_enough():
    (unit,) = smoke(Resolved("byol", None, (), "byol", "", {}, (Unit(experiment()),))).units
    assert unit.experiment.data.subset.count == 2
    fitted(unit.experiment, "smoke")


# --- stopped anywhere


class Killed(BaseException):
    """Ends a training anywhere, as a signal would."""


def in_memory(epochs=2, network=cnn, **changes):
    source = Pixels(*shapes(32))
    made = learner(network(), source, epochs=epochs, **changes)
    return made, source


LONG = {
    "noise": {
        "network": lambda: vit(dropout=0.2),
        "noise": {"sigma": 0.2, "to": 0.8},
        "momentum_to": 1.0,
        "validate_sigma": "current",
    },
    "augmented": {"noise": None, "augment": AUGMENT, "keep": "best", "ema": 0.8, "clip": 1.0},
}


@pytest.mark.parametrize("name", LONG)
def test_a_training_killed_anywhere_ends_with_the_same_bits(name):
    def run(run_id, kept, at=0):
        made, source = in_memory(**LONG[name])
        plain, left = made.end_step, [at]

        def dying(step):
            plain(step)
            left[0] -= 1
            if left[0] == 0:
                raise Killed

        made.end_step = dying
        trained(made.spec, run_id, kept, made, fit=source, validate=source)
        return made

    expected = KeptRun()
    straight = run("straight", expected)
    for at in (2, 5):
        kept = KeptRun()
        with pytest.raises(Killed):
            run(f"killed{at}", kept, at)
        torch.manual_seed(at)  # whatever the global generators did meanwhile
        resumed = run(f"killed{at}", kept)
        assert same(resumed.state_dict(), straight.state_dict())
        assert untimed(kept.steps) == untimed(expected.steps)


# --- collapse

TRIAL = {
    "batch": 32,
    "optimizer": {"kind": "adam", "lr": 3e-3},
    "projector": {"hidden": 128, "size": 64},
    "predictor": {"hidden": 128, "size": 64},
    "neighbours": {"bank": 320},
    "noise": None,
    "augment": [*AUGMENT, {"kind": "grey"}],
}


def told_of(seed, network=vit, **changes):
    source, said = Pixels(*shapes(320), seed=seed), []
    made = learner(network(seed), source, say=said.append, **{**TRIAL, **changes})
    held_out = Pixels(*shapes(120, "test"), seed=seed)
    run, _ = trained(made.spec, f"trial{seed}", None, made, fit=source, validate=held_out)
    return run, [line for line in said if "collapse" in line]


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "network"), [(0, vit), (1, vit), (2, vit), (0, cnn)])
def test_a_collapse_is_named_once_within_three_epochs(seed, network):
    run, said = told_of(seed, network, predictor=None, momentum=0.0)
    assert len(said) == 1
    epochs = [epoch for epoch, values in run.steps.items() if values["collapsed"]]
    assert f"collapse in epoch {epochs[0]}:" in said[0]
    assert "projections/spread" in said[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "changes"),
    [(0, {}), (1, {}), (2, {}), (0, {"noise": {"sigma": 0.2, "to": 1.4}, "augment": []})],
)
def test_a_training_that_goes_well_is_not_accused(seed, changes):
    run, said = told_of(seed, **changes)
    assert said == []
    assert not any(values["collapsed"] for values in run.steps.values())
    assert len(run.steps) == 3


def test_epochs_that_are_not_reached_have_no_views_and_nobody_is_told_of_labels():
    given = experiment(view_grids=[1, 2], epochs=1, online_probe=False)  # of three steps
    run, _, said = fitted(given, "late")
    assert [name for name in run.files if name.startswith("views/")] == ["views/epoch-0001.png"]
    assert said[0] == "byol: note: no views are drawn of epoch 2: the last is 1"
    assert not [line for line in said if "by labels" in line]
