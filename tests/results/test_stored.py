"""What is said of a run comes from the store: the second it ended, and ever after."""

from pathlib import Path

import pytest
from PIL import Image

from hardy.cli.main import run
from hardy.results.report import parent_report
from hardy.results.request import unit_runs
from hardy.results.stored import StoredUnit
from hardy.results.table import best, markdown, parent_metrics, tables
from hardy.spec import resolve
from hardy.tasks.summary import summarise
from hardy.tracking.mlflow_tracker import MlflowTracker

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("store")]
SPEC = """\
name: try
data: {dataset: folder, root: photos, shift: {kind: contrast, severity: 1}}
model: {kind: timm, name: test_efficientnet, weights: random}
method: {kind: view_ensemble, views: {kind: cut, count: 2}}
matrix: {data.shift.severity: [1, 5]}
expect: [{metric: error, value: 1.0, tolerance: 0.01, source: a guess}]
explain: {gradcam: null, view_grids: 0}
compute: {workers: 0, device: cpu}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / "experiments").mkdir(parents=True)
    (folder / "MLproject").touch()
    for number, wnid in enumerate(("n01440764", "n02108422")):
        (folder / "photos" / wnid).mkdir(parents=True)
        for colour in ("red", "blue"):
            file = folder / "photos" / wnid / f"{colour}.jpg"
            Image.new("RGB", (64 + number, 64), colour).save(file)
    (folder / "experiments" / "try.yaml").write_text(SPEC)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    return folder


def stored(name: str = "try") -> tuple[MlflowTracker, list[StoredUnit]]:
    """Return the units of the last parent, by what the store alone says of them."""
    from hardy.tracking.lookup import find_run
    from hardy.tracking.recent import last_runs, local_store

    tracker = MlflowTracker()
    parent = tracker.get(find_run(last_runs(local_store())[name].run_id))
    return tracker, [StoredUnit(tracker, each) for each in unit_runs(tracker, parent)]


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert run(["run", "try"]) == 0
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("project")
def test_the_table_of_a_fresh_run_is_that_of_its_reuse(capsys: pytest.CaptureFixture[str]) -> None:
    fresh, again = told(capsys), told(capsys)
    reused = [line for line in again if "runs reused" in line]
    assert reused == ["2 of 2 runs reused; --again runs them anew"]
    assert [line for line in again if line not in reused] == fresh
    assert fresh[0].startswith("try: view_ensemble on test_efficientnet, folder")
    assert any(line.startswith("the best unit: try/") for line in fresh)

    tracker, units = stored()
    whole = resolve("try")
    assert [unit.experiment for unit in units] == [unit.experiment for unit in whole.units]
    for unit in units:
        assert (unit.main, unit.baseline) == ("view_ensemble", "source")
        assert unit.answered_digest == unit.tags["hardy.data_digest"]
        votes = unit.experiment.method.votes()
        found = summarise(unit.task, unit.frame, unit.main, unit.baseline, votes)
        assert found.items() <= dict(unit.metrics).items()
        assert len(unit.score()) == 4
    (table,) = tables(whole, units)
    rows = [" ".join(line.split()) for line in fresh]
    assert all(" ".join(row) in rows for row in table.rows)
    ((_, chosen),) = best(units)
    assert chosen.metrics["accuracy"] == max(unit.metrics["accuracy"] for unit in units)

    parent = tracker.get(units[0].tags["mlflow.parentRunId"])
    found = parent_metrics(whole, units)
    assert found.items() <= dict(parent.metrics).items()
    assert {"mean/accuracy", "mean/source/accuracy", "mean/nll", "units"} <= set(found)
    assert markdown(units) in parent.tags["mlflow.note.content"]
    for path, content in parent_report(whole, units):
        if isinstance(content, str):
            assert tracker.artifact(parent.run_id, path).read_text() == content

    check_the_same_under_another_name(capsys, tracker, units)


def check_the_same_under_another_name(
    capsys: pytest.CaptureFixture[str], tracker: MlflowTracker, units: list[StoredUnit]
) -> None:
    text = SPEC.replace("name: try", "name: other").replace("severity: [1, 5]", "severity: [5, 2]")
    Path("experiments/other.yaml").write_text(text)
    assert run(["run", "other"]) == 0
    told = capsys.readouterr()
    (first,) = [unit for unit in units if unit.shift == "contrast-5"]
    remark = f"{first.name.replace('try', 'other')} = run {first.name} ({first.run_id[:8]})"
    assert remark in told.out.splitlines()
    assert f"reuses run {first.run_id} of {first.name} (" in told.err
    _, (_, made) = stored("other")
    parent = tracker.get(made.tags["mlflow.parentRunId"])
    assert f"- {remark}" in parent.tags["mlflow.note.content"].splitlines()
