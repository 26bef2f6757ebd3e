"""Every broken spec gives exactly the diagnostics beside it; HARDY_UPDATE=1 rewrites them."""

import os
from pathlib import Path

import pytest

from hardy.core.errors import SpecError
from hardy.spec import Diagnostics, resolve

CORPUS = Path(__file__).parent / "broken"
SPECS = sorted(CORPUS.glob("*.yaml"))


def overrides(spec: Path) -> list[str]:
    """Read the overrides that a first line `# set: ...` asks for."""
    first = spec.read_bytes().partition(b"\n")[0].decode(errors="replace")
    return [first.removeprefix("# set: ")] if first.startswith("# set: ") else []


def faults(spec: Path) -> Diagnostics:
    with pytest.raises(SpecError) as caught:
        resolve(spec.name, overrides(spec))
    assert isinstance(caught.value, Diagnostics)
    return caught.value


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_the_diagnostics_are_those_beside_the_spec(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CORPUS)
    text = str(faults(spec)) + "\n"
    expected = spec.with_suffix(".txt")
    if os.environ.get("HARDY_UPDATE"):
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")


def test_the_corpus_is_not_lost() -> None:
    assert len(SPECS) >= 40
    assert {spec.stem for spec in SPECS} == {text.stem for text in CORPUS.glob("*.txt")}


def test_all_four_faults_of_one_file_are_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CORPUS)
    found = faults(CORPUS / "four_faults_at_once.yaml").faults
    assert [(fault.line, fault.column, fault.path) for fault in found] == [
        (4, 9, "model.kind"),
        (8, 11, "method.select"),
        (9, 3, "method.step"),
        (11, 1, ""),
    ]
    assert [fault.suggestion for fault in found] == ["timm", "", "steps", ""]
    assert "line 10" in found[3].message
