import re
import subprocess
import sys
from pathlib import Path

import pytest

from hardy.cli.list import TABLES
from hardy.cli.main import run
from hardy.data.cards import DATASETS
from hardy.data.spec import CORRUPTIONS
from hardy.spec import json_schema
from hardy.tasks.names import METRICS

ROOT = Path(__file__).parents[2]


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[list[str]]:
    assert run(["list", *arguments]) == 0
    return [line.split(None, 1) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("datasets", list(DATASETS)),
        ("corruptions", list(CORRUPTIONS)),
        ("metrics", list(METRICS)),
        ("tasks", ["classify", "segment", "reconstruct", "represent"]),
    ],
)
def test_catalogs(capsys: pytest.CaptureFixture[str], what: str, names: list[str]) -> None:
    rows = listed(capsys, what)
    assert [name for name, _ in rows] == names


def test_metrics_say_which_way_is_better_and_of_which_task(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = dict(listed(capsys, "metrics"))
    assert rows["accuracy"].startswith("higher   classify     share of samples")
    assert rows["nll"].startswith("lower    classify")
    assert rows["entropy"].startswith("neither  classify")
    assert rows["seconds_per_sample"].startswith("lower    all")


def test_methods_say_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    rows = dict(listed(capsys, "methods"))
    assert rows["memo"].startswith("Minimise the entropy")
    assert "source" in rows


def test_experiments_come_by_family(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "MLproject").touch()
    for name in ("b/two", "a", "b/one", "base/part", "suites/all"):
        path = tmp_path / "experiments" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"description: about {name}\n")
    monkeypatch.chdir(tmp_path)
    assert run(["list"]) == 0
    assert capsys.readouterr().out == ("a      about a\n\nb/one  about b/one\nb/two  about b/two\n")


def test_an_empty_project_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "MLproject").touch()
    (tmp_path / "experiments").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run(["list"]) == 0
    assert "there are no experiments here" in capsys.readouterr().err


def test_the_quickstart_is_listed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    rows = dict(row for row in listed(capsys) if len(row) == 2)
    assert rows["quickstart"].startswith("MEMO on 20 ImageNet photographs")


def test_a_description_is_inherited(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "MLproject").touch()
    (tmp_path / "experiments" / "base").mkdir(parents=True)
    (tmp_path / "experiments" / "base" / "part.yaml").write_text("description: from below\n")
    (tmp_path / "experiments" / "one.yaml").write_text("extends: base/part.yaml\nname: one\n")
    (tmp_path / "experiments" / "two.yaml").write_text("extends: base/absent.yaml\n")
    monkeypatch.chdir(tmp_path)
    assert run(["list"]) == 0
    assert capsys.readouterr().out == "one  from below\ntwo\n"


@pytest.fixture
def quickstart_ran(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped run of the quickstart in the store."""
    from hardy.plan.tracker import Status
    from hardy.tracking.mlflow_tracker import MlflowTracker

    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    monkeypatch.chdir(ROOT)
    made = MlflowTracker().start("quickstart", tags={"hardy.spec": "quickstart"})
    made.metrics({"mean/accuracy": 0.61666, "mean/nll": 2.0, "units": 3})
    made.end(Status.KILLED)


@pytest.mark.usefixtures("quickstart_ran")
@pytest.mark.parametrize("options", [[], ["--runs"]])
def test_the_last_run_stands_beside_its_experiment(
    capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    rows = listed(capsys, *options)
    (row,) = [rest for name, *rest in (r for r in rows if r) if name == "quickstart"]
    assert re.match(
        r"20\d\d-\d\d-\d\d \d\d:\d\d  killed  mean/accuracy 0.6167  MEMO on 20 ImageNet", row[0]
    )


@pytest.mark.usefixtures("quickstart_ran")
def test_the_last_runs_are_read_without_mlflow() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "hardy", "list"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "killed" in done.stdout
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "hardy.tracking.recent" in modules
    assert not {"mlflow", "torch", "sqlalchemy"} & modules


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("description: x\nsearch:\n  space: {}\n", True),
        ("description: x\nsearch: {}\n", True),
        ("search: null # none\ndescription: x\n", False),
        ("description: x\na:\n  search: {}\n", False),
    ],
)
def test_searches_are_marked(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    marked: bool,
) -> None:
    (tmp_path / "MLproject").touch()
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "a.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert run(["list"]) == 0
    assert capsys.readouterr().out.startswith("a  search: ") == marked


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("shifts", [*CORRUPTIONS, "gaussian_sigma", "blur_percent", "salt_and_pepper"]),
        ("views", ["identity", "cut", "augmix", "photometric", "operations", "compose"]),
        ("operations", ["rotation", "zoom", "horizontal_flip"]),
    ],
)
def test_what_is_done_to_images_is_listed(
    capsys: pytest.CaptureFixture[str], what: str, names: list[str]
) -> None:
    rows = listed(capsys, what)
    assert [name for name, _ in rows][: len(names)] == names
    assert all(len(rest) > 10 for _, rest in rows)


def test_every_shift_and_every_operation_that_a_spec_takes_is_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    definitions = json_schema()["$defs"]
    for name in dict(listed(capsys, "shifts")).keys() - set(CORRUPTIONS):
        assert any(
            found.get("properties", {}).get("kind", {}).get("const") == name
            for found in definitions.values()
        )
    taken = set(definitions["OperationsStep"]["properties"]["names"]["items"]["anyOf"][0]["enum"])
    assert set(dict(listed(capsys, "operations"))) == taken


def test_shifts_say_their_fields(capsys: pytest.CaptureFixture[str]) -> None:
    rows = dict(listed(capsys, "shifts"))
    assert rows["fog"].startswith("severity: ")
    assert rows["mask"].startswith("area, shape, patch, fill, sides: ")
    assert rows["one_of"].startswith("shifts, probability: ")


@pytest.mark.usefixtures("quickstart_ran")
@pytest.mark.parametrize("options", [[], ["--runs"]])
def test_runs_of_files_elsewhere_come_last(
    capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    from hardy.plan.tracker import Status
    from hardy.tracking.mlflow_tracker import MlflowTracker

    tracker = MlflowTracker()
    made = {}
    for name, tags in (
        ("mine", {"hardy.role": "unit"}),
        ("quickstart", {"hardy.role": "parent"}),  # a file of that name elsewhere
        ("x", {"hardy.spec": "old/gone", "hardy.role": "unit"}),
        ("smoke", {"hardy.role": "unit", "hardy.aside": "smoke"}),
    ):
        made[name] = tracker.start(name, tags=tags)
        made[name].end(Status.FINISHED)
    rows = [row for row in listed(capsys, *options) if row]
    (_, *last) = rows[-4:]
    assert [name for name, _ in last] == ["mine", "quickstart", "old/gone"]
    for (_, rest), name, where in zip(
        last,
        ("mine", "quickstart", "x"),
        ("elsewhere", "elsewhere", "that is gone"),
        strict=True,
    ):
        assert "finished" in rest
        assert rest.endswith(f"run {made[name].run_id[:8]}, of a file {where}")


@pytest.mark.usefixtures("quickstart_ran")
@pytest.mark.parametrize("what", list(TABLES))
def test_tables_fit_80_columns_and_lose_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert run(["list", what]) == 0
    whole = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["list", what]) == 0
    narrow = capsys.readouterr().out
    assert max(map(len, narrow.splitlines())) <= 80
    assert sorted(narrow.split()) == sorted(whole.split())
