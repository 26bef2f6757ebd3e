"""YAML text in, a tree of values with their places out.

The reader stands on PyYAML's event stream, which neither recurses nor builds objects, and gives
the events the meaning of YAML 1.2. Faults that leave the tree readable (a key given twice, a tag)
are collected; only a fault of syntax ends the reading.
"""

import codecs
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import yaml

from hardy.spec.diagnostics import Diagnostic
from hardy.spec.node import Node, Origin, Source
from hardy.spec.scalars import read_scalar

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_NODES = 20_000

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_MERGE = "<<"
_EXPLAINED = {
    r"character '\t'": ("a tab is used for indentation", "spaces"),
    "mapping values are not allowed": (
        "a second ':' on this line, or an indentation that does not fit",
        "quotes around a text that holds ': ', or the indentation of the key above",
    ),
    "could not find expected ':'": ("a line without ':' among keys", "`key: value`"),
    "expected <block end>": ("the indentation does not fit", "the indentation of the line above"),
    "found unexpected end of stream": ("a quote is not closed", "a closing quote"),
    "undefined tag handle": ("a tag is used", "plain values; hardy reads no tags"),
}


class Unreadable(Exception):
    """The text cannot be read further; its fault has been recorded."""


def read_file(path: Path, shown: str, faults: list[Diagnostic], *, note: str = "") -> Node | None:
    """Read a YAML file whose top level is a mapping.

    Args:
        path: The file; UTF-8, at most 1 MiB, nested at most 64 deep.
        shown: The path as messages give it.
        faults: Faults are appended here.
        note: Added to every fault of the file.

    Returns:
        The tree, or None if the file is unreadable.
    """
    try:
        # One byte more than allowed tells a file that is too long without reading all of it.
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        origin = Origin(Source(shown, (), note), 1, 1, 2)
        faults.append(Diagnostic.at(origin, (), f"cannot be read: {error.strerror or error}"))
        return None
    return read_bytes(data, shown, faults, note=note)


def read_bytes(data: bytes, shown: str, faults: list[Diagnostic], *, note: str = "") -> Node | None:
    """Read the bytes of a YAML file as `read_file` does."""
    if len(data) > MAX_BYTES:
        origin = Origin(Source(shown, (), note), 1, 1, 2)
        faults.append(Diagnostic.at(origin, (), "the file is larger than 1 MiB"))
        return None
    text = _decode(data, shown, note, faults)
    if text is None:
        return None
    source = Source(shown, tuple(_BREAK.split(text)), note)
    node = read_text(text, source, faults)
    if node is None:
        return None
    if not isinstance(node.value, dict):
        message = "the file is empty" if node.value is None else "the top level is not a mapping"
        expected = "`key: value` lines, such as `name: my-experiment`"
        faults.append(Diagnostic.at(node.origin, (), message, expected=expected))
        return None
    return node


def read_text(text: str, source: Source, faults: list[Diagnostic]) -> Node | None:
    """Read YAML text of any top level; an empty text is null. None means unreadable."""
    reader = _Reader(source, faults)
    try:
        return reader.document(text)
    except Unreadable:
        return None


def _decode(data: bytes, shown: str, note: str, faults: list[Diagnostic]) -> str | None:
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode()
        lines = _BREAK.split(before)
        whole = error.object.decode(errors="replace")
        source = Source(shown, tuple(_BREAK.split(whole)), note)
        column = len(lines[-1]) + 1
        byte = f"byte 0x{error.object[error.start]:02x}"
        faults.append(
            Diagnostic.at(
                Origin(source, len(lines), column, column + 1),
                (),
                "the file is not UTF-8",
                expected="UTF-8 text",
                got=byte,
            )
        )
        return None


