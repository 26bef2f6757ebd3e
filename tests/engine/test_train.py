"""The training loop: epochs, checkpoints, resume, what is kept, what is refused."""

from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from hardy.core.errors import DataError, MethodError, SpecError, TrackingError
from hardy.engine.checkpoint import Checkpoint, Standing
from hardy.engine.progress import Reporter
from hardy.engine.setup import assemble
from hardy.engine.signals import Stopped
from hardy.engine.smoke import smoke
from hardy.engine.supply import WEIGHTS
from hardy.engine.train import speed_of, train
from hardy.models.weights import locate
from hardy.spec import Resolved, Unit
from hardy.spec.experiment import Experiment

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


class Kept:
    """A run that keeps what it is given; told so, it is stopped when an epoch is logged."""

    def __init__(self, stop_at=0):
        self.steps, self.files, self.stop_at = {}, {}, stop_at

    def metrics(self, values, step=0):
        if step == self.stop_at:
            raise Stopped(2)
        self.steps[step] = values

    def artifact(self, file, path):
        self.files[path] = load_file(file) if path == WEIGHTS else file.read_bytes()

    def text(self, content, path):
        self.files[path] = content

    def dataset(self, name, digest, source, context):
        self.files["dataset"] = (name, context)

    def flush(self):
        pass


def bench_of(spec):
    return assemble(spec, {"model.weights": locate(spec.model)})


def trained(spec, run_id, run=None, bench=None):
    run = run or Kept()
    found = train(bench or bench_of(spec), Checkpoint(run_id, PRINT), run, Reporter())
    return run, *found


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARDY_HOME", str(tmp_path_factory.mktemp("straight")))
        run, bench, _ = trained(experiment(), "straight")
        return run, bench, Checkpoint("straight", PRINT).load()


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


def test_each_epoch_is_a_step_of_the_run_and_all_are_curves(straight):
    run, bench, standing = straight
    assert list(run.steps) == [1, 2, 3]
    names = {"train/loss", "validation/loss", "validation/accuracy", "learning_rate"}
    assert all(set(values) == names for values in run.steps.values())
    assert run.steps[1] != run.steps[2]
    assert run.files["training/epochs.csv"].count("\n") == 4
    assert run.files["training/curves.png"].startswith(b"\x89PNG")
    assert run.files["dataset"] == ("shapes", "validation")
    assert [s.id.partition("/")[0] for s in bench.dataset.samples] == ["test"] * 6
    timed = [{**epoch, "seconds": 1.2} for epoch in standing.epochs]
    assert speed_of(timed, 20)["seconds_per_sample"] == pytest.approx(0.18)


def test_the_weights_are_the_trained_network_s_under_its_own_names(straight):
    run, bench, _ = straight
    fresh = bench_of(experiment())
    own = fresh.model.network.clip.state_dict()
    assert run.files[WEIGHTS].keys() == own.keys()
    assert not same(run.files[WEIGHTS], own)
    assert same(run.files[WEIGHTS], bench.method.network.clip.state_dict())
    assert same(bench.model.network.clip.state_dict(), own)  # the source is as it was


@pytest.mark.parametrize("stop_at", [2, 3])
def test_a_stopped_training_ends_with_the_same_numbers_bit_for_bit(straight, stop_at):
    expected, _, _ = straight
    first = Kept(stop_at)
    with pytest.raises(Stopped):
        trained(experiment(), "again", first)
    assert list(first.steps) == list(range(1, stop_at))
    # Whatever the global generators did meanwhile.
    torch.manual_seed(stop_at)
    second, _, _ = trained(experiment(), "again")
    assert list(second.steps) == list(range(stop_at, 4))
    assert first.steps | second.steps == expected.steps
    assert same(second.files[WEIGHTS], expected.files[WEIGHTS])
    assert second.files["training/epochs.csv"] == expected.files["training/epochs.csv"]


def test_a_finished_training_reads_and_trains_nothing_more(straight, monkeypatch):
    expected, _, standing = straight
    Checkpoint("done", PRINT).save(standing)
    monkeypatch.setattr("hardy.engine.train.read_stock", None)
    run, bench, epochs = trained(experiment(), "done")
    assert run.steps == {}
    assert epochs == list(standing.epochs)
    assert same(bench.method.weights(), expected.files[WEIGHTS])


def test_the_best_epoch_is_kept_and_of_two_alike_the_earlier(straight, monkeypatch):
    from hardy.methods.contrastive.method import Contrastive

    merits = iter([0.5, 0.7, 0.7])
    plain = Contrastive.measures
    known = []

    def measures(self, batch):
        known.append(self.weights())
        return {**plain(self, batch), "accuracy": next(merits)}

    monkeypatch.setattr(Contrastive, "measures", measures)
    run, bench, _ = trained(experiment(keep="best"), "best")
    assert same(run.files[WEIGHTS], known[1])
    assert not same(run.files[WEIGHTS], known[2])
    assert same(bench.method.weights(), known[1])
    assert same(known[2], straight[0].files[WEIGHTS])  # what is kept changes no training


def test_a_validation_image_among_the_training_images_is_refused(tmp_path):
    for n, colour in enumerate(["red", "red", "blue", "green", "black", "white"]):
        path = tmp_path / "photos" / f"class{n % 2}" / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(path)
    parts = {"fractions": {"train": 0.5, "val": 0.5}, "part": "train", "seed": 0}
    data = {"dataset": "folder", "root": str(tmp_path / "photos"), "partition": parts}
    for seed in range(20):  # the two red ones fall apart for some seed
        parts["seed"] = seed
        spec = experiment(data, validate_on={"part": "val"})
        bench = bench_of(spec)
        inside = {sample.id for sample in bench.dataset.samples}
        if len(inside & {"class0/0.png", "class1/1.png"}) == 1:
            break
    captioned = replace(bench, dataset=replace(bench.dataset, caption=lambda sample: sample.id))
    with pytest.raises(DataError, match="1 held-out images of trained are among its other"):
        trained(spec, "leaky", bench=captioned)


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
    run, bench, _ = trained(cut, "smoke")
    assert list(run.steps) == [1]
    assert len(bench.dataset.samples) == 1


STANDING = Standing(({"train/loss": 0.1 + 0.2},), {"a": torch.arange(3.0)}, {"b": torch.ones(1)})


def test_a_checkpoint_comes_back_bit_for_bit():
    checkpoint = Checkpoint("run1", PRINT)
    assert checkpoint.load() == Standing()
    checkpoint.save(STANDING)
    found = checkpoint.load()
    assert found.epochs == STANDING.epochs
    assert same(found.state, STANDING.state)
    assert same(found.best, STANDING.best)
    checkpoint.discard()
    assert checkpoint.load() == Standing()


def test_a_write_that_fails_leaves_the_checkpoint_before_it(monkeypatch):
    checkpoint = Checkpoint("run1", PRINT)
    checkpoint.save(STANDING)

    def broken(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("hardy.core.files.os.fsync", broken)
        with pytest.raises(OSError, match="No space left"):
            checkpoint.save(Standing())
    assert checkpoint.load().epochs == STANDING.epochs
    assert [file.name for file in checkpoint.path.parent.iterdir()] == ["run1.safetensors"]


def test_a_damaged_checkpoint_and_another_unit_s_are_refused():
    Checkpoint("run1", PRINT).save(STANDING)
    with pytest.raises(TrackingError, match="belongs to another unit"):
        Checkpoint("run1", "e" * 32).load()
    path = Checkpoint("run1", PRINT).path
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(TrackingError, match="is damaged"):
        Checkpoint("run1", PRINT).load()
