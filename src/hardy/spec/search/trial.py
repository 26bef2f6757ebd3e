"""The units of one trial: an experiment's tree with the trial's values in it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hardy.spec.check import check
from hardy.spec.diagnostics import Diagnostic, Diagnostics
from hardy.spec.experiment import Experiment
from hardy.spec.node import Node, Origin
from hardy.spec.overrides import assign
from hardy.spec.resolved import Search, Unit
from hardy.spec.search.spec import Categorical, Scalar, SearchSpec
from hardy.spec.search.values import same
from hardy.spec.units import make_unit, value_at, values_of


def trial_tree(
    search: Search, active: Collection[str], values: Mapping[str, Node], faults: list[Diagnostic]
) -> Node:
    """Return the experiment's tree with some values in it.

    Where one of them makes a mapping another kind, searched values below it whose conditions do
    not hold are taken out, for that kind may have no such keys.

    Args:
        search: The search.
        active: The paths whose conditions hold.
        values: By path, what is to be there; elsewhere the experiment's own stands.
        faults: Appended to where a path leads through a scalar or past a list's end.
    """
    tree = search.body
    for path in values:
        tree = _with_default(search, tree, _steps(path), key_of(search, path))
    kinds = [path for path, value in values.items() if _is_another_kind(search, path, value)]
    for path in search.spec.space:
        if path not in active and any(path.startswith(k.removesuffix("kind")) for k in kinds):
            tree = _removed(tree, _steps(path))
    for path, value in values.items():
        tree = assign(tree, _steps(path), value, key_of(search, path), faults)
    return tree


def _is_another_kind(search: Search, path: str, value: Node) -> bool:
    return path.endswith(".kind") and value_at(search.known, path) != value.value


def _with_default(search: Search, tree: Node, path: tuple[str, ...], place: Origin) -> Node:
    """Write out the mapping that a path leads into, where it stands by default alone."""
    for length in range(1, len(path)):
        if not _is_written(tree, path[:length]):
            default = value_at(search.known, ".".join(path[:length]))
            if isinstance(default, dict):
                return assign(tree, path[:length], plain_node(default, place), place, [])
    return tree


def _is_written(node: Node | None, path: tuple[str, ...]) -> bool:
    for step in path:
        if node is not None:
            listed = isinstance(node.value, list) and step.isdecimal()
            node = node.child(int(step) if listed else step)
    return node is not None


def _steps(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def changed(search: Search, values: Mapping[str, Scalar]) -> dict[str, Node]:
    """Return the values that are not the experiment's own, each with the place of its range."""
    return {
        path: value_node(search, path, value)
        for path, value in values.items()
        if path not in search.own or not same(search.own[path], value)
    }


def value_node(search: Search, path: str, value: Scalar) -> Node:
    """Return what a study's value means at its path: of a categorical, the choice of that label."""
    found = search.node.at(("space", path)) or search.node
    spec = search.spec.space[path]
    if isinstance(spec, Categorical):
        for index, label in enumerate(spec.labels):
            choice = search.node.at(("space", path, "choices", index))
            if choice is not None and same(label, value):
                return choice
    return Node(value, found.place)


def key_of(search: Search, path: str) -> Origin:
    """Return where a searched path was written."""
    return (search.node.at(("space", path)) or search.node).place


def units_of(
    search: Search, values: Mapping[str, Scalar], label: str, faults: list[Diagnostic]
) -> Iterator[Unit]:
    """Yield the units of a trial, one a seed, without what their weights need.

    Args:
        search: The search.
        values: By path, as a study knows them: those whose conditions hold.
        label: Appended to the experiment's name; a seed follows where there are several.
        faults: Faults are appended here.
    """
    spec = search.spec
    tree = trial_tree(search, values, changed(search, values), faults)
    choices = {path: _plain(spec, path, value) for path, value in values.items()}
    seeds: tuple[int | None, ...] = spec.seeds or (None,)
    for index, seed in enumerate(seeds):
        seeded, name, own = tree, label, choices
        node = search.node.at(("seeds", index))
        if seed is not None and node is not None:
            seeded = assign(tree, ("seed",), node, node.place, faults)
        if len(spec.seeds) > 1:
            name, own = f"{label}-seed-{seed}", {**choices, "seed": seed}
        unit = make_unit(seeded, faults, label=name, choices=own)
        if unit is not None:
            yield unit


def tested(search: Search, unit: Unit, name: str) -> Unit:
    """Return the same experiment answering for the search's test samples.

    What it expects of its own samples is left out.

    Args:
        search: The search.
        unit: One of a trial.
        name: What it is called.

    Raises:
        Diagnostics: If these samples do not go with the experiment.
    """
    experiment, test_on = unit.experiment, search.spec.test_on
    values = values_of(experiment) | {"name": name, "expect": []}
    if experiment.method.roles()["answer"] is None:
        data = test_on.data(experiment.data, experiment.seed)
        values["data"] = data.model_dump(mode="json", by_alias=True)
    else:
        values["method"]["answer_on"] = test_on.model_dump(mode="json", by_alias=True)
    place = (search.node.at(("test_on",)) or search.node).place
    faults: list[Diagnostic] = []
    found = check(Experiment, plain_node(values, place), faults)
    if found is None:
        raise Diagnostics(faults)
    return replace(unit, experiment=found)


def _plain(spec: SearchSpec, path: str, value: Scalar) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value that a label stands for."""
    each = spec.space[path]
    if isinstance(each, Categorical):
        return next(
            (c for c, label in zip(each.choices, each.labels, strict=True) if same(label, value)),
            value,
        )
    return value


def _removed(node: Node, path: tuple[str, ...]) -> Node:
    """Return a tree without what lies at a path of mappings."""
    below = node.child(path[0])
    if below is None or not isinstance(node.value, dict):
        return node
    if len(path) == 1:
        return node.without(path[0])
    return replace(node, value={**node.value, path[0]: _removed(below, path[1:])})


def plain_node(value: Any, place: Origin) -> Node:  # noqa: ANN401 - any JSON value
    """Return a JSON value as a tree whose every value stands at one place."""
    if isinstance(value, dict):
        return Node({key: plain_node(item, place) for key, item in value.items()}, place, place)
    if isinstance(value, list):
        return Node([plain_node(item, place) for item in value], place, place)
    return Node(value, place, place)
