from pathlib import Path

import pytest
import yaml

from hardy.cli.diff import Entry, lines
from hardy.cli.main import run
from hardy.spec import resolve

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def show(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["show", "quickstart", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("options", [[], ["--origin"]])
def test_each_unit_is_a_document(capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    documents = list(yaml.safe_load_all(show(capsys, *options)))
    units = resolve("quickstart").units
    assert documents == [u.experiment.model_dump(mode="json", by_alias=True) for u in units]


def test_what_is_shown_resolves_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "shown.yaml"
    path.write_text(show(capsys, "--set", "data.shift.kind=fog"))
    original = resolve("quickstart", ["data.shift.kind=fog"]).units[0].experiment
    assert resolve(str(path)).units[0].experiment == original


def test_each_leaf_says_where_it_was_set(capsys: pytest.CaptureFixture[str]) -> None:
    lines = show(capsys, "--origin", "--set", "data.shift.kind=fog seed=3").splitlines()
    source = (ROOT / "experiments" / "quickstart.yaml").read_text().splitlines()
    seed = source.index("seed: 0") + 1
    assert "    kind: fog  # override 'data.shift.kind=fog'" in lines
    assert f"seed: 3  # override 'seed=3', over 0 (experiments/quickstart.yaml:{seed})" in lines
    assert "precision: 32-true  # default" in lines
    assert all("#" in line for line in lines if not line.endswith(":"))


def test_a_spec_agrees_with_itself(capsys: pytest.CaptureFixture[str]) -> None:
    told = show(capsys, "--diff", "experiments/quickstart.yaml")
    assert told == "quickstart and experiments/quickstart.yaml agree in every value\n"


def test_two_specs_by_value(capsys: pytest.CaptureFixture[str]) -> None:
    changes = "method.steps=2 data.shift.kind=fog description='another one'"
    assert run(["show", "quickstart", "--set", changes, "--diff", "quickstart"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["- quickstart", "+ quickstart"]
    at = {line: lines[n + 1 : n + 3] for n, line in enumerate(lines) if line[0] not in " +-"}
    assert list(at) == ["name", "description", "data.shift.kind", "method.steps"]
    assert at["method.steps"] == ["  - 2", "  + 1"]
    assert at["data.shift.kind"] == ["  - fog", "  + gaussian_noise | contrast | pixelate"]


def test_a_kind_of_another_shape_is_absent_on_the_other_side(
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = "method={kind: source}"
    assert run(["show", "quickstart", "--set", source, "--diff", "quickstart"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("method.steps") + 1] == "  - absent"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["show", "quickstart", "--diff", "quickstrat"], 2, "quickstart"),
        (["show", "quickstart", "--diff", "quickstart", "--origin"], 2, "do not go together"),
        (["show", "abcdef", "--set", "seed=1"], 2, "cannot be overridden"),
        (["show", "quickstart", "--diff", "abcdef"], 1, "no runs whose ids begin with abcdef"),
    ],
)
def test_what_cannot_be_compared(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, words: str
) -> None:
    assert run(arguments) == status
    assert words in capsys.readouterr().err


def test_colours_tell_the_sides_apart() -> None:
    entry = Entry("seed", ("0",), ("1", "2"))
    painted = list(lines([entry], "a", "b", color=True))
    assert painted[3] == "\x1b[31m  - 0\x1b[0m"
    assert painted[4] == "\x1b[32m  + 1 | 2\x1b[0m"
    assert list(lines([entry], "a", "b", color=False))[2:] == ["seed", "  - 0", "  + 1 | 2"]


SEARCHED = Path("tests/spec/broken/parts/a_good_search.yaml")


def test_a_search_is_shown_with_its_settings(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["show", str(SEARCHED), "--set", "search.seeds=[1, 2]", "--origin"]) == 0
    told = capsys.readouterr().out
    assert "\n    trials: 10  # tests/spec/broken/parts/a_good_search.yaml:9\n" in told
    assert "\n    kind: tpe  # default\n" in told
    path = tmp_path / "shown.yaml"
    path.write_text(told)
    again, original = resolve(str(path)), resolve(str(SEARCHED), ["search.seeds=[1, 2]"])
    assert again.search == original.search
    assert again.units == original.units
    assert run(["show", str(SEARCHED), "--set", "search.budget.trials=9", "--diff", str(path)]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[told.index("search.budget.trials") + 1 :][:2] == ["  - 9", "  + 10"]
