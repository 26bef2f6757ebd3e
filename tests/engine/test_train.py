"""The training loop: epochs, checkpoints, resume, what is kept, what is refused."""

from dataclasses import replace

import pytest
import torch

from hardy.core.errors import MethodError, SpecError, TrackingError
from hardy.data.open import open_dataset
from hardy.engine.checkpoint import Checkpoint, Progress, TrainState
from hardy.engine.fit import fit
from hardy.engine.progress import Reporter
from hardy.engine.setup import set_up
from hardy.engine.signals import Stopped
from hardy.engine.smoke import smoke
from hardy.models.state import WEIGHTS
from hardy.models.weights import Located
from hardy.spec import Resolved, Unit
from hardy.spec.experiment import Experiment
from tests.engine.runs import KeptRun, untimed

PRINT = "f" * 32


def experiment(data=None, **method):
    shapes = {"dataset": "shapes", "split": "train", "shapes": {"count": 20}}
    given = {"kind": "contrastive", "epochs": 3, "batch": 8, "keep": "last"}
    validation = {"validate_on": {"split": "test", "samples": 6}}
    return Experiment.model_validate(
        {
            "name": "trained",
            "data": data or shapes,
            "model": {"kind": "open_clip", "name": "hardy-shapes", "weights": "random"},
            "method": given | validation | method,
            "compute": {"device": "cpu"},
        }
    )


def set_up_of(spec):
    data = {}
    for role, other in spec.method.roles().items():
        data[role] = open_dataset(other.data(spec.data, spec.seed) if other else spec.data)
    return set_up(spec, {"model.weights": Located(None, "random")}, data)


def trained(spec, run_id, stop_at=0, before=None):
    run, setup = KeptRun(run_id, stop_at), set_up_of(spec)
    if before is not None:
        run.steps, run.points = before.steps, before.points
    fit(setup, Checkpoint(run_id, PRINT), run, Reporter())
    return run, setup


@pytest.fixture(autouse=True)
def each_epoch_is_kept(monkeypatch):
    monkeypatch.setattr("hardy.engine.train._KEEPING", float("inf"))


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARDY_HOME", str(tmp_path_factory.mktemp("straight")))
        run, setup = trained(experiment(), "straight")
        return run, setup, Checkpoint("straight", PRINT).load()


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


def test_each_epoch_is_a_step_of_the_run_and_all_are_curves(straight):
    run, _, state = straight
    assert list(run.steps) == [1, 2, 3]
    names = {"train/loss", "validation/loss", "validation/accuracy", "learning_rate"}
    names |= {"train/gradient_norm", "train/samples_per_second", "train/waiting"}
    assert all(set(values) == names for values in run.steps.values())
    assert run.steps[1] != run.steps[2]
    assert run.files["training/epochs.csv"].count("\n") == 4
    assert run.files["training/curves.png"].startswith(b"\x89PNG")
    seconds = sum(epoch["seconds"] for epoch in state.epochs)
    assert run.values["seconds_per_sample"] == pytest.approx(seconds / 20)


def test_the_weights_are_the_trained_network_s_under_its_own_names(straight):
    run, setup, _ = straight
    fresh = set_up_of(experiment())
    own = fresh.model.network.clip.state_dict()
    assert run.files[WEIGHTS].keys() == own.keys()
    assert not same(run.files[WEIGHTS], own)
    assert same(run.files[WEIGHTS], setup.method.trained.clip.state_dict())
    assert same(setup.model.network.clip.state_dict(), own)  # the source is as it was


@pytest.mark.parametrize("stop_at", [2, 3])
def test_a_stopped_training_ends_with_the_same_numbers_bit_for_bit(straight, stop_at):
    expected, _, _ = straight
    stopped = KeptRun("again", stop_at)
    with pytest.raises(Stopped):
        fit(set_up_of(experiment()), Checkpoint("again", PRINT), stopped, Reporter())
    assert len(Checkpoint("again", PRINT).load().epochs) == stop_at - 1
    assert list(stopped.steps) == list(range(1, stop_at))
    # Whatever the global generators did meanwhile.
    torch.manual_seed(stop_at)
    second, _ = trained(experiment(), "again", before=stopped)
    assert untimed(second.steps) == untimed(expected.steps)
    assert second.points == expected.points
    assert same(second.files[WEIGHTS], expected.files[WEIGHTS])


def test_what_was_fitted_is_not_fitted_again(straight, monkeypatch):
    trained(experiment(), "done")
    monkeypatch.setattr("hardy.engine.work.train", None)
    run, setup = trained(experiment(), "done")
    assert run.steps == {}
    assert same(setup.method.trained.clip.state_dict(), straight[0].files[WEIGHTS])
    assert same(run.files[WEIGHTS], straight[0].files[WEIGHTS])  # it reaches the run all the same


def test_a_training_killed_after_its_last_epoch_trains_nothing_more(straight, monkeypatch):
    Checkpoint("last", PRINT).save(straight[2])
    monkeypatch.setattr("hardy.engine.train._Loop._epoch", None)
    run, _ = trained(experiment(), "last", before=straight[0])
    assert list(run.steps) == [1, 2, 3]
    assert same(run.files[WEIGHTS], straight[0].files[WEIGHTS])


