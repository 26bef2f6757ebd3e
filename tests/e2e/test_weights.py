"""Weights by reference, the whole way: an artifact of a run, a registered version, a training run.

No method trains yet: a run of `source` stands in for one, with the weights written as its artifact.
"""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from mlflow import MlflowClient
from safetensors.torch import save_file

from hardy.core.errors import SpecError, TrackingError, WeightsError
from hardy.core.hashing import file_sha256
from hardy.engine.progress import Reporter
from hardy.engine.runner import run_plan
from hardy.engine.setup import set_up
from hardy.methods.evaluate.spec import SourceSpec
from hardy.models.build import build_network
from hardy.models.state import WEIGHTS, state_sha256
from hardy.plan.units import OWN_WEIGHTS as OWN
from hardy.plan.units import make_plan
from hardy.registry.stores import default_stores
from hardy.spec import resolve
from hardy.tracking.mlflow_tracker import MlflowTracker
from hardy.tracking.store import tracking_uri

pytestmark = pytest.mark.usefixtures("store")
LOADED = "weights/loaded/model.weights.json"
MODEL = "{kind: timm, name: test_efficientnet, weights: random}"
TRAIN = f"""\
name: train
data: {{dataset: folder, root: photos}}
model: {MODEL}
method: {{kind: source}}
explain: {{gradcam: null, view_grids: 0}}
compute: {{workers: 0, device: cpu}}
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two photographs to train on, two others, and the experiments train and use."""
    from PIL import Image

    folder = tmp_path / "project"
    (folder / "experiments").mkdir(parents=True)
    (folder / "registry").mkdir()
    (folder / "MLproject").touch()
    for photos, colour in (("photos", "red"), ("others", "blue")):
        for wnid in ("n01440764", "n02108422"):
            (folder / photos / wnid).mkdir(parents=True)
            Image.new("RGB", (64, 64), colour).save(folder / photos / wnid / "a.jpg")
    (folder / "experiments" / "train.yaml").write_text(TRAIN)
    use = (
        "extends: train.yaml\nname: use\nseed: 1\n"
        "data: {root: others}\nmodel: {weights: 'experiment:train'}\n"
    )
    (folder / "experiments" / "use.yaml").write_text(use)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return folder


def planned(reference: str, *overrides: str):
    return make_plan(resolve(reference, overrides), default_stores(), MlflowTracker())


def carried_out(plan):
    return run_plan(plan, MlflowTracker(), Reporter(), resume_command="hardy run")


def state_tag(run_id: str) -> str:
    return MlflowTracker().get(run_id).tags["hardy.state_sha256"]


@pytest.fixture
def trained(tmp_path: Path) -> str:
    """The id of a finished run of `train` that left weights unlike those of any seed."""
    _, (result,) = carried_out(planned("train"))
    experiment = resolve("train").units[0].experiment
    network, _ = build_network(experiment.model, seed=77)
    file = tmp_path / "weights.safetensors"
    save_file({k: v.contiguous().clone() for k, v in network.state_dict().items()}, file)
    MlflowClient(tracking_uri()).log_artifact(result.run_id, str(file), "weights")
    return result.run_id


def written(run_id: str) -> Path:
    return MlflowTracker().artifact(run_id, WEIGHTS)


def test_a_run_s_artifact(trained):
    plan = planned("train", f"model.weights=runs:/{trained}/{WEIGHTS}")
    (unit,) = plan.units
    assert unit.located[OWN].path == written(trained)
    assert unit.weights == f"sha256:{file_sha256(written(trained))}"
    run_id, _ = carried_out(plan)
    assert run_id != trained
    assert state_tag(run_id) == expected_state(trained)
    assert state_tag(run_id) != state_tag(trained)


def built(unit):
    data = {"answer": unit.samples["answer"].dataset}
    return set_up(unit.unit.experiment, unit.located, data).model.network


def test_what_came_of_loading_a_part_is_kept_and_said(trained, capsys):
    whole = f"runs:/{trained}/{WEIGHTS}"
    run_id, _ = carried_out(planned("train", f"model.weights={whole}"))
    with pytest.raises(TrackingError):
        MlflowTracker().artifact(run_id, LOADED)
    part = f"{{from: '{whole}', take: blocks, into: blocks, partial: true}}"
    run_id, _ = carried_out(planned("train", f"model.weights={part}"))
    told = json.loads(MlflowTracker().artifact(run_id, LOADED).read_text())
    network, _ = build_network(resolve("train").units[0].experiment.model)
    below = [name for name in network.state_dict() if name.startswith("blocks.")]
    assert told["taken"] == len(below)
    counts = {name for name in network.state_dict() if name.endswith("num_batches_tracked")}
    assert set(told["missing"]) == set(network.state_dict()) - set(below) - counts
    assert f"model.weights: {len(below)} tensors loaded" in capsys.readouterr().err


