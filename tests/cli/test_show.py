from pathlib import Path

import pytest
import yaml

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
