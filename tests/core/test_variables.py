from pathlib import Path

import pytest

from hardy.core.errors import SpecError
from hardy.core.variables import expand


def test_paths_are_expanded_where_they_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARDY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HARDY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", "/root-of-all")
    assert expand("${HARDY_DATA}/a") == f"{tmp_path}/data/a"
    assert expand("x/${HARDY_HOME}/${HOME}") == f"x/{tmp_path}/home//root-of-all"
    assert expand("$HOME/{HOME}") == "$HOME/{HOME}"


def test_the_default_data_folder_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARDY_DATA", raising=False)
    monkeypatch.setenv("HARDY_HOME", str(tmp_path))
    assert expand("${HARDY_DATA}") == str(tmp_path / "data")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("${PATH}", "Allowed are"),
        ("${HARDY_DTA}", "HARDY_DATA"),
        ("${}", "Allowed are"),
        ("${X", "Allowed are"),
    ],
)
def test_other_variables_are_refused(text: str, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        expand(text)
    assert hint in caught.value.hint
