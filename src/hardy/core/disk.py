"""Disks that take nothing more, and what to say of them."""

import errno
import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import gettempdir

from hardy.core.errors import HardyError
from hardy.core.paths import home

_FULL = {errno.ENOSPC, errno.EDQUOT}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}
# How SQLite and libraries that hide the number say that a disk is full.
_WORDS = ("disk is full", "no space left", "disk quota exceeded")


def free_bytes(folder: Path) -> int | None:
    """Return how many bytes are free where a folder is, or will be; None where nobody can tell."""
    there = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    try:
        return shutil.disk_usage(there).free
    except OSError:
        return None


def is_full(error: BaseException) -> bool:
    """Return whether an error, whatever library raised it, says that a disk is full."""
    number = error.errno if isinstance(error, OSError) else None
    return number in _FULL or any(each in str(error).lower() for each in _WORDS)


def way_out(folder: Path) -> str:
    """Say what to do about a disk that is full, of a folder on it."""
    free = free_bytes(folder)
    left = "" if free is None else f" ({free / 1e6:,.1f} MB are free)"
    return (
        f"Make room in {folder}{left}, or set HARDY_HOME to a folder on a larger disk; "
        "`hardy plan SPEC` says about what a run leaves."
    )


def not_written(error: OSError) -> HardyError | None:
    """Return what to tell of a file that could not be written; None if that is not what it is."""
    if not is_full(error) and error.errno not in _CLOSED:
        return None
    reason = error.strerror or str(error)
    if error.filename:
        path = Path(str(error.filename))
        message, folder = f"{path} cannot be written: {reason}", path.parent
    else:  # of a file that was open, which the error does not name
        folder = _fullest((home(), Path(gettempdir())))
        message = f"a file in {folder} cannot be written: {reason}"
    if is_full(error):
        return HardyError(message, hint=way_out(folder))
    hint = "Set HARDY_HOME to a folder that you may write to (TMPDIR for temporary files)."
    return HardyError(message, hint=hint)


def _fullest(folders: Iterable[Path]) -> Path:
    return min(folders, key=lambda folder: free_bytes(folder) or 0)
