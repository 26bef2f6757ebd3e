"""What takes long and can be made again, kept on disk for other runs: one cache, one budget.

A file of it is `<folder>/KIND/KEY`. It is whole or absent, whatever was killed or runs beside.
Where nothing can be written, nothing is kept and all goes on. What was used longest ago goes first.
"""

import atexit
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from time import time
from typing import TYPE_CHECKING, NamedTuple

from hardy.core.errors import HardyError
from hardy.core.files import write_whole
from hardy.core.held import Held
from hardy.core.paths import home, safe_name

if TYPE_CHECKING:
    from filelock import BaseFileLock

DEFAULT_BUDGET = 8 * 2**30
"""Bytes of all kinds together, where no other budget was stored."""

# A file is not synced, which costs more than most values; a power cut is told by the digest.
_DIGEST_BYTES = 32
# After writing this part of the budget a process sums up anew: n processes that write at once
# exceed it by n such parts at most.
_PART = 1 / 32
# No draft takes so long to write: whoever wrote an older one is dead.
_DRAFT_SECONDS = 3600
_LOCK_SECONDS = 60
# A trim takes milliseconds; one of a process that was stopped shall not hold up all others.
_TRIM_SECONDS = 1


class Entry(NamedTuple):
    """A file of the cache: its size in bytes, and when it was last used, in ns since 1970."""

    kind: str
    key: str
    size: int
    used: int


