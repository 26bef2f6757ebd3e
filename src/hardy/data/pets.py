"""The Oxford-IIIT Pet data set: 37 breeds of cats and dogs, with trimaps.

    ROOT/images/BREED_NUMBER.jpg
    ROOT/annotations/trimaps/BREED_NUMBER.png    1 pet, 2 background, 3 border
    ROOT/annotations/trainval.txt, test.txt      BREED_NUMBER CLASS SPECIES BREED, classes from 1

Breeds of cats are written with a capital letter, breeds of dogs without.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from hardy.core.errors import DataError
from hardy.data.dataset import Dataset, Sample, read_file
from hardy.data.decode import decode_mask
from hardy.data.files import contents, need_folder
from hardy.data.spec import DataSpec

TRIMAP = ("pet", "background", "border")
_LISTS = {"trainval": ("trainval",), "test": ("test",), "all": ("trainval", "test")}
_EXPECTED = "Expected images/*.jpg, annotations/trimaps/*.png and annotations/{trainval,test}.txt."


def open_dataset(root: Path, spec: DataSpec) -> Dataset:
    """Open the photographs that a list names; the masks are their trimaps.

    Raises:
        DataError: If a list, a photograph or a trimap is absent, or a list is malformed.
    """
    need_folder(root)
    rows = [row for name in _LISTS[spec.part_name] for row in _rows(root, name)]
    breeds = _breeds(rows)
    rows.sort()
    files = [_existing(root / "images" / f"{name}.jpg") for name, _ in rows]
    masks = [_existing(root / "annotations" / "trimaps" / f"{name}.png") for name, _ in rows]
    samples = tuple(
        Sample(name, label, file, content, mask, mask_content)
        for (name, label), file, mask, content, mask_content in zip(
            rows, files, masks, contents(files), contents(masks), strict=True
        )
    )
    return Dataset(
        "oxford-iiit-pet", breeds, None, samples, read_file, read_trimap, mask_classes=TRIMAP
    )


def read_trimap(sample: Sample) -> Image.Image:
    """Decode a trimap; its values 1, 2, 3 become 0 (pet), 1 (background), 2 (border).

    Raises:
        DataError: If the file is broken, or holds another value.
    """
    name = str(sample.mask)
    values = np.asarray(decode_mask(sample.mask or sample.path, name=name))
    if values.min() < 1 or values.max() > len(TRIMAP):
        message = f"{name}: holds values of {values.min()} to {values.max()}"
        raise DataError(message, hint="Expected a trimap: 1 pet, 2 background, 3 border.")
    return Image.fromarray(values - 1)


def _rows(root: Path, name: str) -> list[tuple[str, int]]:
    path = root / "annotations" / f"{name}.txt"
    if not path.is_file():
        message = f"{path}: no such file"
        raise DataError(message, hint=_EXPECTED)
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_row(path, line) for line in lines if line.strip() and not line.startswith("#")]


def _row(path: Path, line: str) -> tuple[str, int]:
    name, *numbers = line.split()
    if len(numbers) != 3 or not all(n.isdecimal() for n in numbers) or "/" in name:
        message = f"{path}: cannot read the line {line!r}"
        raise DataError(message, hint="Expected BREED_NUMBER CLASS SPECIES BREED.")
    return name, int(numbers[0]) - 1


def _breeds(rows: list[tuple[str, int]]) -> tuple[str, ...]:
    """Return the breeds in label order, from the names of their photographs."""
    named = {label: name.rpartition("_")[0] for name, label in rows}
    if sorted(named) != list(range(len(named))):
        message = f"annotations: found {len(named)} classes numbered {min(named) + 1} to "
        message += f"{max(named) + 1}"
        raise DataError(message, hint="Every class from 1 on needs a photograph in the list.")
    return tuple(named[label] for label in sorted(named))


def _existing(file: Path) -> Path:
    if not file.is_file():
        message = f"{file}: the list names it, but it is absent"
        raise DataError(message, hint=_EXPECTED)
    return file
