import subprocess
from pathlib import Path

import mlflow
import pytest

from hardy.core.hashing import canonical_json
from hardy.tracking.provenance import environment, git_tags, source_tags


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git_tags.cache_clear()
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("a = 1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def test_clean_tree_has_a_commit_alone(repository: Path) -> None:
    assert git_tags(repository) == {
        "mlflow.source.git.commit": git(repository, "rev-parse", "HEAD")
    }


def test_each_change_has_a_digest_of_its_own(repository: Path) -> None:
    digests = set()
    for text in ("a = 2\n", "a = 3\n"):
        git_tags.cache_clear()
        (repository / "code.py").write_text(text)
        digests.add(git_tags(repository)["hardy.git_dirty"])
    assert len(digests) == 2


def test_no_repository_no_tags(tmp_path: Path) -> None:
    git_tags.cache_clear()
    assert git_tags(tmp_path / "absent") == {}


def test_environment_is_json_and_names_the_installed_versions() -> None:
    found = environment()
    assert canonical_json(found)
    assert found["packages"]["mlflow"] == mlflow.__version__
    assert found["hardware"]["memory_bytes"] > 0


def test_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError

    monkeypatch.setattr("getpass.getuser", nameless)
    assert source_tags()["mlflow.user"].isdigit()


@pytest.mark.parametrize(("first", "name"), [("/opt/bin/hardy", "hardy"), ("", "python")])
def test_the_source_is_the_program(monkeypatch: pytest.MonkeyPatch, first: str, name: str) -> None:
    monkeypatch.setattr("sys.argv", [first, "run"])
    assert source_tags()["mlflow.source.name"] == name
