"""Faults with their places: what a wrong spec looks like to the person who wrote it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

from hardy.core.catalog import suggest
from hardy.core.errors import SpecError
from hardy.spec.node import KeyPath, Origin, dotted

_WIDTH = 100
_LISTED = 24
_COLOURS = {"place": "1", "message": "31", "caret": "31", "label": "36"}


@dataclass(frozen=True)
class Diagnostic:
    """One fault.

    Attributes:
        file: Path relative to the current directory where possible, or `override`.
        line: Line, from 1; an override's is 1.
        column: Column, from 1, in characters.
        end: Column past the last character at fault, on the same line.
        path: Dotted path of the value, empty for a whole file.
        message: What is wrong.
        expected: What would be right; may be empty, as may all that follow.
        got: What was found.
        suggestion: The nearest known names.
        source: The source line.
        note: What else to know, such as which file extends this one.
    """

    file: str
    line: int
    column: int
    end: int
    path: str
    message: str
    expected: str = ""
    got: str = ""
    suggestion: str = ""
    source: str = ""
    note: str = ""

    @classmethod
    def at(
        cls,
        origin: Origin,
        path: KeyPath,
        message: str,
        *,
        expected: str = "",
        got: str = "",
        name: str = "",
        known: Iterable[str] = (),
    ) -> Self:
        """Make the diagnostic of a place.

        Args:
            origin: The place.
            path: Path of the value.
            message: What is wrong.
            expected: What would be right; by default the known names, if they are few.
            got: What was found.
            name: The unknown name to find a suggestion for.
            known: Names that would be right.
        """
        names = list(known)
        near = suggest(name, names) if name else []
        listing = ", ".join(names) if len(names) <= _LISTED else ""
        return cls(
            file=origin.source.name,
            line=origin.line,
            column=origin.column,
            end=max(origin.end, origin.column + 1),
            path=dotted(path),
            message=message,
            expected=expected or (f"one of {listing}" if listing and len(names) > 1 else listing),
            got=got,
            suggestion=" or ".join(near),
            source=origin.text,
            note=origin.source.note,
        )

    @property
    def identity(self) -> tuple[str, int, int, str, str]:
        """What makes two diagnostics one, and the order in which they are listed."""
        return (self.file, self.line, self.column, self.path, self.message)

    def render(self, *, color: bool = False) -> str:
        """Return `file:line:column: message`, the line, a caret below it, and what would help."""
        where = f"{_safe(self.path)}: " if self.path else ""
        head = _paint(f"{_safe(self.file)}:{self.line}:{self.column}:", "place", color)
        lines = [f"{head} {where}{_paint(_safe(self.message), 'message', color)}"]
        if self.source.strip():
            lines += self._excerpt(color)
        for label, text in (
            ("expected", self.expected),
            ("got", self.got),
            ("did you mean", f"{self.suggestion}?" if self.suggestion else ""),
            ("note", self.note),
        ):
            if text:
                lines.append(f"  {_paint(label, 'label', color)}: {_safe(text)}")
        return "\n".join(lines)

    def _excerpt(self, color: bool) -> list[str]:
        start, end = self.column - 1, min(self.end - 1, len(self.source))
        # A long line is cut to a window in which the caret is seen.
        first = max(0, start - _WIDTH // 2) if len(self.source) > _WIDTH else 0
        text = self.source[first : first + _WIDTH]
        before, marked = text[: start - first], text[start - first : end - first]
        gutter = f"{self.line:5d} | "
        caret = "^" * max(1, sum(map(_columns, marked)))
        padding = "".join("\t" if c == "\t" else " " * _columns(c) for c in before)
        return [
            gutter + _safe(text),
            " " * (len(gutter) - 2) + "| " + padding + _paint(caret, "caret", color),
        ]


class Diagnostics(SpecError):
    """Every fault of a spec at once, sorted by place."""

    def __init__(self, faults: Iterable[Diagnostic]) -> None:
        # The units of a matrix share their faults; the first one's words stand.
        unique: dict[tuple[str, int, int, str, str], Diagnostic] = {}
        for fault in faults:
            unique.setdefault(fault.identity, fault)
        self.faults = tuple(unique[key] for key in sorted(unique))
        super().__init__(self.render())

    def render(self, *, color: bool = False) -> str:
        """Return all faults as text, with ANSI colours if asked, and a line that counts them."""
        parts = [fault.render(color=color) for fault in self.faults]
        return "\n".join([*parts, *([f"{len(parts)} faults"] if len(parts) > 1 else [])])

    def as_json(self) -> list[dict[str, Any]]:
        """Return the faults as JSON values, fields as in `Diagnostic`."""
        return [asdict(fault) for fault in self.faults]


def _columns(character: str) -> int:
    """Return how many columns of a terminal a character takes."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _safe(text: str) -> str:
    """Replace what a terminal would obey rather than show."""
    return "".join(c if c == "\t" or c.isprintable() else "\ufffd" for c in text)


def _paint(text: str, role: str, color: bool) -> str:
    return f"\x1b[{_COLOURS[role]}m{text}\x1b[0m" if color else text