def expected_state(run_id: str) -> str:
    from safetensors.torch import load_file

    network, _ = build_network(resolve("train").units[0].experiment.model)
    network.load_state_dict(load_file(written(run_id)))
    return state_sha256(network)


def test_the_engine_does_not_look_for_weights_again(trained, monkeypatch):
    (unit,) = planned("train", f"model.weights=runs:/{trained}/{WEIGHTS}").units
    expected = expected_state(trained)
    for place in ("hardy.models.build.locate", "hardy.tracking.mlflow_tracker.connect"):
        monkeypatch.setattr(place, None)
    assert state_sha256(built(unit)) == expected


def test_a_registered_version(project, shelf_of_one):
    plan = planned("train", f"model.weights={shelf_of_one}")
    (unit,) = plan.units
    run_id, _ = carried_out(plan)
    tags = MlflowClient(tracking_uri()).get_model_version("tiny", "1").tags
    assert unit.weights == f"sha256:{tags['hardy.weights_sha256']}"
    assert file_sha256(unit.located[OWN].path) == tags["hardy.weights_sha256"]
    assert MlflowTracker().get(run_id).tags["hardy.weights"] == unit.weights
    loaded = built(unit).state_dict()
    fresh, _ = build_network(unit.unit.experiment.model, seed=unit.unit.experiment.seed)
    assert not all(torch.equal(loaded[k], v) for k, v in fresh.state_dict().items())


@pytest.fixture
def shelf_of_one(project: Path) -> str:
    """Register the model of a run by a policy, as `hardy run` does; return its address."""
    from hardy.cli.main import cli

    (project / "registry" / "tiny.yaml").write_text(
        "model: tiny\ncandidates: {experiments: ['*'], dataset: folder}\nmin_samples: 1\n"
    )
    done = CliRunner().invoke(cli, ["run", "train", "--set", "register=tiny seed=5"])
    assert done.exit_code == 0, done.output
    return "models:/tiny@champion"


@pytest.fixture
def source_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SourceSpec, "yields_weights", True)


@pytest.mark.usefixtures("source_trains")
def test_a_finished_experiment_s_weights(trained):
    plan = planned("use")
    assert plan.needed == ()
    assert plan.units[0].needs[OWN].past.run_id == trained
    run_id, _ = carried_out(plan)
    assert state_tag(run_id) == expected_state(trained)
    assert MlflowTracker().get(run_id).tags["hardy.weights"].startswith("run:")


@pytest.mark.usefixtures("source_trains")
def test_weights_are_not_tried_on_what_they_were_trained_on(trained):
    message = "use: 2 of its 2 images are among those that train was trained on"
    with pytest.raises(SpecError, match=message):
        carried_out(planned("use", "data.root=photos"))
    assert MlflowTracker().get(trained).finished


@pytest.mark.usefixtures("source_trains")
def test_what_is_needed_runs_first_and_without_weights_is_an_error():
    plan = planned("use")
    assert [unit.unit.experiment.name for unit in plan.needed] == ["train"]
    with pytest.raises(WeightsError, match="begins with the weights of train, but its run"):
        carried_out(plan)
    client = MlflowClient(tracking_uri())
    experiment = client.get_experiment_by_name("hardy")
    runs = client.search_runs([experiment.experiment_id])
    statuses = {run.info.run_name: run.info.status for run in runs}
    assert statuses == {"use": "FAILED", "train": "FINISHED"}


def test_a_run_that_cannot_begin_leaves_nothing_behind(capsys, monkeypatch):
    from hardy.cli.main import run as command

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert command(["run", "train", "--set", "compute.device=cuda"]) == 2
    told = capsys.readouterr().err
    assert "compute.device is cuda" in told
    assert "compute.device=auto" in told
    assert "Then go on" not in told
    client = MlflowClient(tracking_uri())
    experiment = client.get_experiment_by_name("hardy")
    assert experiment is None or not client.search_runs([experiment.experiment_id])


def test_runs_that_saw_the_same_samples_are_refused_before_they_begin(project, capsys):
    from hardy.cli.main import run as command

    (project / "registry" / "tiny.yaml").write_text(
        "model: tiny\ncandidates: {experiments: ['*'], dataset: folder}\nmin_samples: 1\n"
    )
    axis = "matrix={data.subset.count: [1, 2]} register=tiny"
    assert command(["run", "train", "--set", axis]) == 2
    assert "1 of its samples are those of another run" in capsys.readouterr().err
