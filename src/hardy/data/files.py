"""What datasets that lie in folders share: which files are images, and what they hold."""

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from hardy.core.errors import DataError
from hardy.core.hashing import file_sha256
from hardy.data.dataset import Sample

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})
UNHASHED = " bytes"
"""How a sample's content ends where it is the file's size and no digest."""

# Up to here hashing takes well under a second; beyond, a file counts by its name and size.
HASHED_BYTES = 64 << 20
_EXPECTED = "Expected ROOT/CLASS/*.jpg (or jpeg, png, webp, gif, bmp), one folder a class."


def need_folder(root: Path, *, hint: str = "") -> None:
    """Raise if there is no such folder.

    Raises:
        DataError: If it is absent.
    """
    if not root.is_dir():
        message = f"{root}: no such folder"
        default = "Set data.root, or HARDY_DATA to the folder that holds it."
        raise DataError(message, hint=hint or default)


def class_folders(root: Path) -> list[Path]:
    """Return the folders directly below, sorted by name; names that are numbers as numbers.

    Raises:
        DataError: If there is none.
    """
    need_folder(root)
    entries = visible(root)
    folders = [entry for entry in entries if entry.is_dir()]
    if not folders:
        message = f"{root}: found {len(entries)} files and no class folders"
        raise DataError(message, hint=_EXPECTED)
    numbers = all(re.fullmatch(r"[0-9]+", folder.name) for folder in folders)
    return sorted(folders, key=lambda f: (int(f.name) if numbers else 0, f.name))


def is_flat(root: Path) -> bool:
    """Tell whether a folder holds images, and no folder in it does: images without classes."""
    need_folder(root)
    folders = (entry for entry in visible(root) if entry.is_dir())
    return bool(_images(root)) and not any(map(_images, folders))


def images(folder: Path) -> list[Path]:
    """Return the images directly in a class folder.

    Raises:
        DataError: If there is none.
    """
    found = _images(folder)
    if not found:
        others = ", ".join(sorted(entry.name for entry in visible(folder))[:3]) or "nothing"
        message = f"{folder}: found no image in this class folder, but {others}"
        raise DataError(message, hint=_EXPECTED)
    return found


def _images(folder: Path) -> list[Path]:
    files = (entry for entry in visible(folder) if entry.suffix.lower() in SUFFIXES)
    return [entry for entry in files if entry.is_file()]


def visible(folder: Path) -> list[Path]:
    """Return what lies in a folder, without the hidden files of file managers and archives."""
    return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]


def contents(files: Collection[Path]) -> list[str]:
    """Return the SHA-256 of each file if all together have at most 64 MiB, else their sizes.

    An edit that keeps the size of a file then goes unnoticed.
    """
    sizes = [file.stat().st_size for file in files]
    if sum(sizes) <= HASHED_BYTES:
        return [file_sha256(file) for file in files]
    return [f"{size}{UNHASHED}" for size in sizes]


def labelled(root: Path, files: Iterable[tuple[int, Path]]) -> tuple[Sample, ...]:
    """Make a sorted manifest of labelled files; ids are the paths below `root`."""
    pairs = list(files)
    digests = contents([file for _, file in pairs])
    samples = [
        Sample(id=file.relative_to(root).as_posix(), label=label, path=file, content=content)
        for (label, file), content in zip(pairs, digests, strict=True)
    ]
    return tuple(sorted(samples, key=lambda sample: sample.id))