class _Reader:
    """Turns events into nodes, one document of one source."""

    def __init__(self, source: Source, faults: list[Diagnostic]) -> None:
        self._source = source
        self._faults = faults
        self._anchors: dict[str, tuple[Node, int] | None] = {}
        self._count = 0

    def document(self, text: str) -> Node:
        with self._syntax(text):
            self._loader = yaml.SafeLoader(text)
            self._next()
            if self._ends(yaml.StreamEndEvent):
                return Node(None, Origin(self._source, 1, 1, 2))
            self._next()
            node = self._node(0)
            self._next()
            if not self._ends(yaml.StreamEndEvent):
                self._fail(self._origin(self._peek()), "a second document begins")
            return node

    # PyYAML's event methods have no types; these three give them.
    def _next(self) -> yaml.Event:
        event: yaml.Event = self._loader.get_event()  # type: ignore[no-untyped-call]
        return event

    def _peek(self) -> yaml.Event:
        event: yaml.Event = self._loader.peek_event()  # type: ignore[no-untyped-call]
        return event

    def _ends(self, kind: type[yaml.Event]) -> bool:
        return isinstance(self._peek(), kind)

    @contextmanager
    def _syntax(self, text: str) -> Iterator[None]:
        """Turn PyYAML's errors into faults."""
        try:
            yield
        except yaml.reader.ReaderError as error:
            lines = _BREAK.split(text[: error.position])
            column = len(lines[-1]) + 1
            origin = Origin(self._source, len(lines), column, column + 1)
            got = f"U+{ord(text[error.position]):04X}"
            self._fail(origin, "a character that YAML does not allow", got=got)
        except yaml.MarkedYAMLError as error:
            self._fail_syntax(error)
        except (ValueError, OverflowError):
            # PyYAML lets chr() fail on escapes such as "\UFFFFFFFF".
            mark = self._loader.get_mark()
            origin = Origin(self._source, mark.line + 1, mark.column + 1, mark.column + 2)
            self._fail(origin, "an escape that names no character")

    def _fail_syntax(self, error: yaml.MarkedYAMLError) -> NoReturn:
        problem = (error.problem or str(error)).replace("'<stream end>'", "the end")
        message, expected = next(
            (words for part, words in _EXPLAINED.items() if part in problem), ("", "")
        )
        mark = error.problem_mark
        # What is never closed is noticed at the end of the file, and a line without ':' on the
        # next one; both are mended where they begin.
        begun = mark is None or mark.line >= self._last_line or "simple key" in str(error.context)
        if begun and error.context_mark:
            mark = error.context_mark
            message = message or f"what begins here is not closed: {problem}"
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        origin = Origin(self._source, line, column, column + 1)
        self._fail(origin, message or f"not YAML: {problem}", expected=expected)

    @property
    def _last_line(self) -> int:
        """Index of the line past the last one that holds anything."""
        filled = [i for i, line in enumerate(self._source.lines) if line.strip()]
        return filled[-1] + 1 if filled else 0

    def _fail(self, origin: Origin, message: str, *, expected: str = "", got: str = "") -> NoReturn:
        self._fault(origin, message, expected=expected, got=got)
        raise Unreadable

    def _fault(self, origin: Origin, message: str, *, expected: str = "", got: str = "") -> None:
        self._faults.append(Diagnostic.at(origin, (), message, expected=expected, got=got))

    def _origin(self, event: yaml.Event) -> Origin:
        start, end = event.start_mark, event.end_mark
        if start is None or end is None:
            return Origin(self._source, 1, 1, 2)
        line = self._source.lines[start.line] if start.line < len(self._source.lines) else ""
        last = end.column if end.line == start.line else len(line)
        return Origin(self._source, start.line + 1, start.column + 1, last + 1)

    def _node(self, depth: int) -> Node:
        event = self._next()
        origin = self._origin(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor or "", origin)
        if not isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            self._fail(origin, "a value is missing")
        if depth > MAX_DEPTH:
            self._fail(origin, f"nested more than {MAX_DEPTH} deep")
        if event.tag and event.tag != "!":
            self._fault(
                origin,
                "tags are not read, for they could construct objects",
                expected="a plain value",
                got=event.tag,
            )
        before = self._count
        self._grow(1, origin)
        # An alias to what is still being read would contain itself.
        self._anchors.update({event.anchor: None} if event.anchor else {})
        node = self._content(event, origin, depth)
        if event.anchor:
            self._anchors[event.anchor] = (node, self._count - before)
        return node

    def _content(self, event: yaml.Event, origin: Origin, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, origin)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(origin, depth)
        return self._mapping(origin, depth)

    def _grow(self, nodes: int, origin: Origin) -> None:
        self._count += nodes
        if self._count > MAX_NODES:
            self._fail(origin, f"more than {MAX_NODES:,} values once aliases are expanded")

    def _alias(self, anchor: str, origin: Origin) -> Node:
        if anchor not in self._anchors:
            self._fail(origin, f"the alias *{anchor} has no anchor &{anchor} before it")
        anchored = self._anchors[anchor]
        if anchored is None:
            self._fail(origin, f"the alias *{anchor} stands inside its own anchor")
        node, size = anchored
        self._grow(size, origin)
        return node

    def _scalar(self, event: yaml.ScalarEvent, origin: Origin) -> Node:
        if any("\ud800" <= character <= "\udfff" for character in event.value):
            self._fault(origin, "half of a surrogate pair is no character")
            return Node("", origin)
        if event.style is not None:
            return Node(event.value, origin)
        try:
            return Node(read_scalar(event.value), origin)
        except ValueError as error:
            self._fault(origin, "the number is too long", got=str(error))
            return Node(0, origin)

    def _sequence(self, origin: Origin, depth: int) -> Node:
        items = []
        while not self._ends(yaml.SequenceEndEvent):
            items.append(self._node(depth + 1))
        self._next()
        return Node(items, origin)

    def _mapping(self, origin: Origin, depth: int) -> Node:
        entries: dict[str, Node] = {}
        merged: list[Node] = []
        seen: dict[str, Origin] = {}
        while not self._ends(yaml.MappingEndEvent):
            plain = getattr(self._peek(), "style", "") is None
            key = self._node(depth + 1)
            value = self._node(depth + 1)
            name = self._key(key, seen)
            if name is None:
                continue
            if name == _MERGE and plain:
                merged = self._merged(value)
            else:
                entries[name] = replace(value, key=key.origin)
        self._next()
        return Node(_inherit(entries, merged), origin)

    def _key(self, key: Node, seen: dict[str, Origin]) -> str | None:
        """Return a key's name; None if it is no text or was given before."""
        if not isinstance(key.value, str):
            got = "a collection" if isinstance(key.value, (list, dict)) else json.dumps(key.value)
            self._fault(
                key.origin, "a key is not a text", expected="a text, in quotes if need be", got=got
            )
            return None
        if key.value in seen:
            first = seen[key.value].line
            self._fault(key.origin, f"the key {key.value!r} is given twice, first on line {first}")
            return None
        seen[key.value] = key.origin
        return key.value

    def _merged(self, value: Node) -> list[Node]:
        parts = value.value if isinstance(value.value, list) else [value]
        for part in parts:
            if not isinstance(part.value, dict):
                self._fault(part.origin, "`<<` takes a mapping or a list of mappings")
        return [part for part in parts if isinstance(part.value, dict)]


def _inherit(entries: dict[str, Node], merged: list[Node]) -> dict[str, Node]:
    """Add the entries of `<<`; what the mapping states itself wins, then the earlier mapping."""
    inherited: dict[str, Node] = {}
    for part in merged:
        if isinstance(part.value, dict):
            inherited = {**part.value, **inherited}
    return {**inherited, **entries}
