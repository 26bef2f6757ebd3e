"""One experiment's tree as one unit, and the values of a validated experiment by path."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hardy.spec.check import check
from hardy.spec.diagnostics import Diagnostic
from hardy.spec.experiment import Experiment
from hardy.spec.names import experiment_faults
from hardy.spec.node import Node
from hardy.spec.resolved import Unit, origins

OF_FILES = ("extends", "matrix", "search", "suite")
"""Keys of a file that are no values of an experiment."""

ABSENT = object()
"""What `value_at` returns where there is no such path."""


def make_unit(
    tree: Node,
    faults: list[Diagnostic],
    *,
    label: str = "",
    choices: Mapping[str, Any] | None = None,
) -> Unit | None:
    """Validate a tree that holds one experiment.

    Args:
        tree: Without `extends`, `matrix` and `search`.
        faults: Faults are appended here.
        label: Appended to the experiment's name, to tell a file's units apart.
        choices: The values by which they differ.

    Returns:
        The unit, or None if there are faults.
    """
    tree = _spelled_out(tree)
    named = labelled(tree, label)
    faults.extend(experiment_faults(tree))
    experiment = check(Experiment, named, faults, beside=OF_FILES)
    return Unit(experiment, dict(choices or {}), origins(tree)) if experiment else None


def _spelled_out(tree: Node) -> Node:
    """Return a tree whose task, where it is a text alone, is a mapping of its kind."""
    task = tree.child("task")
    if task is None or not isinstance(task.value, str) or not isinstance(tree.value, dict):
        return tree
    return replace(tree, value={**tree.value, "task": replace(task, value={"kind": task})})


def labelled(tree: Node, label: str) -> Node:
    """Append a label to the experiment's name."""
    name = tree.child("name")
    if not label or name is None or not isinstance(name.value, str):
        return tree
    entries = tree.value if isinstance(tree.value, dict) else {}
    return replace(tree, value={**entries, "name": replace(name, value=f"{name.value}/{label}")})


def values_of(experiment: Experiment) -> dict[str, Any]:
    """Return an experiment's values as JSON, defaults included, keys as a file has them."""
    return experiment.model_dump(mode="json", by_alias=True)


def value_at(value: Any, path: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value at a dotted path, or `ABSENT`."""
    for step in path.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return ABSENT
    return value
