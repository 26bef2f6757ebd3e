"""Values that know where they come from: the tree that files, merges and overrides build."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

Scalar = bool | int | float | str | None
KeyPath = tuple[str | int, ...]

OVERRIDE = "override"


@dataclass(frozen=True, eq=False)
class Source:
    """A text that values were read from.

    Attributes:
        name: Path as a person would type it, or `override`.
        lines: The text's lines, without line breaks.
        note: What a reader of a fault must know, such as which file extends this one.
    """

    name: str
    lines: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Origin:
    """A place in a source; lines and columns count from 1, and `end` is past the last column."""

    source: Source
    line: int
    column: int
    end: int

    @property
    def text(self) -> str:
        """The source line."""
        lines = self.source.lines
        return lines[self.line - 1] if 0 < self.line <= len(lines) else ""

    def __str__(self) -> str:
        if self.source.name == OVERRIDE:
            return f"{OVERRIDE} {self.text!r}"
        return f"{self.source.name}:{self.line}"


@dataclass(frozen=True, eq=False)
class Node:
    """A value, where it was written, where its key was written, and what it replaced."""

    value: Scalar | list[Node] | dict[str, Node]
    origin: Origin
    key: Origin | None = None
    overrode: Node | None = None

    @property
    def place(self) -> Origin:
        """Where to point for the whole entry: at its key if it has one."""
        return self.key or self.origin

    def plain(self) -> Any:  # noqa: ANN401 - any YAML value
        """Return the value without its places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def at(self, path: KeyPath) -> Node | None:
        """Return the node at a path below this one, or None if there is none."""
        node: Node | None = self
        for step in path:
            node = node.child(step) if node else None
        return node

    def child(self, step: str | int) -> Node | None:
        """Return the entry of one key or index, or None if there is none."""
        if isinstance(self.value, dict) and isinstance(step, str):
            return self.value.get(step)
        if isinstance(self.value, list) and isinstance(step, int) and step < len(self.value):
            return self.value[step]
        return None

    def deepest(self, path: KeyPath) -> Node:
        """Return the node of the longest part of the path that exists."""
        node = self
        for step in path:
            below = node.child(step)
            if below is None:
                break
            node = below
        return node

    def walk(self, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Node]]:
        """Yield every node below with its path, this one first."""
        yield path, self
        if isinstance(self.value, dict):
            for key, node in self.value.items():
                yield from node.walk((*path, key))
        elif isinstance(self.value, list):
            for index, node in enumerate(self.value):
                yield from node.walk((*path, index))

    def without(self, *keys: str) -> Node:
        """Return this mapping without some of its keys."""
        if not isinstance(self.value, dict):
            return self
        return replace(self, value={k: n for k, n in self.value.items() if k not in keys})

    def over(self, older: Node | None) -> Node:
        """Return this node with `older` at the end of the chain of what it overrode."""
        if older is None:
            return self
        chain = self.overrode.over(older) if self.overrode else older
        return replace(self, overrode=chain)


def dotted(path: KeyPath) -> str:
    """Write a path as overrides and messages do, such as `expect.0.metric`."""
    return ".".join(map(str, path))
