"""`suites/ssl-shapes`, cut down: its table, all of it reused, and the same numbers again."""

from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.slow

CUTS = {
    "shapes: {count: 300, size: 64": "shapes: {count: 40, size: 32",
    "hidden: 64, residual: 32, layers: 2": "hidden: 8, residual: 8, layers: 1",
    "codes: 128": "codes: 8",
    "input: {size: 64": "input: {size: 32",
    "steps: 300": "steps: 8",
    "steps: 160": "steps: 8",
    "samples: 100": "samples: 8",
    "seed: [0, 1, 2]": "seed: [0, 1]",
}
SUITE = "name: suites/ssl-shapes\nsuite: [ssl-shapes/finetune-50, ssl-shapes/scratch-50]\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The experiments, each of them small."""
    folder = tmp_path / "project"
    (folder / "registry").mkdir(parents=True)
    (folder / "MLproject").touch()
    for name in ("base", "ssl-shapes"):
        (folder / "experiments" / name).mkdir(parents=True)
    files = ["base/ssl-shapes.yaml"]
    files += [f"ssl-shapes/{end}.yaml" for end in ("pretrain", "finetune-50", "scratch-50")]
    for name in files:
        text = (ROOT / "experiments" / name).read_text()
        for whole, cut in CUTS.items():
            text = text.replace(whole, cut)
        (folder / "experiments" / name).write_text(text)
    (folder / "experiments" / "suites").mkdir()
    (folder / "experiments" / "suites" / "ssl-shapes.yaml").write_text(SUITE)
    return folder


def test_the_twins_are_told_by_seeds_reused_and_repeated(project, store, inside, monkeypatch):
    monkeypatch.chdir(project)
    client = MlflowClient(f"sqlite:///{store}")

    def runs():
        experiment = client.get_experiment_by_name("hardy")
        return client.search_runs([experiment.experiment_id], order_by=["start_time ASC"])

    told = inside("run", "suites/ssl-shapes").stdout
    first = runs()
    assert {run.info.status for run in first} == {"FINISHED"}
    assert told.count("miou over 2 seeds: mean ") == 2
    parent = next(run for run in first if run.info.run_name == "suites/ssl-shapes")
    table = pd.read_csv(client.download_artifacts(parent.info.run_id, "report/seeds.csv"))
    values = [
        run.data.metrics["miou"]
        for run in first
        if run.info.run_name.startswith("ssl-shapes/scratch-50/")
    ]
    row = table[(table["name"] == "ssl-shapes/scratch-50") & (table["metric"] == "miou")]
    assert row["mean"].item() == pytest.approx(sum(values) / 2)

    assert inside("run", "suites/ssl-shapes").stdout.count("2 of 2 runs reused") == 2
    assert len(runs()) == len(first)
    inside("run", "suites/ssl-shapes", "--again")
    again = runs()[len(first) :]
    numbers = {
        run.info.run_name: {k: v for k, v in run.data.metrics.items() if "iou" in k or "dice" in k}
        for run in first
        if "/" in run.info.run_name and run.data.metrics
    }
    repeated = {run.info.run_name: run.data.metrics for run in again}
    trained = [name for name in numbers if name.startswith("ssl-shapes/") and name in repeated]
    assert len(trained) >= 4
    for name in trained:
        same = {key: repeated[name][key] for key in numbers[name]}
        assert same == numbers[name]
