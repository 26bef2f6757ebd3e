"""`suites/byol-shapes`, cut down: trained without labels, probed, and drawn over noise."""

import hashlib
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from PIL import Image
from safetensors.torch import load_file

from hardy.core.hashing import file_sha256
from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.slow

CUTS = {
    "shapes: {count: 3000, size: 32}": "shapes: {count: 120, size: 32}",
    "dim: 96, depth: 3, heads: 3, mlp: 192": "dim: 24, depth: 1, heads: 2, mlp: 24",
    "epochs: 100": "epochs: 2",
    "epochs: 12": "epochs: 2",
    "samples: 900": "samples: 30",
    "count: 900": "count: 30",
    "seed: [0, 1, 2]": "seed: [0, 1]",
    "[0, 0.1, 0.2, 0.4]": "[0, 0.2, 0.4]",
}
SUITE = """\
name: suites/byol-shapes
suite: [byol/shapes-noise-sweep, byol/shapes-supervised-sweep]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The experiments, each of them small."""
    folder = tmp_path / "project"
    (folder / "registry").mkdir(parents=True)
    (folder / "MLproject").touch()
    files = ["base/byol-shapes.yaml"]
    files += [f"byol/shapes-{end}.yaml" for end in ("noise", "noise-probe", "noise-sweep")]
    files += [f"byol/shapes-{end}.yaml" for end in ("supervised", "supervised-sweep")]
    for name in files:
        text = (ROOT / "experiments" / name).read_text()
        for whole, cut in CUTS.items():
            text = text.replace(whole, cut)
        path = folder / "experiments" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    suite = folder / "experiments" / "suites" / "byol-shapes.yaml"
    suite.parent.mkdir()
    suite.write_text(SUITE)
    return folder


def test_a_chain_of_trainings_ends_in_one_picture(project, store, inside, monkeypatch):
    monkeypatch.chdir(project)
    told = inside("run", "suites/byol-shapes", "--jobs", "2")
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.get_experiment_by_name("hardy")
    runs = client.search_runs([experiment.experiment_id], max_results=100)
    by_name = {run.info.run_name: run for run in runs}
    assert {run.info.status for run in runs} == {"FINISHED"}
    parent = by_name["suites/byol-shapes"]

    def file(name: str, path: str) -> Path:
        return Path(client.download_artifacts(by_name[name].info.run_id, path))

    # Each seed has a chain of its own, and what a probe leaves is what is evaluated.
    weights = "weights/weights.safetensors"
    digests = {
        file_sha256(file(f"byol/shapes-{which}/{seed}", weights))
        for which in ("noise", "noise-probe", "supervised")
        for seed in (0, 1)
    }
    assert len(digests) == 6
    states = {
        (seed, sigma): by_name[f"byol/shapes-noise-sweep/{seed}-{sigma}"].data.tags[
            "hardy.state_sha256"
        ]
        for seed in (0, 1)
        for sigma in ("0", "0.2", "0.4")
    }
    assert states[0, "0"] == states[0, "0.2"] == states[0, "0.4"] == probed(file, 0)
    assert states[1, "0"] == states[1, "0.2"] == states[1, "0.4"] == probed(file, 1)
    table = pd.read_csv(file("suites/byol-shapes", "report/sweep-data.shift.sigma.csv"))
    assert set(table["line"]) == {"byol/shapes-noise-sweep", "byol/shapes-supervised-sweep"}
    assert (table["runs"] == 2).all()
    for line, rows in table.groupby("line"):
        levels = [
            sum(by_name[f"{line}/{seed}-{sigma}"].data.metrics["accuracy"] for seed in (0, 1)) / 2
            for sigma in ("0", "0.2", "0.4")
        ]
        assert rows["level"].tolist() == pytest.approx(levels)
        area = (levels[0] / 2 + levels[1] + levels[2] / 2) / 2
        assert parent.data.metrics[f"sweep/{line}/auc"] == pytest.approx(area)
    with Image.open(file("suites/byol-shapes", "report/sweep-data.shift.sigma.png")) as picture:
        assert picture.width > 800
    assert "a new head learns, all else stays as it is" in told.stderr + told.stdout


def probed(file, seed: int) -> str:
    """Return the digest of what the probe left, by the formula of `hardy.models.state`."""
    digest = hashlib.sha256()
    weights = file(f"byol/shapes-noise-probe/{seed}", "weights/weights.safetensors")
    for name, tensor in sorted(load_file(weights).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
