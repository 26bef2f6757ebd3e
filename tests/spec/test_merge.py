"""The merge rule against a second statement of it, and `extends` over files."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardy.spec import Diagnostics, resolve
from hardy.spec.merge import merge
from hardy.spec.node import Node, Origin, Source

PLACE = Origin(Source("test", ()), 1, 1, 2)


def tree(value: Any) -> Node:
    if isinstance(value, dict):
        return Node({key: tree(below) for key, below in value.items()}, PLACE)
    if isinstance(value, list):
        return Node([tree(item) for item in value], PLACE)
    return Node(value, PLACE)


def expected(base: Any, later: Any) -> Any:
    """State the rule of merge.py on plain values."""
    if not isinstance(base, dict) or not isinstance(later, dict):
        return later
    if "kind" in base and "kind" in later and base["kind"] != later["kind"]:
        return later
    both = {k: expected(base[k], later[k]) for k in base.keys() & later.keys()}
    return {**base, **later, **both}


scalars = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "b"])
leaves = scalars | st.lists(scalars, max_size=2)
anything = st.recursive(
    leaves, lambda below: st.dictionaries(st.sampled_from(["kind", "x", "y"]), below), max_leaves=12
)
mappings = st.dictionaries(st.sampled_from(["kind", "x", "y", "z"]), anything)
# Keys that always hold a mapping or always a leaf, and no `kind`: here nothing is replaced whole.
shaped = st.recursive(
    st.dictionaries(st.sampled_from(["leaf", "list"]), leaves),
    lambda below: st.dictionaries(st.sampled_from(["m", "n"]), below),
    max_leaves=8,
)


@given(mappings, mappings)
def test_merging_follows_the_rule(base: dict[str, Any], later: dict[str, Any]) -> None:
    assert merge(tree(base), tree(later)).plain() == expected(base, later)


@given(shaped, shaped, shaped)
def test_merging_is_associative_where_shapes_agree(
    a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]
) -> None:
    left = merge(merge(tree(a), tree(b)), tree(c)).plain()
    assert left == merge(tree(a), merge(tree(b), tree(c))).plain()


@given(mappings)
def test_an_empty_mapping_changes_nothing(value: dict[str, Any]) -> None:
    assert merge(tree(value), tree({})).plain() == value
    assert merge(tree({}), tree(value)).plain() == value


def test_the_key_order_is_the_base_s_then_the_later_s() -> None:
    merged = merge(tree({"b": 1, "a": 2}), tree({"c": 3, "a": 4}))
    assert list(merged.plain()) == ["b", "a", "c"]


def test_a_list_of_files_merges_first_to_last(project: Path) -> None:
    folder = project / "experiments"
    (folder / "base" / "two.yaml").write_text("seed: 2\nmethod: {kind: source}\n")
    (folder / "a.yaml").write_text("extends: [base/parts.yaml, base/two.yaml]\nname: a\nseed: 3\n")
    unit = resolve("a").units[0]
    # `steps` of the old kind is gone with it.
    assert unit.experiment.method.kind == "source"
    seeds = [(setting.value, str(setting.origin)) for setting in unit.origins[("seed",)]]
    assert seeds == [(3, "experiments/a.yaml:3"), (2, "experiments/base/two.yaml:1")]


def test_null_sets_null(project: Path) -> None:
    folder = project / "experiments"
    (folder / "b.yaml").write_text("extends: base/parts.yaml\ndata: {root: x}\nname: b\n")
    (folder / "c.yaml").write_text("extends: b.yaml\ndata: {root: null}\n")
    assert resolve("b").units[0].experiment.data.root == "x"
    assert resolve("c").units[0].experiment.data.root is None


def test_a_circle_is_named_whole(project: Path) -> None:
    folder = project / "experiments"
    for here, there in ("ab", "bc", "ca"):
        (folder / f"{here}.yaml").write_text(f"extends: {there}.yaml\n")
    with pytest.raises(Diagnostics) as caught:
        resolve("a")
    circle = " -> ".join(f"experiments/{name}.yaml" for name in "abca")
    assert circle in caught.value.faults[0].message


def test_many_files_that_double_end_soon(project: Path) -> None:
    folder = project / "experiments"
    for level in range(30):
        (folder / f"f{level}.yaml").write_text(f"extends: [f{level + 1}.yaml, f{level + 1}.yaml]\n")
    (folder / "f30.yaml").write_text("seed: 1\n")
    with pytest.raises(Diagnostics, match="more than 100 files"):
        resolve("f0")
