"""What messages say of names, patterns, folders and keys: nothing that only a machine reads."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import hardy.registry.spec
import hardy.spec
from hardy.core.errors import SpecError
from hardy.core.spec import Spec
from hardy.spec import Diagnostics, load_policy, resolve
from hardy.spec.check import check
from hardy.spec.find import find_spec
from hardy.spec.load import read_bytes

_NO_FILE = ("hardy.registry.bundle",)  # hardy writes these itself


def patterned() -> Iterator[tuple[type[Spec], str]]:
    """Yield every schema and key of it whose text is held against a pattern."""
    waiting = Spec.__subclasses__()
    while waiting:
        model = waiting.pop()
        waiting += model.__subclasses__()
        if not model.__module__.startswith("hardy.") or model.__module__ in _NO_FILE:
            continue
        for key, field in model.model_json_schema(by_alias=True).get("properties", {}).items():
            if '"pattern"' in json.dumps(field):
                yield model, key


CASES = sorted(set(patterned()), key=lambda case: (case[0].__module__, case[0].__name__, case[1]))


@pytest.mark.parametrize(("model", "key"), CASES, ids=lambda part: getattr(part, "__name__", part))
def test_a_pattern_is_told_in_words(model: type[Spec], key: str) -> None:
    faults: list = []
    tree = read_bytes(f'{key}: " ?/"\n'.encode(), "it.yaml", faults)
    assert tree is not None
    check(model, tree, faults)
    (told,) = (fault for fault in faults if fault.path == key)
    assert len(told.expected) > 40
    assert not set("^$\\") & set(told.render().partition("expected")[2])


def test_patterns_are_found() -> None:
    found = {(model.__name__, key) for model, key in CASES}
    assert {("Experiment", "name"), ("Suite", "name"), ("Policy", "model")} < found
    assert ("TimmModel", "weights") in found
    assert hardy.registry.spec.Policy is not None
    assert hardy.spec.resolve is resolve


@pytest.mark.parametrize(
    "name", ["a//b", "a/../b", "a/./b", "a/..", "a/", "/a", "../a", "a b", "A", "a/.../b"]
)
def test_what_is_no_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "it.yaml").write_text(f'name: "{name}"\n')
    with pytest.raises(Diagnostics) as caught:
        resolve(str(tmp_path / "it.yaml"))
    (told,) = (fault for fault in caught.value.faults if fault.path == "name")
    assert "divides families" in told.expected


@pytest.mark.parametrize("name", ["a", "a/b", "a/.b", "a/0.5-x", "9", "a/_b/-c", "a../b"])
def test_what_is_one(name: str, tmp_path: Path) -> None:
    (tmp_path / "it.yaml").write_text(f'name: "{name}"\n')
    with pytest.raises(Diagnostics) as caught:
        resolve(str(tmp_path / "it.yaml"))
    assert "name" not in [fault.path for fault in caught.value.faults]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "MLproject").touch()
    (tmp_path / "registry").mkdir()
    (tmp_path / "experiments" / "memo").mkdir(parents=True)
    for name in ("a", "memo/b", "memo/c"):
        (tmp_path / "experiments" / f"{name}.yaml").write_text("description: x\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_names_below_experiments_have_no_way_around(project: Path) -> None:
    assert find_spec("memo/b") == project / "experiments" / "memo" / "b.yaml"
    assert find_spec("experiments/memo/../a") == project / "experiments" / "a.yaml"  # a path
    for name in ("memo//b", "memo/../a", "./a", "memo/./b"):
        with pytest.raises(SpecError, match="there is no experiment"):
            find_spec(name)


def test_a_folder_says_what_it_holds(project: Path) -> None:
    (project / "empty").mkdir()
    for name in ("memo", "experiments/memo", "experiments/memo/"):
        with pytest.raises(SpecError, match="is a folder, and a spec is a file") as caught:
            find_spec(name)
        start = name.rstrip("/")
        assert caught.value.hint == f"It holds {start}/b, {start}/c: name one."
    with pytest.raises(SpecError, match="'empty' is a folder") as caught:
        find_spec("empty")
    assert "`hardy list`" in caught.value.hint


def test_extends_of_a_folder(project: Path) -> None:
    (project / "it.yaml").write_text("extends: experiments/memo\n")
    with pytest.raises(Diagnostics, match="experiments/memo is a folder"):
        resolve("it")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("matrx", "matrix"), ("extend", "extends"), ("suit", "suite"), ("serch", "search")],
)
def test_keys_of_files_are_suggested(project: Path, wrong: str, right: str) -> None:
    (project / "it.yaml").write_text(f"name: x\n{wrong}: {{}}\n")
    with pytest.raises(Diagnostics) as caught:
        resolve("it")
    (told,) = (fault for fault in caught.value.faults if fault.path == wrong)
    assert right in told.suggestion.split(" or ")
    assert {"extends", "matrix", "search", "suite"} <= set(told.expected[7:].split(", "))


def test_keys_of_suites_are_suggested(project: Path) -> None:
    (project / "it.yaml").write_text("name: x\nsuite: [a]\nextend: b.yaml\n")
    with pytest.raises(Diagnostics) as caught:
        resolve("it")
    assert caught.value.faults[0].suggestion == "extends"


def test_an_unknown_policy_says_what_to_write_where(project: Path) -> None:
    with pytest.raises(SpecError, match="there is no policy 'mine'") as caught:
        load_policy("mine")
    assert "Known policies: none. A new one is a file registry/NAME.yaml with" in caught.value.hint
    (project / "it.yaml").write_text("name: x\nregister: mine\n")
    with pytest.raises(Diagnostics) as faults:
        resolve("it")
    (told,) = (fault for fault in faults.value.faults if fault.path == "register")
    assert told.expected.startswith("a file registry/NAME.yaml with `model: NAME`")


def test_what_the_hint_says_to_write_is_a_policy(project: Path) -> None:
    text = "model: mine\ncandidates: {experiments: [mine], dataset: shapes}\n"
    (project / "registry" / "mine.yaml").write_text(text)
    assert load_policy("mine").model == "mine"
