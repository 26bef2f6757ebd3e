"""Digests: the same value gives the same digest on every machine and in every process."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20
# 16 bytes are 32 hexadecimal digits: MLflow cuts dataset digests at 36 characters.
_DIGEST_BYTES = 16


def canonical_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Write a JSON value in one way only: sorted keys, no spaces, no NaN.

    Raises:
        ValueError: If the value holds NaN or an infinity.
        TypeError: If the value holds something that JSON lacks.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return the blake2b digest of a JSON value as 32 hexadecimal digits."""
    return digest_bytes([canonical_json(value).encode()])


def digest_bytes(chunks: Iterable[bytes]) -> str:
    """Return the blake2b digest of the concatenated chunks as 32 hexadecimal digits."""
    state = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for chunk in chunks:
        state.update(chunk)
    return state.hexdigest()


def file_sha256(path: Path) -> str:
    """Return a file's SHA-256 as 64 hexadecimal digits, reading it in pieces of 1 MiB."""
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()
