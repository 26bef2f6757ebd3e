"""A unit's records while it runs: one line a sample, so that a killed run goes on where it was.

A line counts once its newline is on disk; a torn last line is dropped when the journal is opened
again. Python writes floats so that they read back bit for bit, so a resumed run ends with the
same records as one that was never interrupted.
"""

import json
import os
from pathlib import Path
from time import monotonic
from typing import Any, Self

from hardy.core.errors import TrackingError
from hardy.core.paths import safe_name, state_dir

_SYNC_SECONDS = 1.0


class Journal:
    """An append-only file of records under `<home>/.hardy/journals`.

    Args:
        run_id: The MLflow run that the records belong to; names the file.
        fingerprint: The unit's; a journal of another fingerprint is refused.

    Attributes:
        entries: The entries that were there when the journal was opened, in order.

    Raises:
        TrackingError: If the file belongs to another unit or is damaged before its last line.
    """

    def __init__(self, run_id: str, fingerprint: str) -> None:
        self.path = _path(run_id)
        self.path.parent.mkdir(exist_ok=True)
        self._header = {"fingerprint": fingerprint}
        self.entries: list[dict[str, Any]] = self._recover()
        self._stream = self.path.open("a", encoding="utf-8")
        self._synced = monotonic()
        if self._stream.tell() == 0:
            self._write(self._header)

    def _recover(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with self.path.open("r+b") as stream:
                stream.truncate(len(whole))
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
        except ValueError as error:
            message = f"journal {self.path} is damaged: {error}"
            raise TrackingError(message, hint="Delete the file; the unit starts anew.") from error
        if lines and lines[0] != self._header:
            message = f"journal {self.path} belongs to another unit"
            raise TrackingError(message, hint="Delete the file; the unit starts anew.")
        return lines[1:]

    def restart(self) -> None:
        """Forget all entries."""
        self.entries = []
        self._stream.truncate(0)
        self._write(self._header)

    def append(self, entry: dict[str, Any]) -> None:
        """Write one entry; it is on disk within about a second."""
        self._write(entry)

    def _write(self, entry: dict[str, Any]) -> None:
        self._stream.write(json.dumps(entry, ensure_ascii=False) + "\n")
        if monotonic() - self._synced >= _SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Bring everything written so far to disk."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._synced = monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sync()
        self._stream.close()


def discard(run_id: str) -> None:
    """Delete a run's journal, once its records are safe in a finished run."""
    _path(run_id).unlink(missing_ok=True)


def _path(run_id: str) -> Path:
    return state_dir() / "journals" / f"{safe_name(run_id, what='run id')}.jsonl"
