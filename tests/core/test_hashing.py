import hashlib
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardy.core.hashing import canonical_json, digest, digest_bytes, file_sha256

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_canonical_json_reads_back(value):
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_digest_ignores_the_order_of_keys(table):
    assert digest(table) == digest(dict(reversed(table.items())))


def test_digest_is_blake2b_of_the_canonical_text():
    expected = hashlib.blake2b(b'{"a":[1,"\xc3\xa9"],"b":null}', digest_size=16).hexdigest()
    assert digest({"b": None, "a": [1, "é"]}) == expected


def test_digest_does_not_depend_on_the_hash_seed():
    code = "from hardy.core.hashing import digest; print(digest({'x': 1, 'y': ['a', 'b']}))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "src"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(seen) == 1


def test_nan_has_no_digest():
    with pytest.raises(ValueError, match="Out of range"):
        digest({"x": float("nan")})


def test_pieces_do_not_matter():
    assert digest_bytes([b"ab", b"c"]) == digest_bytes([b"abc"])


def test_file_sha256(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3_000_000)
    assert file_sha256(path) == hashlib.sha256(b"x" * 3_000_000).hexdigest()
