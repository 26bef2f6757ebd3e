"""A training the whole way: killed and resumed, registered, begun with, predicted with."""

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from safetensors.torch import load_file

from hardy.core.errors import RegistryError
from hardy.core.hashing import file_sha256
from hardy.measure.records import read_parquet
from tests.contracts.records import same
from tests.e2e.conftest import ROOT, flags

pytestmark = pytest.mark.usefixtures("store")
SMALL = (
    "data.shapes.count=96 method.epochs=3 method.batch=16 method.validate_on.samples=12 "
    "explain.gradcam.count=1 explain.view_grids=0 compute.device=cpu"
)
USE = """\
name: use
data: {dataset: shapes, split: test, shapes: {count: 12}, shift: {kind: fog, severity: 3}}
model: {kind: open_clip, name: hardy-shapes, weights: "WEIGHTS"}
method: {kind: source}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu, processes: 1}
"""


def client(home: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{home}/mlflow.db")


def runs(home: Path, name: str) -> list:
    store = client(home)
    experiment = store.get_experiment_by_name("hardy")
    found = store.search_runs([experiment.experiment_id], order_by=["start_time ASC"])
    return [run for run in found if run.info.run_name == name]


def artifact(home: Path, run, path: str) -> Path:
    return Path(client(home).download_artifacts(run.info.run_id, path))


def steps(home: Path, run, metric: str) -> list[tuple[int, float]]:
    history = client(home).get_metric_history(run.info.run_id, metric)
    return [(each.step, each.value) for each in history]


@pytest.mark.slow
def test_a_stopped_training_goes_on_and_ends_with_the_same_numbers(
    inside, environment, isolated_home
):
    command = ["run", "clip-shapes/train", *flags(f"{SMALL} register=null")]
    process = subprocess.Popen(
        [sys.executable, "-m", "hardy", *command],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    folder = isolated_home / ".hardy" / "checkpoints"
    deadline = time.monotonic() + 240
    # The best epoch's learner lies there, under a longer name, before the state that counts it.
    while not list(folder.glob(f"{'?' * 32}.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)  # killed ones: tests/e2e/test_killed_training.py
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    (killed,) = runs(isolated_home, "clip-shapes/train")
    assert killed.info.status == "KILLED"
    printed = shlex.split(told.rstrip().splitlines()[-1].rpartition(": ")[2])
    assert printed[1:] == command
    went_on = inside(*command)
    assert "carried over" in went_on.stderr
    (finished,) = runs(isolated_home, "clip-shapes/train")
    assert finished.info.status == "FINISHED"
    assert not list(folder.iterdir())
    assert [step for step, _ in steps(isolated_home, finished, "train/loss")] == [1, 2, 3]

    inside("run", "clip-shapes/train", "--again", *flags(f"{SMALL} register=null"))
    _, whole = runs(isolated_home, "clip-shapes/train")
    for metric in ("train/loss", "validation/loss", "validation/accuracy", "learning_rate"):
        assert steps(isolated_home, finished, metric) == steps(isolated_home, whole, metric)
    path = "weights/weights.safetensors"
    ours, theirs = (load_file(artifact(isolated_home, run, path)) for run in (finished, whole))
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    ours, theirs = (
        read_parquet(artifact(isolated_home, run, "records/records.parquet"))
        for run in (finished, whole)
    )
    assert same(ours, theirs) == []


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose policy takes the small training's result, and its experiments."""
    folder = tmp_path / "project"
    (folder / "experiments" / "clip-shapes").mkdir(parents=True)
    (folder / "registry").mkdir()
    (folder / "MLproject").touch()
    shipped = (ROOT / "experiments" / "clip-shapes" / "train.yaml").read_text()
    (folder / "experiments" / "clip-shapes" / "whole.yaml").write_text(shipped)
    (folder / "experiments" / "clip-shapes" / "train.yaml").write_text(
        "extends: whole.yaml\ndata: {shapes: {count: 96}}\n"
        "method: {epochs: 2, batch: 32, validate_on: {samples: 12}}\n"
        "explain: {gradcam: {count: 1}, view_grids: 0}\ncompute: {device: cpu}\n"
    )
    policy = (ROOT / "registry" / "clip-shapes.yaml").read_text()
    assert "at_least: 0.7" in policy
    (folder / "registry" / "clip-shapes.yaml").write_text(
        policy.replace("0.7", "0.0") + "min_samples: 1\n"
    )
    for name, weights in (
        ("by-version", "models:/clip-shapes@champion"),
        ("by-experiment", "experiment:clip-shapes/train"),
    ):
        text = USE.replace("WEIGHTS", weights).replace("name: use", f"name: {name}")
        (folder / "experiments" / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    return folder


def test_a_trained_model_is_registered_begun_with_and_predicts(project, isolated_home):
    from hardy.cli.main import run as command
    from hardy.data.open import open_dataset
    from hardy.data.spec import DataSpec
    from hardy.registry.load import load

    assert command(["run", "clip-shapes/train"]) == 0
    (training,) = runs(isolated_home, "clip-shapes/train")
    metrics = training.data.metrics
    assert {"accuracy", "source/accuracy", "flips/to_right", "train/loss"} <= metrics.keys()
    best = max(value for _, value in steps(isolated_home, training, "validation/accuracy"))
    assert metrics["accuracy"] == pytest.approx(best)
    for path in ("training/curves.png", "confusion/contrastive.png", "report/flips.csv"):
        assert artifact(isolated_home, training, path).is_file()
    assert not list(isolated_home.rglob("fitted/*"))  # it is all in the run
    inputs = {each.tags[0].value: each.dataset.digest for each in training.inputs.dataset_inputs}
    assert inputs.keys() == {"train", "validation"}

    assert command(["run", "by-version"]) == 0
    assert command(["run", "by-experiment"]) == 0
    states = {
        run.data.tags["hardy.state_sha256"]
        for name in ("by-version", "by-experiment")
        for run in runs(isolated_home, name)
    }
    assert len(states) == 1
    assert states != {training.data.tags["hardy.state_sha256"]}

    predictor = load("models:/clip-shapes@champion")
    evidence = read_parquet(artifact(isolated_home, training, "records/records.parquet"))
    data = DataSpec.model_validate({"dataset": "shapes", "shapes": {"count": 96}})
    dataset = open_dataset(data)
    images = {sample.id: dataset.read(sample) for sample in dataset.samples}
    table = predictor.predict([images[sample] for sample in evidence["sample"]])
    assert list(table["class_index"]) == list(evidence["contrastive.prediction"])
    assert list(table["confidence"]) == pytest.approx(
        list(evidence["contrastive.confidence"]), 1e-4
    )
    with pytest.raises(RegistryError, match="trained this version; it cannot adapt it"):
        predictor.predict([images[evidence["sample"][0]]], adapt=True)


def test_several_trainings_are_no_version(project, capsys):
    from hardy.cli.main import run as command

    axis = "matrix={seed: [0, 1]} method.epochs=1 explain.gradcam=null"
    assert command(["run", "clip-shapes/train", "--set", axis]) == 2
    assert "2 runs trained 2 models: a version is one model" in capsys.readouterr().err


@pytest.mark.slow
def test_a_matrix_of_seeds_trains_and_then_answers_seed_by_seed(project, isolated_home):
    from hardy.cli.main import run as command

    axis = "matrix: {seed: [3, 4]}\nregister: null\n"
    (project / "experiments" / "trained.yaml").write_text(
        f"extends: clip-shapes/train.yaml\nname: trained\nmethod: {{epochs: 1}}\n{axis}"
    )
    taken = USE.replace('"WEIGHTS"', "{from: 'experiment:trained', same: [seed]}")
    (project / "experiments" / "use.yaml").write_text(taken + axis)
    assert command(["run", "use"]) == 0

    names = [f"{name}/{seed}" for name in ("trained", "use") for seed in (3, 4)]
    found = [runs(isolated_home, name) for name in names]
    assert [len(each) for each in found] == [1, 1, 1, 1]
    *trained, third, fourth = (run for (run,) in found)
    left = [
        load_file(artifact(isolated_home, run, "weights/weights.safetensors")) for run in trained
    ]
    assert any((left[0][name] != left[1][name]).any() for name in left[0])
    begun = [run.data.tags["hardy.weights"] for run in (third, fourth)]
    states = [run.data.tags["hardy.state_sha256"] for run in (third, fourth)]
    assert len(set(begun)) == len(set(states)) == 2
    for run, one in zip((third, fourth), trained, strict=True):
        by_id = f"runs:/{one.info.run_id}/weights/weights.safetensors"
        text = USE.replace("WEIGHTS", by_id).replace("name: use", f"name: by-id-{one.info.run_id}")
        (project / "experiments" / "by-id.yaml").write_text(text)
        assert command(["run", "by-id", "--set", f"seed={run.data.params['seed']}"]) == 0
        (direct,) = runs(isolated_home, f"by-id-{one.info.run_id}")
        assert direct.data.tags["hardy.state_sha256"] == run.data.tags["hardy.state_sha256"]


@pytest.mark.slow
def test_a_twin_of_a_unit_is_registered_with_the_weights_that_both_began_with(
    project, isolated_home
):
    """The second of two units of the same numbers does not run, and yet its model is registered."""
    from hardy.cli.main import run as command

    (project / "registry" / "answers.yaml").write_text(
        "model: answers\ncandidates: {experiments: ['*'], dataset: shapes}\n"
    )
    use = USE.replace("WEIGHTS", "experiment:clip-shapes/train")
    for name, register in (("first", "null"), ("twin", "answers")):
        text = use.replace("name: use", f"name: {name}") + f"register: {register}\n"
        (project / "experiments" / f"{name}.yaml").write_text(text)
    (project / "experiments" / "both.yaml").write_text("name: both\nsuite: [first, twin]\n")
    assert command(["run", "both"]) == 0
    (training,) = runs(isolated_home, "clip-shapes/train")
    assert len(runs(isolated_home, "first")) == 1
    assert not runs(isolated_home, "twin")
    file = artifact(isolated_home, training, "weights/weights.safetensors")
    tags = client(isolated_home).get_model_version("answers", "1").tags
    assert tags["hardy.weights_sha256"] == file_sha256(file)
