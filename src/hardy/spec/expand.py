"""One experiment's file as its units: overrides, the matrix, and the check of each combination."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hardy.spec.check import check
from hardy.spec.diagnostics import Diagnostic
from hardy.spec.experiment import Experiment
from hardy.spec.matrix import Choice, choices, drop_overridden, read_axes
from hardy.spec.names import experiment_faults
from hardy.spec.node import Node
from hardy.spec.overrides import Override, assign
from hardy.spec.resolved import Resolved, Unit, origins

# The units of a large matrix mostly share their faults.
_ENOUGH_FAULTS = 1000


def expand(
    tree: Node,
    assignments: Sequence[Override],
    faults: list[Diagnostic],
    *,
    reference: str,
    path: Path,
    overrides: Sequence[str] = (),
    label: str = "",
) -> Resolved | None:
    """Override, multiply and validate an experiment's tree.

    Args:
        tree: The merged tree of the file and all that it extends.
        assignments: What overrides it; one at or above a matrix axis takes the axis out.
        faults: Faults are appended here.
        reference: As the user gave it.
        path: The file.
        overrides: The assignments as the user gave them.
        label: Appended to the experiment's name, to tell a suite's members apart.

    Returns:
        The units, or None if no unit is without faults.
    """
    tree, rest = _set_matrix(_labelled(tree, label), assignments, faults)
    axes = drop_overridden(read_axes(tree, faults), rest)
    body = tree.without("matrix")
    units = []
    for choice in choices(axes, faults) if axes else [Choice((), (), "")]:
        unit = _unit(body, choice, rest, faults)
        units += [unit] if unit else []
        if len(faults) > _ENOUGH_FAULTS:
            break
    if not units:
        return None
    return Resolved(
        reference=reference,
        path=path,
        overrides=tuple(overrides),
        name=units[0].origins[("name",)][0].value,
        description=units[0].experiment.description,
        matrix={axis.name: [value.plain() for value in axis.values] for axis in axes},
        units=tuple(units),
    )


def example(tree: Node) -> Experiment | None:
    """Return the first of a tree's experiments, before any override; None if it is at fault."""
    faults: list[Diagnostic] = []
    axes = read_axes(tree, faults)
    choice = Choice(axes, tuple(axis.values[0] for axis in axes), "")
    unit = _unit(tree.without("matrix"), choice, [], faults)
    return unit.experiment if unit else None


def _set_matrix(
    tree: Node, overrides: Sequence[Override], faults: list[Diagnostic]
) -> tuple[Node, list[Override]]:
    """Apply the overrides of the matrix itself; return the tree and the other overrides.

    What follows `matrix.` is an axis whole, as in a file, where an axis is one dotted key.
    """
    others = []
    for override in overrides:
        head, rest = override.path[0], override.path[1:]
        if head == "matrix":
            path = (head, ".".join(rest)) if rest else (head,)
            tree = assign(tree, path, override.value, override.key, faults)
        elif head == "extends":
            message = "`extends` cannot be overridden"
            faults.append(Diagnostic.at(override.key, (head,), message))
        else:
            others.append(override)
    return tree, others


def _unit(
    tree: Node, choice: Choice, overrides: list[Override], faults: list[Diagnostic]
) -> Unit | None:
    tree = choice.apply(tree, faults)
    for override in overrides:
        tree = assign(tree, override.path, override.value, override.key, faults)
    tree = _spelled_out(tree)
    named = _labelled(tree, choice.label)
    faults.extend(experiment_faults(tree))
    experiment = check(Experiment, named, faults)
    if experiment is None:
        return None
    values = {a.name: v.plain() for a, v in zip(choice.axes, choice.values, strict=True)}
    return Unit(experiment, values, origins(tree))


def _spelled_out(tree: Node) -> Node:
    """Return a tree whose task, where it is a text alone, is a mapping of its kind."""
    task = tree.child("task")
    if task is None or not isinstance(task.value, str) or not isinstance(tree.value, dict):
        return tree
    return replace(tree, value={**tree.value, "task": replace(task, value={"kind": task})})


def _labelled(tree: Node, label: str) -> Node:
    """Append a label to the experiment's name."""
    name = tree.child("name")
    if not label or name is None or not isinstance(name.value, str):
        return tree
    entries = tree.value if isinstance(tree.value, dict) else {}
    return replace(tree, value={**entries, "name": replace(name, value=f"{name.value}/{label}")})
