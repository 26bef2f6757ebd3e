"""Files that are whole or absent."""

import os
from pathlib import Path
from uuid import uuid4


def write_whole(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Write a file whole or not at all: a draft beside it, then a rename; folders are made.

    A process that is killed leaves its draft, `.NAME.*.tmp`.

    Args:
        path: The file; one that is there is replaced.
        content: What it is to hold.
        sync: Whether to wait until the disk has it. Without, a power cut may leave a torn file,
            which is enough for what can be made anew.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
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
