import time
from pathlib import Path
from typing import Any

from hardy.spec.diagnostics import Diagnostic
from hardy.spec.load import MAX_BYTES, read_bytes, read_file
from hardy.spec.node import Node


def read(text: str | bytes) -> Node:
    faults: list[Diagnostic] = []
    data = text if isinstance(text, bytes) else text.encode()
    node = read_bytes(data, "a.yaml", faults)
    assert node is not None, faults
    assert not faults
    return node


def first_fault(data: bytes) -> Diagnostic:
    faults: list[Diagnostic] = []
    read_bytes(data, "a.yaml", faults)
    return faults[0]


def plain(text: str | bytes) -> Any:
    return read(text).plain()


def test_values_are_those_of_yaml_1_2() -> None:
    assert plain("a: 1e-3\non: off\n'3': '4'\nb: [yes, 0o10, {c: }]\n") == {
        "a": 0.001,
        "on": "off",
        "3": "4",
        "b": ["yes", 8, {"c": None}],
    }


def test_every_key_and_value_knows_its_place() -> None:
    node = read("a:\n  b: [10, 'two']\n")
    item = node.at(("a", "b", 1))
    assert item is not None
    assert (item.origin.line, item.origin.column, item.origin.end) == (2, 11, 16)
    assert item.origin.text == "  b: [10, 'two']"
    key = node.at(("a", "b"))
    assert key is not None
    assert key.key is not None
    assert (key.key.line, key.key.column, key.key.end) == (2, 3, 4)


def test_a_byte_order_mark_and_windows_lines_are_read() -> None:
    node = read(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert node.plain() == {"a": 1, "b": 2}
    b = node.at(("b",))
    assert b is not None
    assert b.origin.text == "b: 2"


def test_anchors_aliases_and_merge_keys() -> None:
    text = """
base: &base {kind: sgd, lr: 0.1}
other: &other {lr: 0.2, momentum: 0.9}
one: *base
two: {<<: *base, lr: 1.0}
three: {<<: [*base, *other], lr: 2.0}
quoted: {"<<": 3}
"""
    found = plain(text)
    assert found["one"] == {"kind": "sgd", "lr": 0.1}
    assert found["two"] == {"kind": "sgd", "lr": 1.0}
    assert found["three"] == {"kind": "sgd", "lr": 2.0, "momentum": 0.9}
    assert found["quoted"] == {"<<": 3}


def test_a_billion_laughs_end_soon() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 40):
        aliases = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{aliases}]")
    began = time.perf_counter()
    fault = first_fault("\n".join(lines).encode())
    assert time.perf_counter() - began < 1
    assert "aliases are expanded" in fault.message


def test_depth_ends_the_reading_before_the_stack_does() -> None:
    assert "nested more than 64" in first_fault(b"a: " + b"[" * 100_000).message
    # 64 collections, the top level's mapping among them, are allowed.
    assert plain("a: " + "[" * 63 + "]" * 63)


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(b"a: 1\n" + b"#" * MAX_BYTES)
    faults: list[Diagnostic] = []
    assert read_file(path, "large.yaml", faults) is None
    assert faults[0].message == "the file is larger than 1 MiB"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    faults: list[Diagnostic] = []
    assert read_file(tmp_path, "folder", faults) is None
    assert faults[0].message.startswith("cannot be read")
