"""What datasets that lie in folders share: which files are images, and what they hold."""

import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from hardy.core.errors import DataError
from hardy.core.hashing import file_sha256
from hardy.data.dataset import Sample

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
UNHASHED = " bytes"
"""How a sample's content ends where it is the file's size and no digest."""

UNREADABLE = ""
"""The content of a sample whose file cannot be read, such as a link to nothing."""

# Up to here hashing takes well under a second; beyond, a file counts by its name and size.
HASHED_BYTES = 64 << 20
_EXPECTED = "Expected ROOT/CLASS/*.jpg (or jpeg, png, webp, gif, bmp, tif), one folder a class."


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
    """Return the files that have an image's name; a link to nothing is a broken image.

    A pipe or a device is none: whoever opens one may wait for ever.
    """
    named = (entry for entry in visible(folder) if entry.suffix.lower() in SUFFIXES)
    return [entry for entry in named if entry.is_file() or _leads_nowhere(entry)]


def _leads_nowhere(entry: Path) -> bool:
    return entry.is_symlink() and not entry.exists()


def found_in(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the images directly in a folder, and what else is there in words, both sorted.

    Folders in it are not looked into; it is said how many images are in them.
    """
    taken = sorted(_images(folder))
    others = sorted(set(visible(folder)) - set(taken))
    return taken, [_in_words(entry) for entry in others]


def _in_words(entry: Path) -> str:
    if not entry.is_dir():
        return entry.name
    count = sum(
        Path(name).suffix.lower() in SUFFIXES for _, _, names in os.walk(entry) for name in names
    )
    return f"{entry.name}/ ({count} {'image' if count == 1 else 'images'})"


def left_aside(root: Path, samples: Collection[Sample]) -> Iterator[str]:
    """Say what lies beside samples' files and is none of them: no image by its name, or a folder.

    Images that lie beside class folders, and so in none, are among it.

    Args:
        root: The dataset's.
        samples: All of a folder's, or some of each class.
    """
    folders = {sample.path.parent for sample in samples if sample.path.suffix.lower() in SUFFIXES}
    above = {parent for folder in folders for parent in folder.parents}
    for folder in sorted(folders):
        below = f"{folder.relative_to(root)}/" if folder != root else ""
        entries = sorted(set(visible(folder)) - set(_images(folder)) - folders - above)
        yield from (below + _in_words(entry) for entry in entries)
    if root in above and root not in folders:
        yield from (f"{file.name} (beside the class folders)" for file in sorted(_images(root)))


def visible(folder: Path) -> list[Path]:
    """Return what lies in a folder, without the hidden files of file managers and archives."""
    return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]


def contents(files: Collection[Path]) -> list[str]:
    """Return the SHA-256 of each file if all together have at most 64 MiB, else their sizes.

    An edit that keeps the size of a file then goes unnoticed. Of what cannot be read it is
    `UNREADABLE`, so that mending it is another dataset.
    """
    sizes = [file_size(file) for file in files]
    if sum(size or 0 for size in sizes) <= HASHED_BYTES:
        return [_sha256(file) for file in files]
    return [UNREADABLE if size is None else f"{size}{UNHASHED}" for size in sizes]


def file_size(file: Path) -> int | None:
    """Return a file's size in bytes; None where there is no such file."""
    try:
        return file.stat().st_size
    except OSError:
        return None


def _sha256(file: Path) -> str:
    try:
        return file_sha256(file)
    except OSError:
        return UNREADABLE


def labelled(root: Path, files: Iterable[tuple[int, Path]]) -> tuple[Sample, ...]:
    """Make a sorted manifest of labelled files; ids are the paths below `root`."""
    pairs = list(files)
    digests = contents([file for _, file in pairs])
    samples = [
        Sample(id=file.relative_to(root).as_posix(), label=label, path=file, content=content)
        for (label, file), content in zip(pairs, digests, strict=True)
    ]
    return tuple(sorted(samples, key=lambda sample: sample.id))
