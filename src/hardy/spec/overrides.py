"""`--set a.b=value`: what a command line changes in a spec."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hardy.spec.diagnostics import Diagnostic
from hardy.spec.load import read_text
from hardy.spec.node import OVERRIDE, KeyPath, Node, Origin, Source, dotted

_CLOSING = {"[": "]", "{": "}"}


@dataclass(frozen=True)
class Override:
    """One assignment: the path, the value, and the whole text as its source."""

    path: tuple[str, ...]
    value: Node

    @property
    def key(self) -> Origin:
        """The place of the path in the assignment."""
        origin = self.value.origin
        text = origin.source.lines[0]
        return Origin(origin.source, 1, 1, text.index("=") + 1)


def split(entry: str) -> list[str]:
    """Split an entry into assignments at whitespace.

    Whitespace does not split within a quoted value (`description='two words'`), within a value
    that begins with a bracket until the bracket closes (`method.optimizer={kind: sgd, lr: 1}`),
    nor within an assignment that is quoted as a whole, which loses those quotes. An entry of
    nothing but whitespace holds no assignment.
    """
    parts, rest = [], entry.lstrip()
    while rest:
        end = _end(rest)
        word, rest = rest[:end], rest[end:].lstrip()
        whole = len(word) > 1 and word[0] in "'\"" and word[-1] == word[0]
        parts.append(word[1:-1] if whole else word)
    return parts


def _end(text: str) -> int:
    """Return where the first assignment of a text ends."""
    path, equals, value = text.partition("=")
    if text[0] in "'\"":
        index = _skip_quoted(text, 0)
    elif equals and value and not any(character.isspace() for character in path):
        index = _skip_group(text, len(path) + 1)
    else:
        index = 0
    while index < len(text) and not text[index].isspace():
        index += 1
    return index


def _skip_group(text: str, start: int) -> int:
    """Return the index past the quoted or bracketed group at `start`; `start` if there is none."""
    if text[start] in "'\"":
        return _skip_quoted(text, start)
    if text[start] not in _CLOSING:
        return start
    open_brackets, index = [], start
    while index < len(text):
        character = text[index]
        if character in _CLOSING:
            open_brackets.append(_CLOSING[character])
        elif open_brackets and character == open_brackets[-1]:
            open_brackets.pop()
        # An apostrophe within a word opens nothing.
        elif character in "'\"" and text[index - 1] in "[{,: \t":
            index = _skip_quoted(text, index) - 1
        index += 1
        if not open_brackets:
            break
    return index


def _skip_quoted(text: str, start: int) -> int:
    index = start + 1
    while index < len(text) and text[index] != text[start]:
        index += 2 if text[index] == "\\" and text[start] == '"' else 1
    return min(index + 1, len(text))


def read_overrides(
    entries: Sequence[str], faults: list[Diagnostic], *, note: str = ""
) -> list[Override]:
    """Read assignments `a.b.0.c=value`; values are YAML 1.2, and no value at all is null.

    Args:
        entries: Each holds any number of assignments; see `split`.
        faults: Faults are appended here, each quoting its assignment.
        note: Added to every fault of the assignments.
    """
    words = [word for entry in entries for word in split(entry)]
    found = [_read(word, faults, note) for word in words]
    return [override for override in found if override]


def _read(word: str, faults: list[Diagnostic], note: str) -> Override | None:
    source = Source(OVERRIDE, tuple(word.splitlines()) or ("",), note)
    name, equals, value = word.partition("=")
    path = tuple(name.split("."))
    if not equals or not all(path) or any(c.isspace() for c in name):
        origin = Origin(source, 1, 1, len(source.lines[0]) + 1)
        expected = "a.b=value; a value with spaces needs quotes"
        faults.append(Diagnostic.at(origin, (), "this is no assignment", expected=expected))
        return None
    # Blanks in the place of the path keep the columns those of the whole assignment.
    node = read_text(" " * (len(name) + 1) + value, source, faults)
    if node is None:
        return None
    if node.value is None:
        node = replace(node, origin=Origin(source, 1, 1, len(word) + 1))
    return Override(path, node)


def assign(
    tree: Node, path: tuple[str, ...], value: Node, key: Origin, faults: list[Diagnostic]
) -> Node:
    """Return the tree with the value at a path replaced; absent mappings on the way are made.

    Args:
        tree: The tree; left as it is.
        path: Keys, and indices where the tree has lists.
        value: The new value.
        key: Where the path was written.
        faults: Appended to where the path leads through a scalar or past a list's end.
    """
    return _assign(tree, path, replace(value, key=key), (), faults)


def _assign(
    node: Node, path: tuple[str, ...], value: Node, done: KeyPath, faults: list[Diagnostic]
) -> Node:
    if not path:
        return value.over(node)
    step, rest = path[0], path[1:]
    place = value.place
    if isinstance(node.value, list):
        return _assign_item(node, path, value, done, faults)
    if isinstance(node.value, dict):
        below = node.value.get(step)
        if below is None:
            below = Node(None, place, place) if rest else None
        changed = _assign(below, rest, value, (*done, step), faults) if below else value
        return replace(node, value={**node.value, step: changed})
    if node.value is None:
        return _assign(replace(node, value={}, origin=place), path, value, done, faults)
    message = f"`{dotted(done)}` is no mapping, so it has no `{step}`"
    faults.append(Diagnostic.at(place, (*done, *path), message))
    return node


def _assign_item(
    node: Node, path: tuple[str, ...], value: Node, done: KeyPath, faults: list[Diagnostic]
) -> Node:
    items = list(node.value) if isinstance(node.value, list) else []
    step = path[0]
    if not (step.isascii() and step.isdigit() and len(step) < 9 and int(step) < len(items)):
        message = f"`{dotted(done)}` is a list of {len(items)}"
        expected = f"an index from 0 to {len(items) - 1}" if items else "`[...]` as a whole"
        faults.append(
            Diagnostic.at(value.place, (*done, *path), message, expected=expected, got=step)
        )
        return node
    index = int(step)
    items[index] = _assign(items[index], path[1:], value, (*done, index), faults)
    return replace(node, value=items)
