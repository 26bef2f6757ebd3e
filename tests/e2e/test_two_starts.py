"""One spec started twice at once: one process runs it, the other waits and takes its results."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.slow

MATRIX = """\
name: twice
data:
  dataset: shapes
  split: test
  shapes: {count: 200, size: 32}
  subset: {count: 100}
model: {kind: hardy, name: resnet26-gn8, weights: random, classes: 6}
method: {kind: evaluate}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu, processes: 1, threads: 1}
matrix: {seed: [0, 1, 2]}
"""
SINGLE = MATRIX.replace("matrix: {seed: [0, 1, 2]}\n", "").replace("count: 100", "count: 200")


@pytest.mark.parametrize("spec", [MATRIX, SINGLE], ids=["parent", "unit"])
def test_two_starts_at_once_make_each_run_once(
    spec: str, store: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text(spec)
    starts = [
        subprocess.Popen(
            [sys.executable, "-m", "hardy", "run", str(file)],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    told = [start.communicate(timeout=200) for start in starts]
    assert [start.returncode for start in starts] == [0, 0], told
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.get_experiment_by_name("hardy")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    if any("waiting for another process" in err for _, err in told):  # else one was far behind
        roles = Counter(run.data.tags["hardy.role"] for run in runs)
        assert roles == ({"parent": 1, "unit": 3} if spec == MATRIX else {"unit": 1})
    assert told[0][0].count("accuracy in %") == told[1][0].count("accuracy in %") == 1
