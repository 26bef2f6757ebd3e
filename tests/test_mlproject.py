"""MLflow checks next to nothing of MLproject: a mistyped key is ignored. So it is checked here."""

import shlex
import string
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from mlflow.exceptions import ExecutionException
from mlflow.projects._project_spec import load_project
from mlflow.utils.environment import _PythonEnv

from hardy.cli.main import cli
from hardy.spec import resolve

ROOT = Path(__file__).parents[1]
ENTRY_POINTS = ("main", "validate", "plan", "resume", "reproduce", "promote")
TYPES = {"string": str, "float": float}
VALUES = {"spec": "quickstart", "set": "seed=3", "run": "abcdef", "tolerance": "0.5"}


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
            assert set(parameter) in ({"type", "default"}, {"type"})
            assert isinstance(parameter.get("default", ""), (str, TYPES[parameter["type"]]))


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_command_uses_each_declared_parameter_and_no_other(name: str) -> None:
    entry = read("MLproject")["entry_points"][name]
    used = {field for _, field, _, _ in string.Formatter().parse(entry["command"]) if field}
    assert used == set(entry["parameters"])
    # MLflow quotes the values; quotes of our own would undo that.
    assert not set("\"'") & set(entry["command"])


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_command_is_one_that_the_verb_takes(name: str) -> None:
    values = {**VALUES, "policy": "imagenet-robust"}
    project = load_project(str(ROOT)).get_entry_point(name)
    known = {key: values[key] for key in read("MLproject")["entry_points"][name]["parameters"]}
    words = shlex.split(project.compute_command(known, None))
    assert words[:4] == ["PYTHONPATH=src", "python", "-m", "hardy"]
    verb = cli.get_command(click.Context(cli), words[4])
    assert verb is not None
    # Parsed whole: a misspelt option or a missing argument is refused here.
    context = verb.make_context(words[4], words[5:])
    told = [v if isinstance(v, tuple) else (v,) for v in context.params.values()]
    assert set(known.values()) <= {str(value) for values in told for value in values}


@pytest.mark.parametrize(
    ("name", "words"), [("resume", "resume RUN"), ("reproduce", "reproduce RUN --tolerance 0.0")]
)
def test_a_run_has_no_default(name: str, words: str) -> None:
    entry = load_project(str(ROOT)).get_entry_point(name)
    with pytest.raises(ExecutionException, match="No value given"):
        entry.compute_command({}, None)
    assert entry.compute_command({"run": "RUN"}, None).endswith(words)


@pytest.mark.parametrize("spec", ["quickstart", "experiments/quickstart.yaml"])
def test_a_spec_is_a_name_or_a_path(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    command = load_project(str(ROOT)).get_entry_point("main").compute_command({"spec": spec}, None)
    words = shlex.split(command)
    assert resolve(words[5], words[7:]).name == "quickstart"


def test_mlflow_builds_the_command_with_quoted_values() -> None:
    main = load_project(str(ROOT)).get_entry_point("main")
    command = main.compute_command({"spec": "a b.yaml", "set": "method.steps=2"}, None)
    assert command.endswith("hardy run 'a b.yaml' --set method.steps=2")
    assert main.compute_command({}, None).endswith("run experiments/quickstart.yaml --set ''")


@pytest.mark.parametrize(("name", "known"), [("main", {}), ("resume", {"run": "abcdef"})])
def test_jobs_are_handed_on_to_the_verb(name: str, known: dict[str, str]) -> None:
    entry = load_project(str(ROOT)).get_entry_point(name)
    words = shlex.split(entry.compute_command({**known, "jobs": "2"}, None))
    verb = cli.get_command(click.Context(cli), words[4])
    assert verb is not None
    assert verb.make_context(words[4], words[5:]).params["jobs"] == 2


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


def test_the_readme_makes_the_environment_that_the_file_names() -> None:
    """Conda itself is not here to be asked: what is told must be what the file has."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    name = read("conda.yaml")["name"]
    assert f"conda env create -f conda.yaml\nconda activate {name}\n" in text
