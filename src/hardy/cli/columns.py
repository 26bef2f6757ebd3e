"""Tables and lists that fit a terminal, and are left whole for a program that reads them."""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from textwrap import wrap

Row = tuple[str, ...]

_NARROWEST = 30
"""Columns that the last cell wants at least, to be wrapped beside the others."""
_INDENT = 4


def terminal_width() -> int | None:
    """Return the columns there are; None where a program reads, unless COLUMNS says some."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal():
        return shutil.get_terminal_size().columns
    return None


def table(rows: Sequence[Row | None], width: int | None) -> Iterator[str]:
    """Yield the lines of a table whose last column is a text; a gap where a row is None.

    What does not fit is wrapped below its own column. Where the other columns leave the text no
    room, the rows between two gaps get columns of their own, and where that is not enough, the
    text its own lines.

    Args:
        rows: The cells, as many in each row.
        width: Columns of the terminal; None for one line a row, however long.
    """
    together = _widths([row for row in rows if row])
    for is_gap, group in groupby(rows, key=lambda row: row is None):
        found = [row for row in group if row]
        if is_gap or not found:
            yield ""
            continue
        widths = together if _fits(together, width) else _widths(found)
        for row in found:
            yield from _lines(row, widths, width)


def at_commas(text: str, width: int | None) -> str:
    """Break a list that commas divide into lines, so that no number loses its unit.

    Args:
        text: Items, divided by a comma and a blank.
        width: Columns of a line; None for one line.
    """
    lines = [""]
    for item in text.split(", "):
        longer = f"{lines[-1]}, {item}" if lines[-1] else item
        if lines[-1] and width is not None and len(longer) >= width:
            lines[-1] += ","
            lines.append("  " + item)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def blocks(rows: Sequence[Sequence[str]], width: int, gap: int) -> list[list[int]]:
    """Divide the columns of a table into tables that fit, each with the first column.

    Args:
        rows: The cells, the headers among them.
        width: Columns of the terminal.
        gap: What a column takes beside its widest cell.

    Returns:
        The places of each table's columns; two at least, however wide they are.
    """
    widths = [max(map(len, column)) + gap for column in zip(*rows, strict=True)]
    found: list[list[int]] = [[0]]
    for place in range(1, len(widths)):
        last = found[-1]
        if len(last) > 1 and sum(widths[each] for each in last) + widths[place] > width:
            found.append([0, place])
        else:
            last.append(place)
    return found


def _widths(rows: Sequence[Row]) -> list[int]:
    columns = list(zip(*(row[:-1] for row in rows), strict=True))
    return [max(map(len, column)) for column in columns]


def _fits(widths: Sequence[int], width: int | None) -> bool:
    return width is None or sum(widths) + 2 * len(widths) + _NARROWEST <= width


def _lines(row: Row, widths: Sequence[int], width: int | None) -> Iterator[str]:
    *cells, text = row
    head = "".join(cell.ljust(each) + "  " for cell, each in zip(cells, widths, strict=True))
    if width is None:
        yield (head + text).rstrip()
    elif _fits(widths, width):
        first, *others = wrap(text, width - len(head), break_on_hyphens=False) or [""]
        yield (head + first).rstrip()
        yield from (" " * len(head) + line for line in others)
    else:
        yield from (cell for cell in cells[:1] if cell)
        indent = " " * _INDENT
        between = "  ".join(filter(None, cells[1:]))
        for part in filter(None, (between, text)):
            for line in wrap(part, width - _INDENT, break_on_hyphens=False):
                yield indent + line
