"""A matrix over a numeric axis leaves its curve in the parent, and what it encloses."""

import csv
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from hardy.engine.progress import Reporter
from hardy.engine.runner import run_plan
from hardy.plan.units import make_plan
from hardy.registry.stores import default_stores
from hardy.spec import resolve
from hardy.tracking.mlflow_tracker import MlflowTracker

SPEC = """\
name: swept
data:
  dataset: shapes
  split: test
  shapes: {count: 60, size: 32}
  subset: {count: 12}
  shift: {kind: gaussian_sigma, sigma: 0}
model: {kind: hardy, name: resnet26-gn8, weights: random, classes: 6}
method: {kind: evaluate}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu, processes: 1}
matrix: {data.shift.sigma: [0, 0.5, 2]}
"""


@pytest.mark.usefixtures("store")
def test_a_parent_has_the_curve_and_its_area(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "swept.yaml").write_text(SPEC)
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    tracker = MlflowTracker()
    plan = make_plan(resolve(str(tmp_path / "swept.yaml")), default_stores(), tracker)
    titles: list[str] = []
    monkeypatch.setattr(
        "hardy.engine.pictures.titled", lambda picture, title: titles.append(title) or picture
    )
    reporter = Reporter(Console(file=StringIO()))
    parent, units = run_plan(plan, tracker, reporter, resume_command="")
    text = tracker.artifact(parent, "report/sweep-data.shift.sigma.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    levels = [unit.metrics["accuracy"] for unit in units]
    assert [float(row["level"]) for row in rows] == levels
    assert tracker.artifact(parent, "report/sweep-data.shift.sigma.png").is_file()
    found = tracker.get(parent).metrics
    heights = (np.array(levels[1:]) + levels[:-1]) / 2
    assert found["sweep/auc"] == pytest.approx(heights @ [0.5, 1.5] / 2)
    assert found["sweep/auc.low"] <= found["sweep/auc"] <= found["sweep/auc.high"]
    # The runs stand side by side, class by class.
    beside = pd.read_csv(tracker.artifact(parent, "report/classes-beside.csv"))
    for unit, level in zip(units, levels, strict=True):
        each = beside[unit.name.removeprefix("swept/")]
        assert (each * beside["samples"]).sum() / 12 == pytest.approx(level)
    assert tracker.artifact(parent, "report/classes-beside-1.png").is_file()
    # Each picture says what it is of: the unit's own, then those of the parent.
    sigmas = ("0", "0.5", "2")
    assert list(dict.fromkeys(titles)) == [
        *(f"swept/{sigma} · evaluate · gaussian_sigma-{sigma}" for sigma in sigmas),
        "swept · evaluate · gaussian_sigma-0, gaussian_sigma-0.5, gaussian_sigma-2",
    ]
