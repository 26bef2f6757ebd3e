"""Whatever a file or an override holds: an experiment or a SpecError, never anything else."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardy.core.errors import SpecError
from hardy.spec import Diagnostics, resolve

SEEDS = sorted((Path(__file__).parent / "broken").glob("*.yaml"))
SEEDS += sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml"))
BYTES = [path.read_bytes() for path in SEEDS]
PIECES = [
    b"&a ", b"*a", b"<<: ", b"!!python/name:os ", b"{", b"}", b"[", b"]", b"'", b'"', b": ", b"- ",
    b"\n", b"\t", b"#", b"|\n", b">-\n", b"? ", b"---\n", b"...\n", b"%YAML 1.2\n", b"null",
    b"1e999", b"kind: memo\n", b"matrix: {seed: [1, 2]}\n", b"extends: \xc3\xa9\n", b"\\ud800",
    b"\xff", b"\x00", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"${HOME}", b"\r", b"data.shift", b".nan",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Cut, repeat, and insert into a real spec, one to five times."""
    data = draw(st.sampled_from(BYTES))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(data)))
        upto = draw(st.integers(at, min(len(data), at + 20)))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=4) | st.just(data[at:upto] * 2))
        data = data[:at] + piece + data[upto:]
    return data


def succeeds_or_says_why(folder: Path, data: bytes, override: str = "") -> None:
    path = folder / "fuzzed.yaml"
    path.write_bytes(data)
    error = refusal(path, override)
    if error is not None:
        assert isinstance(error, Diagnostics)
        assert error.faults
        assert all(fault.line >= 1 and fault.column >= 1 for fault in error.faults)
        assert all(char.isprintable() or char in "\n\t" for char in str(error))


def refusal(path: Path, override: str) -> SpecError | None:
    try:
        resolve(str(path), [override])
    except SpecError as error:
        return error
    return None


files = mutated() | st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | st.lists(
    st.sampled_from(PIECES), max_size=15
).map(b"".join)  # fmt: skip
overrides = st.text(max_size=30) | st.lists(
    st.sampled_from(["a", ".", "=", "[", "]", "{", "}", "'", '"', " ", "0", ":", "seed", "method",
                     "expect", "matrix", "kind", "&a", "*a", ",", "\\", "\n", "!x"]),
    max_size=12,
).map("".join)  # fmt: skip
quick = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
long = settings(quick, max_examples=4_000)


@pytest.fixture(autouse=True)
def _in_the_project(project: Path) -> None:
    """Give relative references a project to stand in."""


@given(data=files)
@quick
def test_files(tmp_path: Path, data: bytes) -> None:
    succeeds_or_says_why(tmp_path, data)


@given(override=overrides)
@quick
def test_overrides(tmp_path: Path, override: str) -> None:
    succeeds_or_says_why(tmp_path, BYTES[-1], override)


@pytest.mark.slow
@given(data=files, override=overrides)
@long
def test_files_and_overrides_at_length(tmp_path: Path, data: bytes, override: str) -> None:
    succeeds_or_says_why(tmp_path, data, override)
