"""Names that living processes hold, so that no other process takes away what they stand for."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from filelock import BaseFileLock


class Held:
    """Names held by this object for as long as it, and so its process, lives.

    They stand in a file of its own, line by line, beside a lock that the system gives back however
    the process ends.

    Args:
        folder: Where all processes' files are; made on first use.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._own: set[str] = set()

    @cached_property
    def _file(self) -> tuple[Path, "BaseFileLock"]:
        """This object's file, and its lock, which is held from now on."""
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / uuid4().hex
        lock = FileLock(f"{file}.lock")
        lock.acquire()
        return file, lock

    def add(self, name: str) -> None:
        """Hold a name, one line of text, from now on.

        Raises:
            OSError: If the folder cannot be written.
        """
        if name not in self._own:
            with self._file[0].open("a", encoding="utf-8") as stream:
                stream.write(f"{name}\n")
            self._own.add(name)

    def names(self) -> set[str]:
        """Return what all living processes hold, this one too; clear up after the others.

        A process that begins to hold at the same moment may be missed: let both take one lock.

        Raises:
            OSError: If the folder cannot be written.
        """
        from filelock import FileLock, Timeout

        found: set[str] = set()
        for lock in self.folder.glob("*.lock"):
            file = lock.with_suffix("")
            try:
                with FileLock(lock, timeout=0):
                    file.unlink(missing_ok=True)
                    lock.unlink(missing_ok=True)
            except Timeout:
                held = file.read_text(encoding="utf-8") if file.is_file() else ""
                found.update(held.splitlines())
        return found
