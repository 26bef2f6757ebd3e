from io import StringIO

import pytest
from rich.console import Console

from hardy.cli.columns import at_commas, blocks, table, terminal_width
from hardy.cli.run import _print_table
from hardy.results.table import Table

ROWS = [("a", "one", "some words of text"), None, ("long-name", "two", "others"), ("b", "", "")]


def test_a_program_gets_one_line_a_row() -> None:
    assert list(table(ROWS, None)) == [
        "a          one  some words of text",
        "",
        "long-name  two  others",
        "b",
    ]


def test_the_text_is_wrapped_below_its_own_column() -> None:
    text = "a text of several words that takes more than thirty columns"
    assert list(table([("name", "x", text)], 40)) == [
        "name  x  a text of several words that",
        "         takes more than thirty columns",
    ]


def test_a_group_whose_names_are_short_needs_no_lines_of_its_own() -> None:
    rows = [("n" * 20, "words"), None, ("a", "words of text")]
    assert list(table(rows, 40)) == ["n" * 20, "    words", "", "a  words of text"]


def test_long_names_stand_alone() -> None:
    row = ("n" * 20, "cell", "of several words that take more than a line of forty")
    assert list(table([row, ("m", "", "")], 40)) == [
        "n" * 20,
        "    cell",
        "    of several words that take more than",
        "    a line of forty",
        "m",
    ]


def test_a_list_breaks_at_commas() -> None:
    text = "about 2.35 GB, about 3.38 MB on disk, 52 s"
    assert at_commas(text, None) == text
    assert at_commas(text, 30) == "about 2.35 GB,\n  about 3.38 MB on disk, 52 s"
    assert at_commas("no comma, at all", 3) == "no comma,\n  at all"


def test_the_width_is_the_terminals_or_as_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert terminal_width() is None
    monkeypatch.setenv("COLUMNS", "72")
    assert terminal_width() == 72


def test_columns_are_divided_among_tables_that_fit() -> None:
    rows = [("a" * 10, "b" * 4, "c" * 4, "d" * 30)]
    assert blocks(rows, 56, 2) == [[0, 1, 2, 3]]
    assert blocks(rows, 55, 2) == [[0, 1, 2], [0, 3]]
    assert blocks(rows, 20, 2) == [[0, 1], [0, 2], [0, 3]]  # two, however wide they are


@pytest.mark.parametrize("width", [80, 60, 200])
def test_a_table_of_results_fits_and_loses_no_number(width: int) -> None:
    headers = ("run", "shift", "samples", "source", "memo", "gain", "ece")
    rows = [
        ["x" * 50, f"fog-{n}", f"{n}0000", f"0.{n} [0, 1]", f"1.{n} [1, 2]", f"+{n}", "7"]
        for n in range(3)
    ]
    console = Console(width=width, file=StringIO())
    _print_table(console, Table("title", "caption", headers, rows, ("below",)))
    told = console.file.getvalue()
    for cell in [*headers, *(cell for row in rows for cell in row)]:
        assert cell in told
    assert max(map(len, told.splitlines())) <= max(width, 75)
    assert told.startswith("title\n")
    assert told.endswith("caption\nbelow\n")
