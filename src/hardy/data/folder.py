"""Images in class folders: ROOT/CLASS/IMAGE, the layout of ImageNet and its variants.

Folders that are all named by WordNet ids are ImageNet's classes, and a model's 1,000 outputs are
restricted to them; any other names are the model's own classes, in sorted order. Numbers are sorted
as numbers: sorted as text, ImageNetV2's folders 0, 1, 10, 100 give near-zero accuracy.
"""

import re
from pathlib import Path

from hardy.core.errors import DataError
from hardy.core.hashing import file_sha256
from hardy.data.dataset import Dataset, Sample, read_file
from hardy.data.imagenet import imagenet_classes, synset_index

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})
_WORDNET_ID = re.compile(r"n\d{8}")
# Up to here hashing takes well under a second; beyond, a file counts by its name and size.
_HASHED_BYTES = 64 << 20
_EXPECTED = "Expected ROOT/CLASS/*.jpg (or jpeg, png, webp, gif, bmp), one folder a class."


def open_dataset(root: Path) -> Dataset:
    """Open a folder of class folders. Files beside the class folders are left aside.

    A sample's `content` is the SHA-256 of its file if all files together have at most 64 MiB,
    else its size in bytes: an edit that keeps the size of every file then goes unnoticed.

    Raises:
        DataError: If the layout is another one, a class has no image, or a WordNet id is unknown.
    """
    folders = _class_folders(root)
    files = [(label, file) for label, folder in enumerate(folders) for file in _images(folder)]
    hashed = sum(file.stat().st_size for _, file in files) <= _HASHED_BYTES
    samples = [
        Sample(
            id=file.relative_to(root).as_posix(),
            label=label,
            path=file,
            content=file_sha256(file) if hashed else f"{file.stat().st_size} bytes",
        )
        for label, file in files
    ]
    classes, indices = _classes(root, [folder.name for folder in folders])
    ordered = tuple(sorted(samples, key=lambda sample: sample.id))
    return Dataset("folder", classes, indices, ordered, read_file)


def _class_folders(root: Path) -> list[Path]:
    if not root.is_dir():
        message = f"{root}: no such folder"
        raise DataError(message, hint="Set data.root, or HARDY_DATA to the folder that holds it.")
    entries = [entry for entry in root.iterdir() if not entry.name.startswith(".")]
    folders = [entry for entry in entries if entry.is_dir()]
    if not folders:
        message = f"{root}: found {len(entries)} files and no class folders"
        raise DataError(message, hint=_EXPECTED)
    numbers = all(re.fullmatch(r"[0-9]+", folder.name) for folder in folders)
    return sorted(folders, key=lambda f: (int(f.name) if numbers else 0, f.name))


def _images(folder: Path) -> list[Path]:
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    images = [entry for entry in entries if entry.suffix.lower() in SUFFIXES and entry.is_file()]
    if not images:
        found = ", ".join(sorted(entry.name for entry in entries)[:3]) or "nothing"
        message = f"{folder}: found no image in this class folder, but {found}"
        raise DataError(message, hint=_EXPECTED)
    return images


def _classes(root: Path, names: list[str]) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    if not all(_WORDNET_ID.fullmatch(name) for name in names):
        return tuple(names), None
    known, readable = synset_index(), imagenet_classes()
    strangers = [name for name in names if name not in known]
    if strangers:
        message = f"{root}: {strangers[0]} is not among ImageNet's 1,000 classes"
        hint = f"{len(strangers)} of {len(names)} folders are not; remove or rename them."
        raise DataError(message, hint=hint)
    indices = tuple(known[name] for name in names)
    return tuple(readable[index] for index in indices), indices
