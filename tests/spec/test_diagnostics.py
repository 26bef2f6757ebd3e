import json

import pytest

from hardy.spec.diagnostics import Diagnostic, Diagnostics
from hardy.spec.node import Origin, Source


def make(line: str, column: int, end: int, **more: str) -> Diagnostic:
    return Diagnostic.at(Origin(Source("a.yaml", (line,)), 1, column, end), ("x", 0), "m", **more)


def test_the_rendering_without_colours() -> None:
    fault = make("x: [1]", 5, 6, expected="two", got="1", name="tow")
    assert fault.render() == (
        "a.yaml:1:5: x.0: m\n    1 | x: [1]\n      |     ^\n  expected: two\n  got: 1"
    )


def test_colours_add_nothing_but_escapes() -> None:
    import re

    fault = make("x: [1]", 5, 6, expected="two")
    coloured = fault.render(color=True)
    assert coloured != fault.render()
    assert re.sub(r"\x1b\[\d+m", "", coloured) == fault.render()


@pytest.mark.parametrize(
    ("line", "column", "end", "caret"),
    [
        ("数据: x", 5, 6, "      | " + " " * 6 + "^"),
        ("数据: x", 1, 3, "      | " + "^" * 4),
        ("\tx", 2, 3, "      | \t^"),
        ("e\u0301: x", 5, 6, "      | " + " " * 3 + "^"),
        ("a", 2, 3, "      |  ^"),
    ],
)
def test_the_caret_stands_below_what_it_marks(line: str, column: int, end: int, caret: str) -> None:
    assert make(line, column, end).render().splitlines()[2] == caret


def test_a_terminal_is_not_told_what_to_do() -> None:
    assert "\x1b" not in make("a\x1b[2Jb", 1, 2).render()


def test_faults_are_sorted_and_said_once() -> None:
    source = Source("a.yaml", ("one", "two"))
    second = Diagnostic.at(Origin(source, 2, 1, 2), (), "second")
    first = Diagnostic.at(Origin(source, 1, 3, 4), (), "first")
    found = Diagnostics([second, first, second])
    assert [fault.message for fault in found.faults] == ["first", "second"]
    assert str(found).endswith("2 faults")
    assert found.exit_status == 2


def test_the_json_holds_every_field() -> None:
    (fault,) = json.loads(json.dumps(Diagnostics([make("x: [1]", 5, 6, got="1")]).as_json()))
    assert fault == {
        "file": "a.yaml",
        "line": 1,
        "column": 5,
        "end": 6,
        "path": "x.0",
        "message": "m",
        "expected": "",
        "got": "1",
        "suggestion": "",
        "source": "x: [1]",
        "note": "",
    }
