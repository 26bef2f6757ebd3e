"""The README's first command, as `mlflow run` starts it, and what it leaves behind."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree

import pytest
from mlflow import MlflowClient
from PIL import Image

from hardy.measure.records import read_parquet
from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.slow
FEWER = "method.views.count=4 explain.gradcam.count=1"


def mlflow_run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    uri = f"sqlite:///{environment['HARDY_HOME']}/mlflow.db"
    return subprocess.run(
        [
            "mlflow",
            "run",
            ".",
            "--env-manager",
            "local",
            "--experiment-name",
            "hardy",
            "-P",
            "spec=experiments/quickstart.yaml",
            "-P",
            f"set={FEWER}",
        ],
        env=environment | {"MLFLOW_TRACKING_URI": uri},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )


@pytest.fixture
def finished(store: Path, environment: dict[str, str]) -> Iterator[MlflowClient]:
    done = mlflow_run(environment)
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("contrast-3", "gaussian_noise-3", "is now champion", "hardy ui", "hardy predict"):
        assert part in done.stdout
    client = MlflowClient(f"sqlite:///{store}")
    yield client
    # `mlflow run` made the experiment, so its artifacts lie in the project, as a user's do.
    for experiment in client.search_experiments():
        ids = [experiment.experiment_id]
        left = [run.info.artifact_uri for run in client.search_runs(ids)]
        left += [model.artifact_location for model in client.search_logged_models(ids)]
        for place in left:  # each in a folder of its own name
            rmtree(Path(place).parent, ignore_errors=True)


def artifacts(client: MlflowClient, run_id: str, folder: str = "") -> set[str]:
    found = set()
    for entry in client.list_artifacts(run_id, folder or None):
        found |= artifacts(client, run_id, entry.path) if entry.is_dir else {entry.path}
    return found


def test_the_demo_from_spec_to_prediction(finished, environment, hardy, tmp_path):
    client = finished
    experiment = client.get_experiment_by_name("hardy")
    runs = client.search_runs([experiment.experiment_id])
    children = [r for r in runs if "mlflow.parentRunId" in r.data.tags]
    (parent,) = [r for r in runs if r not in children]
    assert len(children) == 3
    assert {r.info.status for r in runs} == {"FINISHED"}
    assert {r.data.tags["mlflow.parentRunId"] for r in children} == {parent.info.run_id}
    assert parent.data.params["spec"] == "experiments/quickstart.yaml"
    assert "| contrast-3 |" in parent.data.tags["mlflow.note.content"].replace("quickstart/", "")
    for run in children:
        check_child(client, run)
    check_predictions(environment, hardy, tmp_path)

    again = mlflow_run(environment)
    assert again.returncode == 0, again.stderr
    assert (again.stdout + again.stderr).count("reuses run") == 3
    made = client.search_runs([experiment.experiment_id], order_by=["start_time DESC"])
    assert made[0].data.tags["hardy.referred_to"] == parent.info.run_id
    assert len(made) == 5


def check_child(client, run):
    metrics, tags = run.data.metrics, run.data.tags
    for name in ("accuracy", "top5", "nll", "ece", "entropy"):
        assert name in metrics
        assert f"source/{name}" in metrics
    assert metrics["samples"] == 20
    assert metrics["samples_per_second"] > 0
    assert any(name.startswith("system/") for name in metrics)
    assert run.data.params["method.views.count"] == "4"
    for tag in ("mlflow.source.git.commit", "hardy.data_digest", "hardy.weights"):
        assert tags[tag]
    (linked,) = run.inputs.dataset_inputs
    assert linked.dataset.digest == tags["hardy.data_digest"]
    names = artifacts(client, run.info.run_id)
    assert {
        "spec.yaml",
        "environment.json",
        "records/records.parquet",
        "confusion/memo.json",
        "confusion/memo.png",
        "confusion/source.json",
        "calibration/memo.png",
    } <= names
    panels = [n for n in names if n.startswith("gradcam/")]
    assert len(panels) == 1
    assert len([n for n in names if n.startswith("views/")]) == 1
    with Image.open(client.download_artifacts(run.info.run_id, panels[0])) as picture:
        assert picture.width > 900
    records = Path(client.download_artifacts(run.info.run_id, "records/records.parquet"))
    frame = read_parquet(records)
    right = (frame["memo.prediction"] == frame["label"]).mean()
    assert right == pytest.approx(metrics["accuracy"])
    counts = json.loads(
        Path(client.download_artifacts(run.info.run_id, "confusion/memo.json")).read_text()
    )
    assert sum(row["count"] for row in counts) == 20


def check_predictions(environment, hardy, tmp_path):
    dog = Path(find_spec("foolbox").origin).parent / "data" / "imagenet_00_243.jpg"
    uri = "models:/imagenet-robust@champion"
    for extra in ((), ("--adapt", "--views", "4")):
        told = hardy("predict", "--model", uri, str(dog), *extra)
        assert "bull mastiff" in told.stdout
    script = tmp_path / "plain.py"
    script.write_text(
        "import sys, mlflow, numpy as np\n"
        "from PIL import Image\n"
        f"model = mlflow.pyfunc.load_model({uri!r})\n"
        "image = np.asarray(Image.open(sys.argv[1]).convert('RGB'))\n"
        "print(model.predict(image)['label'][0])\n"
        "print(model.predict(image, params={'adapt': True, 'views': 16})['label'][0])\n"
    )
    plain = {k: v for k, v in environment.items() if k not in ("HARDY_HOME", "PYTHONPATH")}
    told = subprocess.run(
        [sys.executable, str(script), str(dog)],
        env=plain
        | {
            "MLFLOW_TRACKING_URI": f"sqlite:///{environment['HARDY_HOME']}/mlflow.db",
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert told.stdout.split("\n")[:2] == ["bull mastiff"] * 2, told.stderr