class Cache:
    """Bytes by kind and key, below a folder that any number of processes share.

    Args:
        folder: Made on first use.
        budget: Bytes of all kinds together; None for what `bound` stored there.
    """

    def __init__(self, folder: Path, budget: int | None = None) -> None:
        self.folder = folder
        self._stated = budget
        self._unsummed = 0.0  # bytes that may yet be written before the next sum
        self._held = Held(folder / ".held")

    @property
    def budget(self) -> int:
        """Bytes that all kinds may have together."""
        if self._stated is not None:
            return self._stated
        try:
            stored = json.loads((self.folder / "budget.json").read_text(encoding="utf-8"))
            return max(0, int(stored["bytes"]))
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return DEFAULT_BUDGET

    def get(self, kind: str, key: str) -> bytes | None:
        """Return what was put, bit for bit; None where it is absent or damaged.

        Raises:
            SpecError: If the kind or the key cannot be part of a path; so in all methods.
        """
        path = self._path(kind, key)
        try:
            with path.open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size - _DIGEST_BYTES
                content, digest = stream.read(max(size, 0)), stream.read()
        except OSError:
            return None
        if digest != _digest(content):
            return None
        _touch(path)
        return content

    def put(self, kind: str, key: str, content: bytes) -> None:
        """Keep a value, if there is room for it on the disk; one that is there is replaced."""
        self._write(self._path(kind, key), content + _digest(content), sync=False)

    def through(
        self, kind: str, key: str, make: Callable[[], bytes], *, once: bool = False
    ) -> bytes:
        """Return what was put, else what `make` gives, and keep that.

        Args:
            kind: What sort of thing.
            key: All that it follows from, such as a digest.
            make: Makes it; its errors pass, and nothing is kept.
            once: Whether processes that want the same wait for the first that makes it; for what
                takes minutes.
        """
        content = self.get(kind, key)
        if content is not None:
            return content
        with self._alone(kind, key) if once else nullcontext():
            content = self.get(kind, key) if once else None
            if content is None:
                content = make()
                self.put(kind, key, content)
        return content

    def file(self, kind: str, key: str, make: Callable[[], bytes]) -> Path:
        """Return the file that holds what `make` gives, for readers that map it or open it later.

        It stays for as long as this object lives, whatever the budget, and is synced before it is
        seen. Nothing else vouches for its content: a reader who doubts it checks it, and has
        another made after `drop`. Where nothing can be written, it is a temporary file.

        Raises:
            HardyError: If not even a temporary file can be written.
        """
        path = self._path(kind, key)
        with suppress(OSError):
            self._hold(f"{kind}/{key}")  # before it is looked for: from now on it stays
        if path.is_file():
            _touch(path)
            return path
        content = make()
        return path if self._write(path, content, sync=True) else _aside(key, content)

    def drop(self, kind: str, key: str) -> None:
        """Forget one value, if it is there."""
        _remove(self._path(kind, key))

    def entries(self) -> list[Entry]:
        """Return all that is kept, in no order."""
        return [entry for entry in self._files() if not entry.key.startswith(".")]

    def bound(self, budget: int) -> None:
        """Store a budget in bytes for all processes, and take away what exceeds it.

        Raises:
            OSError: If the folder cannot be written, or another process does not end trimming.
        """
        write_whole(self.folder / "budget.json", json.dumps({"bytes": budget}).encode())
        with self._lock("all", _LOCK_SECONDS):
            self._evict(budget)

    def empty(self, kind: str | None = None) -> int:
        """Take away all of one kind, or all, but for files that a living process was given.

        Returns:
            How many bytes went.

        Raises:
            OSError: If the folder cannot be written, or another process does not end trimming.
        """
        with self._lock("all", _LOCK_SECONDS):
            return self._evict(-1, kind)

    def trim(self) -> None:
        """Take away what was used longest ago until the budget is kept.

        Nothing is done where another process takes long over it, or where nothing can be written.
        """
        budget = self.budget
        with suppress(OSError), self._lock("all", _TRIM_SECONDS):
            self._evict(budget)
            self._unsummed = budget * _PART

    def _path(self, kind: str, key: str) -> Path:
        return self.folder / safe_name(kind, what="kind") / safe_name(key, what="key")

    def _write(self, path: Path, content: bytes, *, sync: bool) -> bool:
        try:
            write_whole(path, content, sync=sync)
        except OSError:
            return False
        self._unsummed -= len(content)
        if self._unsummed < 0:
            self.trim()
        return True

    def _evict(self, most: int, kind: str | None = None) -> int:
        """Delete files of a kind, or of all, until they are `most` bytes; return how many went."""
        held = self._held.names()
        found = [entry for entry in self._files() if kind in (None, entry.kind)]
        oldest = (time() - _DRAFT_SECONDS) * 1e9
        before = total = sum(entry.size for entry in found)
        for entry in sorted(found, key=lambda entry: entry.used):
            is_draft = entry.key.startswith(".")
            wanted = total > most and f"{entry.kind}/{entry.key}" not in held
            if entry.used < oldest if is_draft else wanted:
                _remove(self.folder / entry.kind / entry.key)
                total -= entry.size
        return before - total

    def _files(self) -> Iterator[Entry]:
        """Yield all files of all kinds, drafts too, whose keys begin with a dot."""
        for kind in _scan(self.folder):
            if kind.is_dir() and not kind.name.startswith("."):
                for file in _scan(kind.path):
                    with suppress(OSError):  # another process has taken it away
                        state = file.stat()
                        yield Entry(kind.name, file.name, state.st_size, state.st_mtime_ns)

    def _hold(self, name: str) -> None:
        # Under the lock: whoever is evicting ends first, and whoever begins knows the name.
        with self._lock("all", _LOCK_SECONDS):
            self._held.add(name)

    @contextmanager
    def _alone(self, kind: str, key: str) -> Iterator[None]:
        """Wait for other processes at the same key; go on where no lock can be made."""
        with ExitStack() as stack:
            with suppress(OSError):
                lock = stack.enter_context(self._lock(f"{kind}.{key}", -1))
                # Whoever waits finds the value, so it may go; a lock a key would add up.
                stack.callback(_remove, Path(lock.lock_file))
            yield

    def _lock(self, name: str, seconds: float) -> "BaseFileLock":
        """Return a lock that waits so long, below 0 without an end, and then raises an OSError."""
        from filelock import FileLock  # late: most runs of a light verb lock nothing

        folder = self.folder / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{name}.lock", timeout=seconds)


def default_cache() -> Cache:
    """Return the cache of the home, `<home>/.hardy/cache`: the same object each time."""
    return _at(home() / ".hardy" / "cache")


@cache
def _at(folder: Path) -> Cache:
    return Cache(folder)


def _digest(content: bytes) -> bytes:
    # Most processors have instructions for SHA-256: 1 ms a MB, where blake2b takes 3.
    return hashlib.sha256(content).digest()


def _touch(path: Path) -> None:
    with suppress(OSError):
        os.utime(path)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _scan(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _aside(key: str, content: bytes) -> Path:
    """Write a temporary file, which goes when this process ends."""
    try:
        folder = Path(mkdtemp(prefix="hardy-"))
        atexit.register(rmtree, folder, ignore_errors=True)
        (folder / key).write_bytes(content)
    except OSError as error:
        message = f"there is no room for {key} ({len(content):,} bytes): {error}"
        raise HardyError(message, hint="Make room on the disk of HARDY_HOME.") from error
    return folder / key
