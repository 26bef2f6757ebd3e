from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardy.spec import resolve
from hardy.spec.matrix import Axis, choices
from hardy.spec.node import Node, Origin, Source

PLACE = Origin(Source("test", ()), 1, 1, 2)


def write(project: Path, matrix: str) -> str:
    text = f"extends: base/parts.yaml\nname: grid\nmatrix: {matrix}\n"
    (project / "experiments" / "grid.yaml").write_text(text)
    return "grid"


def test_the_product_comes_in_the_file_s_order(project: Path) -> None:
    resolved = resolve(write(project, "{seed: [2, 1], data.shift.kind: [snow, fog]}"))
    found = [(u.choices["seed"], u.choices["data.shift.kind"]) for u in resolved.units]
    assert found == list(product([2, 1], ["snow", "fog"]))
    assert [u.experiment.name for u in resolved.units] == [
        "grid/2-snow", "grid/2-fog", "grid/1-snow", "grid/1-fog",
    ]  # fmt: skip
    assert resolved.name == "grid"
    for unit in resolved.units:
        assert unit.experiment.data.shift is not None
        assert unit.experiment.data.shift.kind == unit.choices["data.shift.kind"]


@pytest.mark.parametrize(
    ("matrix", "names"),
    [
        ("{method: [{kind: source}, {kind: memo, steps: 2}]}", ["source", "memo"]),
        ("{method: [{kind: memo}, {kind: memo, steps: 2}]}", ["memo.1", "memo.2"]),
        ("{method.bn_prior: [null, 16, 0.5]}", ["none", "16", "0.5"]),
        ("{data.root: [A/b, a b]}", ["a-b.1", "a-b.2"]),
        ("{explain.gradcam: [null, {count: 1}]}", ["none", "mapping"]),
    ],
)
def test_labels(project: Path, matrix: str, names: list[str]) -> None:
    units = resolve(write(project, matrix)).units
    assert [unit.experiment.name for unit in units] == [f"grid/{name}" for name in names]


def test_a_choice_says_where_it_stands(project: Path) -> None:
    unit = resolve(write(project, "{method.steps: [2, 3]}")).units[1]
    now, before = unit.origins["method", "steps"]
    assert (now.value, now.origin.line, now.origin.column) == (3, 3, 28)
    assert before.value == 1


values = st.lists(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), min_size=1, max_size=4
)


@given(st.lists(values, min_size=1, max_size=3))
def test_labels_are_unique_and_fit_a_name(axes: list[list[Any]]) -> None:
    made = tuple(
        Axis((str(i),), tuple(Node(v, PLACE) for v in axis), PLACE) for i, axis in enumerate(axes)
    )
    labels = [choice.label for choice in choices(made, [])]
    assert len(set(labels)) == len(labels)
    for label in labels:
        assert len(label) <= 110
        assert set(label) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")
