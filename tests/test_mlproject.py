"""MLflow checks next to nothing of MLproject: a mistyped key is ignored. So it is checked here."""

import string
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.projects._project_spec import load_project
from mlflow.utils.environment import _PythonEnv

ROOT = Path(__file__).parents[1]
ENTRY_POINTS = ("main", "validate")


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / name).read_text())


def pip_list() -> list[str]:
    (pip,) = [entry for entry in read("conda.yaml")["dependencies"] if isinstance(entry, dict)]
    return pip["pip"]


def test_mlproject_has_known_keys_alone() -> None:
    project = read("MLproject")
    assert set(project) == {"name", "conda_env", "entry_points"}
    assert set(project["entry_points"]) == set(ENTRY_POINTS)
    for entry in project["entry_points"].values():
        assert set(entry) == {"parameters", "command"}
        for parameter in entry["parameters"].values():
            assert set(parameter) == {"type", "default"}
            assert parameter["type"] == "string"


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_command_uses_each_declared_parameter_and_no_other(name: str) -> None:
    entry = read("MLproject")["entry_points"][name]
    used = {field for _, field, _, _ in string.Formatter().parse(entry["command"]) if field}
    assert used == set(entry["parameters"])
    # MLflow quotes the values; quotes of our own would undo that.
    assert not set("\"'") & set(entry["command"])


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_command_names_a_verb_that_exists(name: str) -> None:
    words = read("MLproject")["entry_points"][name]["command"].split()
    assert words[:4] == ["PYTHONPATH=src", "python", "-m", "hardy"]
    assert (ROOT / "src" / "hardy" / "cli" / f"{words[4]}.py").is_file()


def test_mlflow_builds_the_command_with_quoted_values() -> None:
    main = load_project(str(ROOT)).get_entry_point("main")
    command = main.compute_command({"spec": "a b.yaml", "set": "method.steps=2"}, None)
    assert command.endswith("hardy run 'a b.yaml' --set method.steps=2")
    assert main.compute_command({}, None).endswith("run experiments/quickstart.yaml --set ''")


def test_conda_pip_list_is_that_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["demo"]
    assert pip_list() == wanted


def test_uv_and_virtualenv_read_conda_yaml() -> None:
    environment = _PythonEnv.from_conda_yaml(str(ROOT / "conda.yaml"))
    assert environment.python == "3.11"
    assert environment.build_dependencies == ["pip"]
    assert environment.dependencies == pip_list()


def test_no_lock_file_that_mlflow_would_prefer() -> None:
    # With uv.lock at the root, MLflow installs from it and ignores conda.yaml.
    assert not (ROOT / "uv.lock").exists()
