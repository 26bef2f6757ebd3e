"""Files that are whole or absent."""

import os
import re
import socket
import time
from hashlib import blake2b
from pathlib import Path
from uuid import uuid4

from hardy.core.processes import is_gone

_DRAFT = re.compile(r"\..+\.(?P<host>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{32}\.tmp")
# Containers of one machine may share its name and see none of each other's processes: what is
# younger may be of one that lives. No draft of another machine takes an hour to write.
_YOUNG_SECONDS, _DRAFT_SECONDS = 60, 3600


def write_whole(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Write a file whole or not at all: a draft beside it, then a rename; folders are made.

    A process that is killed leaves its draft, `.NAME.*.tmp`, whose name says whose it is.

    Args:
        path: The file; one that is there is replaced.
        content: What it is to hold.
        sync: Whether to wait until the disk has it. Without, a power cut may leave a torn file,
            which is enough for what can be made anew.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{_host()}-{os.getpid()}-{uuid4().hex}.tmp")
    try:
        with draft.open("wb") as stream:
            stream.write(content)
            stream.flush()
            if sync:
                os.fsync(stream.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def is_abandoned(draft: Path) -> bool:
    """Tell whether nobody writes a draft any more.

    It is a minute old and its process is gone, or it is an hour old.
    """
    try:
        written = draft.stat().st_mtime
    except OSError:
        return False  # it is whole by now
    age, found = time.time() - written, _DRAFT.fullmatch(draft.name)
    if found is not None and found["host"] == _host():
        return age > _YOUNG_SECONDS and is_gone(int(found["process"]), written)
    return age > _DRAFT_SECONDS


def _host() -> str:
    """Return a name of this machine that can be part of a file's."""
    return blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()