def test_the_best_epoch_is_kept_and_of_two_alike_the_earlier(straight, monkeypatch):
    from hardy.methods.contrastive.method import ContrastiveLearner

    merits = iter([0.5, 0.7, 0.7])
    plain = ContrastiveLearner.measure
    known = []

    def measure(self, batch):
        known.append(self.weights())
        return {**plain(self, batch)[0], "accuracy": next(merits)}, None

    monkeypatch.setattr(ContrastiveLearner, "measure", measure)
    run, setup = trained(experiment(keep="best"), "best")
    assert same(run.files[WEIGHTS], known[1])
    assert not same(run.files[WEIGHTS], known[2])
    assert same(setup.method.trained.clip.state_dict(), known[1])
    assert same(known[2], straight[0].files[WEIGHTS])  # what is kept changes no training


def test_a_dataset_without_captions_is_refused_at_once():
    data = {"dataset": "digits", "partition": {"fractions": {"a": 0.5, "b": 0.5}, "part": "a"}}
    with pytest.raises(SpecError, match="learns from captions, and digits has none"):
        trained(experiment(data, validate_on={"part": "b"}), "mute")


def test_a_loss_that_is_not_finite_ends_the_run():
    spec = experiment(optimizer={"kind": "sgd", "lr": 1e30}, warmup=0)
    with pytest.raises(MethodError, match=r"the loss of contrastive is .* in epoch 1"):
        trained(spec, "wild")


def test_smoke_trains_one_epoch_and_validates_one_sample():
    whole = Resolved("trained", None, (), "trained", "", {}, (Unit(experiment()),))
    cut = smoke(whole).units[0].experiment
    assert (cut.method.epochs, cut.method.validate_on.samples) == (1, 1)
    assert cut.data.subset.count == 1
    run, setup = trained(cut, "smoke")
    assert list(run.steps) == [1]
    assert len(setup.data["answer"].samples) == 1


STATE = TrainState(
    ({"train/loss": 0.1 + 0.2},),
    step=7,
    best=1,
    progress=Progress(2, 16, {"loss": 1 / 3}, 0.1, 1e-3, 0.5, 0.25),
    parts={"groups": [[{"lr": 0.1, "betas": [0.9, 0.999]}]]},
    tensors={"a": torch.arange(3.0), "b": torch.ones(1)},
)


def test_a_checkpoint_comes_back_bit_for_bit():
    checkpoint = Checkpoint("run1", PRINT)
    assert checkpoint.load() == TrainState()
    checkpoint.save_best(1, {"w": torch.ones(2)})
    checkpoint.save(STATE)
    found = checkpoint.load()
    assert replace(found, tensors={}) == replace(STATE, tensors={})
    assert same(found.tensors, STATE.tensors)
    assert same(checkpoint.best(1), {"w": torch.ones(2)})
    checkpoint.discard()
    assert checkpoint.load() == TrainState()
    assert list(checkpoint.path.parent.iterdir()) == []


def test_the_best_weights_are_those_of_the_epoch_that_the_state_names():
    """Whatever was written before a kill, and however the epochs come out when done again."""
    checkpoint = Checkpoint("run1", PRINT)
    checkpoint.save_best(1, {"w": torch.ones(2)})
    checkpoint.save(STATE)
    checkpoint.save_best(3, {"w": torch.zeros(2)})  # killed before the state that counts it
    assert checkpoint.load().best == 1
    assert same(checkpoint.best(1), {"w": torch.ones(2)})
    checkpoint.save(replace(STATE, best=3))
    assert same(checkpoint.best(3), {"w": torch.zeros(2)})
    assert len(list(checkpoint.path.parent.iterdir())) == 2  # the state and one epoch's weights


def test_what_a_killed_process_left_half_written_goes():
    checkpoint, other = Checkpoint("run1", PRINT), Checkpoint("run2", PRINT)
    other.save(STATE)
    torn = [checkpoint.path.with_name(f".run{n}.safetensors.ab.tmp") for n in (1, 2)]
    for file in torn:
        file.write_bytes(b"torn")
    checkpoint.save(STATE)
    assert [file.exists() for file in torn] == [False, True]
    checkpoint.discard()
    assert other.load().step == STATE.step


def test_a_write_that_fails_leaves_the_checkpoint_before_it(monkeypatch):
    checkpoint = Checkpoint("run1", PRINT)
    checkpoint.save(STATE)

    def broken(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("hardy.core.files.os.fsync", broken)
        with pytest.raises(TrackingError, match="cannot be written: No space left") as caught:
            checkpoint.save(TrainState())
    assert "HARDY_HOME" in caught.value.hint
    assert checkpoint.load().epochs == STATE.epochs
    assert [file.name for file in checkpoint.path.parent.iterdir()] == ["run1.safetensors"]


def test_a_damaged_checkpoint_and_another_unit_s_are_refused():
    Checkpoint("run1", PRINT).save(STATE)
    with pytest.raises(TrackingError, match="belongs to another unit"):
        Checkpoint("run1", "e" * 32).load()
    path = Checkpoint("run1", PRINT).path
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(TrackingError, match="is damaged"):
        Checkpoint("run1", PRINT).load()


def test_a_checkpoint_of_an_earlier_layout_is_refused(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("hardy.engine.checkpoint._FORMAT", 1)
        Checkpoint("run1", PRINT).save(STATE)
    with pytest.raises(TrackingError, match="another version of hardy"):
        Checkpoint("run1", PRINT).load()


def test_a_file_that_another_process_deletes_first_is_no_fault(monkeypatch):
    monkeypatch.setattr("pathlib.Path.glob", lambda folder, pattern: iter([folder / "gone"]))
    Checkpoint("run1", PRINT).discard()
