"""CIFAR-10 as class folders or in its binary version, CIFAR-10-C and CIFAR-10.1 as npy files.

    cifar10    ROOT/SPLIT/CLASS/*.jpg, or ROOT/cifar-10-batches-bin/{data_batch_1..5,test_batch}.bin
    cifar10-c  ROOT/CORRUPTION.npy (50,000 rows, 10,000 a severity) and ROOT/labels.npy
    cifar10.1  ROOT/cifar10.1_v6_data.npy and ROOT/cifar10.1_v6_labels.npy

The Python version of CIFAR-10 is a pickle, whose code hardy does not run.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hardy.core.errors import DataError
from hardy.data.arrays import need_shape, open_npy, read_npy, row_digest
from hardy.data.dataset import Dataset, Sample, read_file
from hardy.data.files import class_folders, images, labelled, need_folder
from hardy.data.spec import DataSpec

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_SIDE = 32
_RECORD = 1 + 3 * _SIDE * _SIDE
_BINARY = "cifar-10-batches-bin"
_PICKLED = "cifar-10-batches-py"
_BATCHES = {
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}
_PER_SEVERITY = 10_000
_AGAIN = "Fetch cifar-10-binary.tar.gz again."


def open_dataset(root: Path, spec: DataSpec) -> Dataset:
    """Open a part of CIFAR-10, CIFAR-10-C or CIFAR-10.1.

    Raises:
        DataError: If files are absent, or have another layout.
    """
    part = spec.part_name
    need_folder(root)
    if spec.dataset == "cifar10-c":
        return _corrupted(root, part)
    if spec.dataset == "cifar10.1":
        return _new(root, part)
    samples = cifar_samples(root, part)
    return Dataset("cifar10", CLASSES, None, samples, read_cifar)


def cifar_samples(root: Path, part: str) -> tuple[Sample, ...]:
    """Return the manifest of CIFAR-10's `train` or `test`, whichever layout it lies in.

    Raises:
        DataError: If neither layout is there, or a class is missing.
    """
    binary = next((f for f in (root / _BINARY, root) if (f / "test_batch.bin").is_file()), None)
    if binary is not None:
        return tuple(s for name in _BATCHES[part] for s in _records(binary / name))
    if (root / part).is_dir():
        return _from_folders(root, part)
    names = {entry.name for entry in root.iterdir()} if root.is_dir() else set()
    pickled = _PICKLED in names or "data_batch_1" in names
    message = f"{root}: found no {part}/CLASS/*.jpg and no {_BINARY}"
    message += ", but the Python version, which is a pickle" if pickled else ""
    raise DataError(message, hint="Get the binary version, cifar-10-binary.tar.gz.")


def read_cifar(sample: Sample) -> Image.Image:
    """Read a sample of either layout as an RGB image of 32 px.

    Raises:
        DataError: If the file is absent or broken.
    """
    if sample.path.suffix != ".bin":
        return read_file(sample)
    # A map of the file would hold all that was ever read of it.
    record = _read(sample.path, 1, sample.row)
    if len(record) != _RECORD:
        message = f"{sample.path}: ends before record {sample.row}"
        raise DataError(message, hint=_AGAIN)
    planes = record[1:].reshape(3, _SIDE, _SIDE)
    return Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))


def _from_folders(root: Path, part: str) -> tuple[Sample, ...]:
    folders = class_folders(root / part)
    found = tuple(folder.name for folder in folders)
    if found != CLASSES:
        message = f"{root / part}: found the class folders {', '.join(found)}"
        raise DataError(message, hint=f"Expected {', '.join(CLASSES)}.")
    return labelled(root, ((label, f) for label, d in enumerate(folders) for f in images(d)))


def _read(path: Path, records: int, first: int = 0) -> NDArray[np.uint8]:
    """Return the bytes of some records of a batch; of fewer, where it ends before; -1 for all."""
    count = records * _RECORD if records >= 0 else -1
    try:
        return np.fromfile(path, np.uint8, count, offset=first * _RECORD)
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise DataError(message, hint=_AGAIN) from error


def _records(path: Path) -> list[Sample]:
    content = _read(path, -1)
    if not len(content) or len(content) % _RECORD:
        message = f"{path}: has {len(content)} bytes, not a multiple of {_RECORD}"
        raise DataError(message, hint=_AGAIN)
    rows = content.reshape(-1, _RECORD)
    if int(rows[:, 0].max()) >= len(CLASSES):
        message = f"{path}: holds the label {int(rows[:, 0].max())}, expected 0 to 9"
        raise DataError(message, hint="This is not the binary version of CIFAR-10.")
    return [
        Sample(f"{path.stem}/{index:05}", int(row[0]), path, row_digest(row[1:]), row=index)
        for index, row in enumerate(rows)
    ]


def _corrupted(root: Path, part: str) -> Dataset:
    kind, severity = part.split("/")
    path, labels_path = root / f"{kind}.npy", root / "labels.npy"
    pixels, labels = open_npy(path), open_npy(labels_path)
    need_shape(pixels, path, (None, _SIDE, _SIDE, 3))
    need_shape(labels, labels_path, (pixels.shape[0],))
    each = pixels.shape[0] // 5
    if pixels.shape[0] != 5 * _PER_SEVERITY:
        message = f"{path}: holds {pixels.shape[0]} images"
        raise DataError(message, hint=f"Expected {5 * _PER_SEVERITY}: 10,000 for each severity.")
    rows = range(each * (int(severity) - 1), each * int(severity))
    return _from_rows("cifar10-c", part, path, pixels, labels, rows)


def _new(root: Path, part: str) -> Dataset:
    path, labels_path = (root / f"cifar10.1_{part}_{what}.npy" for what in ("data", "labels"))
    pixels, labels = open_npy(path), open_npy(labels_path)
    need_shape(pixels, path, (None, _SIDE, _SIDE, 3))
    need_shape(labels, labels_path, (pixels.shape[0],))
    return _from_rows("cifar10.1", part, path, pixels, labels, range(pixels.shape[0]))


def _from_rows(
    name: str, part: str, path: Path, pixels: NDArray[Any], labels: NDArray[Any], rows: range
) -> Dataset:
    samples = tuple(
        # Severities of one corruption share an image's number, as their source is the same.
        Sample(f"{part}/{n:05}", int(labels[row]), path, row_digest(pixels[row]), row=row)
        for n, row in enumerate(rows)
    )
    return Dataset(name, CLASSES, None, samples, read_npy)
