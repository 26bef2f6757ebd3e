"""Images in class folders: ROOT/CLASS/IMAGE, the layout of ImageNet and its variants.

Folders that are all named by WordNet ids are ImageNet's classes, and a model's 1,000 outputs are
restricted to them; any other names are the model's own classes, in sorted order. Numbers are sorted
as numbers: sorted as text, ImageNetV2's folders 0, 1, 10, 100 give near-zero accuracy.
A root that holds the folders `images` and `masks` is read as images with masks, one that holds
images and no folder with images as images alone.
"""

import re
from pathlib import Path

from hardy.core.errors import DataError
from hardy.data.dataset import Dataset, read_file
from hardy.data.files import class_folders, images, is_flat, labelled
from hardy.data.imagenet import imagenet_classes, synset_index
from hardy.data.masks import has_masks, open_masks
from hardy.data.spec import DataSpec

_WORDNET_ID = re.compile(r"n\d{8}")


def open_dataset(root: Path, spec: DataSpec | None = None) -> Dataset:
    """Open a folder of class folders. Files beside the class folders are left aside.

    Images alone have no classes, and answers cannot be held against any.

    A sample's `content` is the SHA-256 of its file if all files together have at most 64 MiB,
    else its size in bytes: an edit that keeps the size of every file then goes unnoticed.

    Raises:
        DataError: If the layout is another one, a class has no image, or a WordNet id is unknown.
    """
    if has_masks(root):
        return open_masks("folder", root, root)
    if is_flat(root):
        return Dataset(
            "folder", (), None, labelled(root, [(0, f) for f in images(root)]), read_file
        )
    folders = class_folders(root)
    files = [(label, file) for label, folder in enumerate(folders) for file in images(folder)]
    classes, indices = _classes(root, [folder.name for folder in folders])
    return Dataset("folder", classes, indices, labelled(root, files), read_file)


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
