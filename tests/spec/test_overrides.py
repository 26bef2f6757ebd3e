from pathlib import Path

import pytest

from hardy.spec import resolve
from hardy.spec.diagnostics import Diagnostic
from hardy.spec.overrides import read_overrides, split


@pytest.fixture
def spec(project: Path) -> str:
    (project / "experiments" / "a.yaml").write_text(
        "extends: base/parts.yaml\nname: a\n"
        "matrix: {data.shift.kind: [fog, snow], seed: [1, 2]}\n"
        "expect: [{metric: accuracy, value: 0.5, tolerance: 0.1, source: x}]\n"
    )
    return "a"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("", []),
        ("  \n ", []),
        ("a=1 b.c=2\td=3", ["a=1", "b.c=2", "d=3"]),
        ("a={kind: sgd, lr: 1e-3} b=[1, 2]", ["a={kind: sgd, lr: 1e-3}", "b=[1, 2]"]),
        ("a={b: [1, {c: 2}]} d=1", ["a={b: [1, {c: 2}]}", "d=1"]),
        ("a={b: 'x } y', c: it's} d=1", ["a={b: 'x } y', c: it's}", "d=1"]),
        ("a='two words' b=1", ["a='two words'", "b=1"]),
        ('a="say \\"hi\\" now" b=1', ['a="say \\"hi\\" now"', "b=1"]),
        ("'a=two words' \"b=3 4\"", ["a=two words", "b=3 4"]),
        ("a=it's b=x[1", ["a=it's", "b=x[1"]),
        ("a=[1, 2", ["a=[1, 2"]),
        ("seed 3", ["seed", "3"]),
        ("a= b=1", ["a=", "b=1"]),
        ("[x y=1", ["[x", "y=1"]),
    ],
)
def test_splitting(entry: str, words: list[str]) -> None:
    assert split(entry) == words


def test_values_are_yaml_1_2() -> None:
    faults: list[Diagnostic] = []
    entries = ["a=1e-3 b=on c= d=[1,2] e={kind: sgd}", "f.0.g='3'"]
    found = {o.path: o.value.plain() for o in read_overrides(entries, faults)}
    assert not faults
    assert found == {
        ("a",): 0.001,
        ("b",): "on",
        ("c",): None,
        ("d",): [1, 2],
        ("e",): {"kind": "sgd"},
        ("f", "0", "g"): "3",
    }


@pytest.mark.usefixtures("project")
def test_an_override_comes_last_and_is_quoted(spec: str) -> None:
    resolved = resolve(spec, ["seed=7 expect.0.value=0.25", "", "method.steps=3"])
    assert len(resolved.units) == 2
    unit = resolved.units[0]
    assert unit.experiment.seed == 7
    assert unit.experiment.expect[0].value == 0.25
    steps = [(setting.value, str(setting.origin)) for setting in unit.origins["method", "steps"]]
    assert steps == [
        (3, "override 'method.steps=3'"),
        (1, "experiments/base/parts.yaml:3"),
    ]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("override", "axes"),
    [
        ("data.shift.kind=contrast", {"seed": [1, 2]}),
        ("data.shift={kind: contrast}", {"seed": [1, 2]}),
        ("data.shift.severity=5", {"data.shift.kind": ["fog", "snow"], "seed": [1, 2]}),
        ("matrix.seed=[3]", {"data.shift.kind": ["fog", "snow"], "seed": [3]}),
        ("matrix.method.steps=[1,2]", {
            "data.shift.kind": ["fog", "snow"], "seed": [1, 2], "method.steps": [1, 2],
        }),
        ("matrix={seed: [4]}", {"seed": [4]}),
    ],
)  # fmt: skip
def test_an_override_of_an_axis_takes_it_out(
    spec: str, override: str, axes: dict[str, list[object]]
) -> None:
    resolved = resolve(spec, [override])
    assert resolved.matrix == axes


@pytest.mark.usefixtures("project")
def test_no_matrix_leaves_the_name_alone(spec: str) -> None:
    units = resolve(spec, ["matrix="]).units
    assert [unit.experiment.name for unit in units] == ["a"]
    assert units[0].choices == {}
