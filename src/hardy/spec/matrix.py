"""`matrix`: one file, the Cartesian product of its choices, one experiment each."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from hardy.spec.diagnostics import Diagnostic
from hardy.spec.node import Node, Origin
from hardy.spec.overrides import Override, assign

MAX_COMBINATIONS = 10_000

_UNSAFE = re.compile(r"[^a-z0-9._]+")
_LABEL_LENGTH = 40


@dataclass(frozen=True)
class Axis:
    """A dotted path and the values it takes."""

    path: tuple[str, ...]
    values: tuple[Node, ...]
    key: Origin

    @property
    def name(self) -> str:
        """The dotted path."""
        return ".".join(self.path)


@dataclass(frozen=True)
class Choice:
    """One combination: a value for each axis, and the label that tells it from the others."""

    axes: tuple[Axis, ...]
    values: tuple[Node, ...]
    label: str

    def apply(self, tree: Node, faults: list[Diagnostic]) -> Node:
        """Return the tree with this combination's values."""
        for axis, value in zip(self.axes, self.values, strict=True):
            tree = assign(tree, axis.path, value, axis.key, faults)
        return tree


def read_axes(tree: Node, faults: list[Diagnostic]) -> tuple[Axis, ...]:
    """Return the axes of the tree's `matrix` in the file's order; none without a matrix."""
    matrix = tree.child("matrix")
    if matrix is None or matrix.value is None:
        return ()
    expected = "dotted paths with lists of values, such as `data.shift.kind: [fog, snow]`"
    if not isinstance(matrix.value, dict):
        faults.append(
            Diagnostic.at(matrix.place, ("matrix",), "is not a mapping", expected=expected)
        )
        return ()
    axes = [_axis(name, node, faults) for name, node in matrix.value.items()]
    return tuple(axis for axis in axes if axis)


def _axis(name: str, node: Node, faults: list[Diagnostic]) -> Axis | None:
    path = tuple(name.split("."))
    here = ("matrix", name)
    if not all(path) or path[0] in ("extends", "matrix", "name"):
        faults.append(Diagnostic.at(node.place, here, "no value can vary under this path"))
        return None
    if not isinstance(node.value, list) or not node.value:
        expected = "a list of at least one value"
        faults.append(Diagnostic.at(node.origin, here, "is not a choice", expected=expected))
        return None
    seen: list[str] = []
    for value in node.value:
        text = repr(value.plain())
        if text in seen:
            faults.append(Diagnostic.at(value.origin, here, "the value is given twice"))
        seen.append(text)
    return Axis(path, tuple(node.value), node.place)


def drop_overridden(axes: tuple[Axis, ...], overrides: list[Override]) -> tuple[Axis, ...]:
    """Return the axes that no override replaces, at their path or above it."""
    paths = [override.path for override in overrides]
    return tuple(axis for axis in axes if not any(axis.path[: len(path)] == path for path in paths))


def choices(axes: tuple[Axis, ...], faults: list[Diagnostic]) -> list[Choice]:
    """Return all combinations, the last axis varying fastest, each with a label of its own."""
    total = math.prod(len(axis.values) for axis in axes)
    if total > MAX_COMBINATIONS:
        message = f"{total:,} combinations are more than {MAX_COMBINATIONS:,}"
        faults.append(Diagnostic.at(axes[0].key, ("matrix",), message))
        return []
    found = list(itertools.product(*(axis.values for axis in axes)))
    labels = _unique("-".join(map(label_of, values)) for values in found)
    return [Choice(axes, v, label) for v, label in zip(found, labels, strict=True)]


def label_of(node: Node) -> str:
    """Write a value as a part of a name: a mapping by its `kind` or `from`, a list by its items."""
    value = node.value
    if isinstance(value, dict):
        kind = value.get("kind") or value.get("from")
        text = label_of(kind) if kind else "mapping"
    elif isinstance(value, list):
        text = "_".join(map(label_of, value)) or "empty"
    else:
        text = "none" if value is None else str(value)
    safe = _UNSAFE.sub("-", text.lower()).strip("-")[:_LABEL_LENGTH]
    return safe if safe.strip(".") else "value"


def _unique(labels: Iterator[str]) -> list[str]:
    """Number the labels that would be the same, by their position in the matrix."""
    cut = [label[:100] for label in labels]
    counts = Counter(cut)
    numbered = [f"{t}.{i}" if counts[t] > 1 else t for i, t in enumerate(cut, start=1)]
    # A number may make a label that another value has by itself.
    clash = len(set(numbered)) < len(numbered)
    return [f"{t}.{i}" for i, t in enumerate(cut, start=1)] if clash else numbered
