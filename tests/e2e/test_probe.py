"""A probe by the command line: evaluated elsewhere by its weights alone, registered, asked."""

import json

import numpy as np
import pytest

from hardy.cli.main import run
from hardy.data.open import open_dataset
from hardy.data.spec import DataSpec
from hardy.measure.records import read_parquet

PROBE = """
name: probe
data: {dataset: shapes, split: train, shapes: {count: 36, size: 32}}
model: {kind: hardy, weights: random, classes: 10}
method:
  kind: linear_probe
  epochs: 3
  batch_norm: true
  validate_on: {split: test}
compute: {processes: 1, device: cpu}
explain: {gradcam: null, view_grids: 0}
register: probe
"""
AGAIN = """
name: again
data: {dataset: shapes, split: test, shapes: {count: 36, size: 32}}
model: {kind: hardy, weights: "experiment:probe", classes: 10}
method: {kind: evaluate}
compute: {processes: 1, device: cpu}
explain: {gradcam: null, view_grids: 0}
"""
NEAREST = AGAIN.replace("name: again", "name: nearest").replace(
    "method: {kind: evaluate}", "method: {kind: knn, bank_on: {split: train}}"
)
POLICY = """
model: probe
candidates: {experiments: [probe], dataset: shapes}
gates: [{metric: accuracy, at_least: 0.0}]
min_samples: 1
"""
WAYS = {"again": AGAIN, "nearest": NEAREST}


def told(capsys, *arguments):
    capsys.readouterr()
    code = run(list(arguments))
    found = capsys.readouterr()
    assert code == 0, found.out + found.err
    return found.out + found.err


@pytest.mark.usefixtures("store")
def test_a_probe_is_a_whole_network_for_all_others(tmp_path, isolated_home, monkeypatch, capsys):
    project = tmp_path / "project"
    for folder in ("experiments", "registry"):
        (project / folder).mkdir(parents=True)
    (project / "MLproject").touch()
    (project / "experiments" / "probe.yaml").write_text(PROBE)
    for name, text in WAYS.items():
        (project / "experiments" / f"{name}.yaml").write_text(text)
    (project / "registry" / "probe.yaml").write_text(POLICY)
    monkeypatch.chdir(project)
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")

    news = " ".join(told(capsys, "run", "probe").split())
    assert "a new fc learns, all else stays as it is" in news
    told(capsys, "run", "again")
    found = " ".join(told(capsys, "run", "nearest").split())
    assert "samples to fit, by a network that stays as it is (kept)" not in found  # other weights
    records = {}
    for file in isolated_home.rglob("records.parquet"):
        frame = read_parquet(file)
        (kind,) = {c.partition(".")[0] for c in frame if c.endswith(".prediction")}
        records[kind] = frame
    assert set(records) == {"linear_probe", "evaluate", "knn"}
    one, other = records["linear_probe"], records["evaluate"]
    assert list(one["sample"]) == list(other["sample"])
    assert np.array_equal(one["linear_probe.confidence"], other["evaluate.confidence"])

    dataset = open_dataset(
        DataSpec.model_validate(
            {"dataset": "shapes", "split": "test", "shapes": {"count": 36, "size": 32}}
        )
    )
    sample = next(each for each in dataset.samples if each.id == one["sample"][0])
    dataset.read(sample).save(tmp_path / "shape.png")
    asked = ("predict", "--model", "models:/probe/1", "--format", "json")
    (answer,) = json.loads(told(capsys, *asked, str(tmp_path / "shape.png")))
    confidence = one["linear_probe.confidence"][0]
    assert answer["top"][0]["confidence"] == pytest.approx(confidence, rel=1e-4)
    assert answer["top"][0]["name"] == dataset.classes[one["linear_probe.prediction"][0]]
