import pytest

from hardy.core.errors import SpecError
from hardy.core.paths import data_dir, home, project_root, safe_name, state_dir


def test_the_root_is_found_from_a_folder_below_it(tmp_path, monkeypatch):
    (tmp_path / "experiments" / "memo").mkdir(parents=True)
    (tmp_path / "MLproject").touch()
    monkeypatch.chdir(tmp_path / "experiments" / "memo")
    assert project_root() == tmp_path


def test_home_is_stated_or_the_root(tmp_path, monkeypatch):
    monkeypatch.delenv("HARDY_HOME", raising=False)
    monkeypatch.delenv("HARDY_DATA", raising=False)
    assert home() == project_root()
    monkeypatch.setenv("HARDY_HOME", str(tmp_path / "h"))
    assert home() == tmp_path / "h"
    for _ in range(2):  # made, found
        assert state_dir() == tmp_path / "h" / ".hardy"
    assert data_dir() == tmp_path / "h" / "data"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\0", "-x", "a b", "a\\b"])
def test_names_that_could_leave_a_folder_are_refused(name):
    with pytest.raises(SpecError, match="run id"):
        safe_name(name, what="run id")


def test_a_plain_name_passes():
    assert safe_name("resnet50.a1_in1k-2", what="model") == "resnet50.a1_in1k-2"
