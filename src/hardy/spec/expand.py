"""One experiment's file as its units: overrides, matrix or search, the check of each."""

from collections.abc import Sequence
from pathlib import Path

from hardy.spec.diagnostics import Diagnostic
from hardy.spec.experiment import Experiment
from hardy.spec.matrix import Axis, Choice, choices, drop_overridden, read_axes
from hardy.spec.node import Node
from hardy.spec.overrides import Override, assign
from hardy.spec.resolved import Resolved, Unit
from hardy.spec.search.read import read_search, search_path
from hardy.spec.search.trial import units_of
from hardy.spec.units import labelled, make_unit

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
    tree, rest = _set_parts(labelled(tree, label), assignments, faults)
    axes = drop_overridden(read_axes(tree, faults), rest)
    searched = tree.child("search")
    body = tree.without("matrix", "search")
    search = None
    if searched is None or searched.value is None:
        units = _of_matrix(body, axes, rest, faults)
    elif axes:
        message = "a search varies one experiment, and this file has a matrix"
        expected = "`matrix: null` beside it, or --set of each axis"
        fault = Diagnostic.at(searched.place, ("search",), message, expected=expected)
        faults.append(fault)
        return None
    else:
        paths = [override.path for override in rest]
        search = read_search(searched, _assigned(body, rest, faults), paths, faults)
        units = list(units_of(search, search.own, "0", faults)) if search else []
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
        search=search,
    )


def _of_matrix(
    body: Node, axes: tuple[Axis, ...], overrides: Sequence[Override], faults: list[Diagnostic]
) -> list[Unit]:
    units: list[Unit] = []
    for choice in choices(axes, faults) if axes else [Choice((), (), "")]:
        unit = _unit(body, choice, overrides, faults)
        units += [unit] if unit else []
        if len(faults) > _ENOUGH_FAULTS:
            break
    return units


def example(tree: Node) -> Experiment | None:
    """Return the first of a tree's experiments, before any override; None if it is at fault."""
    faults: list[Diagnostic] = []
    axes = read_axes(tree, faults)
    choice = Choice(axes, tuple(axis.values[0] for axis in axes), "")
    unit = _unit(tree.without("matrix", "search"), choice, [], faults)
    return unit.experiment if unit else None


def _set_parts(
    tree: Node, overrides: Sequence[Override], faults: list[Diagnostic]
) -> tuple[Node, list[Override]]:
    """Apply the overrides of the matrix and the search; return the tree and the other overrides.

    What follows `matrix.` is an axis whole, as in a file, where an axis is one dotted key.
    """
    others = []
    for override in overrides:
        head, rest = override.path[0], override.path[1:]
        if head == "matrix":
            axis = (head, ".".join(rest)) if rest else (head,)
            tree = assign(tree, axis, override.value, override.key, faults)
        elif head == "search":
            path = search_path(tree, override.path)
            tree = assign(tree, path, override.value, override.key, faults)
        elif head == "extends":
            message = "`extends` cannot be overridden"
            faults.append(Diagnostic.at(override.key, (head,), message))
        else:
            others.append(override)
    return tree, others


def _assigned(tree: Node, overrides: Sequence[Override], faults: list[Diagnostic]) -> Node:
    for override in overrides:
        tree = assign(tree, override.path, override.value, override.key, faults)
    return tree


def _unit(
    tree: Node, choice: Choice, overrides: Sequence[Override], faults: list[Diagnostic]
) -> Unit | None:
    tree = _assigned(choice.apply(tree, faults), overrides, faults)
    values = {a.name: v.plain() for a, v in zip(choice.axes, choice.values, strict=True)}
    return make_unit(tree, faults, label=choice.label, choices=values)
