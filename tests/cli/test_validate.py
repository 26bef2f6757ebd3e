import json
from pathlib import Path

import pytest

from hardy.cli.main import run

ROOT = Path(__file__).parents[2]
BROKEN = Path("tests/spec/broken")


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_a_good_spec_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "quickstart"]) == 0
    assert capsys.readouterr().out == "ok  quickstart  3 units\n"


def test_overrides_hold(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--set", "data.shift.kind=fog seed=3", "--set", ""]
    assert run(["validate", "quickstart", *arguments]) == 0
    assert capsys.readouterr().out == "ok  quickstart  1 unit\n"


def test_a_search_says_how_many_trials(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", str(BROKEN / "parts" / "a_good_search.yaml")]) == 0
    assert capsys.readouterr().out == "ok  searched  search over 1 value, 10 trials of 1 unit\n"


def test_all_faults_of_all_files(capsys: pytest.CaptureFixture[str]) -> None:
    specs = [str(BROKEN / "four_faults_at_once.yaml"), str(BROKEN / "empty.yaml")]
    assert run(["validate", specs[0], "quickstart", specs[1], "quikstart"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "ok  quickstart  3 units\n"
    heads = [line for line in captured.err.splitlines() if line.startswith(str(BROKEN))]
    assert len(heads) == 5
    assert "hint: Did you mean 'quickstart'" in captured.err
    assert "\x1b" not in captured.err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    bad = str(BROKEN / "unknown_dataset.yaml")
    assert run(["validate", bad, "quickstart", "quikstart", "--format", "json"]) == 2
    broken, good, unknown = json.loads(capsys.readouterr().out)
    assert (broken["spec"], broken["ok"], broken["units"]) == (bad, False, [])
    (fault,) = broken["faults"]
    assert (fault["file"], fault["line"], fault["column"]) == (bad, 2, 17)
    assert fault["suggestion"].startswith("imagenet-sample")
    assert good["ok"]
    assert good["units"][0] == "quickstart/gaussian_noise"
    assert unknown["faults"][0]["hint"].startswith("Did you mean 'quickstart'")


def test_a_policy_is_checked_by_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "registry/imagenet-robust.yaml", "quickstart"]) == 0
    assert capsys.readouterr().out == "ok  policy imagenet-robust\nok  quickstart  3 units\n"
    assert run(["validate", "registry/imagenet-robust.yaml", "--format", "json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["name"], told["units"]) == (True, "imagenet-robust", [])
    assert run(["validate", "registry/imagenet-robus.yaml"]) == 2
    assert "Did you mean 'imagenet-robust'" in capsys.readouterr().err
