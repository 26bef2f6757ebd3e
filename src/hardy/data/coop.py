"""The fine-grained sets of CoOp and TPT, in CoOp's layout (arXiv:2109.01134).

    ROOT/FOLDER/...                           photographs, in the folder that `LAYOUTS` names
    ROOT/split_zhou_NAME.json                 {"train": [[PATH, LABEL, CLASS], ...], "val", "test"}

Paths are relative to the folder of photographs. FGVC-Aircraft has its publisher's own lists:

    ROOT/images/NUMBER.jpg
    ROOT/variants.txt                         a class a line, in label order
    ROOT/images_variant_{train,val,test}.txt  NUMBER CLASS

Every class must be there: with classes missing, accuracies are not those of the protocol.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from hardy.core.errors import DataError
from hardy.data.cards import DATASETS
from hardy.data.dataset import Dataset, read_file
from hardy.data.files import labelled, need_folder
from hardy.data.spec import DataSpec

AIRCRAFT = "fgvc-aircraft"
LAYOUTS = {
    "flowers102": ("jpg", "split_zhou_OxfordFlowers.json"),
    "dtd": ("images", "split_zhou_DescribableTextures.json"),
    "stanford-cars": ("", "split_zhou_StanfordCars.json"),
    "ucf101": ("UCF-101-midframes", "split_zhou_UCF101.json"),
    "caltech101": ("101_ObjectCategories", "split_zhou_Caltech101.json"),
    "food101": ("images", "split_zhou_Food101.json"),
    "sun397": ("SUN397", "split_zhou_SUN397.json"),
    "eurosat": ("2750", "split_zhou_EuroSAT.json"),
}
"""The folder of photographs and the split file of each set; the folder may be the root itself."""

_PARTS = ("train", "val", "test")
_VARIANTS = "variants.txt"
_ROW = "Expected [PATH, LABEL, CLASS]: a path below the folder of photographs, an integer, a text."


class Row(NamedTuple):
    """One photograph of a list: where it lies below the folder, and its class by number and name.

    Attributes:
        path: Path relative to the folder of photographs.
        label: Number of its class, from 0.
        name: Name of its class, as the list has it.
    """

    path: str
    label: int
    name: str


class Listed(NamedTuple):
    """What the lists of a dataset say of one part.

    Attributes:
        file: The list.
        folder: Folder of the photographs.
        classes: Names of the classes in label order, those of all parts.
        rows: The part's photographs.
    """

    file: Path
    folder: Path
    classes: tuple[str, ...]
    rows: list[Row]


def open_dataset(root: Path, spec: DataSpec) -> Dataset:
    """Open the photographs of one part, in sorted order; a split file's underscores become spaces.

    Raises:
        DataError: If a list or a photograph is absent, a list is malformed, or a class is missing
            or has two names.
    """
    need_folder(root)
    read = _aircraft if spec.dataset == AIRCRAFT else _split
    file, folder, classes, rows = read(root, spec)
    _need_different(file, [row.path for row in rows])
    images = [(row.label, _image(folder, row.path, file)) for row in rows]
    return Dataset(spec.dataset, classes, None, labelled(root, images), read_file)


def _split(root: Path, spec: DataSpec) -> Listed:
    folder, name = LAYOUTS[spec.dataset]
    parts = _read_split(root / name)
    rows = [row for part in parts.values() for row in part]
    classes = _classes(spec.dataset, root / name, rows)
    return Listed(root / name, root / folder, classes, parts[spec.part_name])


def _aircraft(root: Path, spec: DataSpec) -> Listed:
    table, file = root / _VARIANTS, root / f"images_variant_{spec.part_name}.txt"
    classes = tuple(_lines(table))
    if len(set(classes)) != len(classes):
        message = f"{table}: names a class twice"
        raise DataError(message, hint="Unpack FGVC-Aircraft's archive again.")
    _need_all(spec.dataset, table, range(len(classes)))
    rows = [_variant_row(file, line, classes) for line in _lines(file)]
    return Listed(file, root / "images", classes, rows)


def _variant_row(file: Path, line: str, classes: Sequence[str]) -> Row:
    number, _, name = line.partition(" ")
    if name not in classes:
        message = f"{file}: {name!r} is not among the classes of {_VARIANTS}"
        raise DataError(message, hint="Expected NUMBER CLASS, such as `1514522 707-320`.")
    return Row(f"{number}.jpg", classes.index(name), name)


def _read_split(file: Path) -> dict[str, list[Row]]:
    """Read all parts of a split file."""
    try:
        content = json.loads(_text(file))
    except json.JSONDecodeError as error:
        message = f"{file}: this is no JSON: {error}"
        raise DataError(message, hint="Fetch it again, as CoOp's DATASETS.md says.") from error
    parts = content if isinstance(content, dict) else {}
    missing = [name for name in _PARTS if not isinstance(parts.get(name), list)]
    if missing:
        message = f"{file}: found no list {missing[0]!r}"
        raise DataError(message, hint='Expected {"train": [...], "val": [...], "test": [...]}.')
    return {name: [_row(file, entry) for entry in parts[name]] for name in _PARTS}


def _row(file: Path, entry: object) -> Row:
    if isinstance(entry, list) and len(entry) == 3:
        path, label, name = entry
        # JSON's true is an int to Python.
        if isinstance(path, str) and type(label) is int and isinstance(name, str) and name.strip():
            return Row(path, label, name)
    message = f"{file}: cannot read the entry {json.dumps(entry)}"
    raise DataError(message, hint=_ROW)


def _classes(dataset: str, file: Path, rows: Iterable[Row]) -> tuple[str, ...]:
    """Return the classes in label order."""
    names: dict[int, str] = {}
    for row in rows:
        if names.setdefault(row.label, row.name) != row.name:
            message = f"{file}: label {row.label} is {names[row.label]!r} and {row.name!r}"
            raise DataError(message, hint="A label has one name, the same in all parts.")
    _need_all(dataset, file, names)
    return tuple(names[label].replace("_", " ") for label in sorted(names))


def _need_all(dataset: str, file: Path, labels: Iterable[int]) -> None:
    count, found = DATASETS[dataset].classes or 0, set(labels)
    wrong = sorted(found ^ set(range(count)))
    if wrong:
        message = f"{file}: found {len(found)} classes, expected {dataset}'s {count}"
        message += f"; label {wrong[0]} is {'unknown' if wrong[0] in found else 'missing'}"
        raise DataError(message, hint=f"Labels run from 0 to {count - 1}, each with a photograph.")


def _need_different(file: Path, paths: Sequence[str]) -> None:
    seen: set[str] = set()
    for path in paths:
        if path in seen:
            message = f"{file}: names {path} twice in one part"
            raise DataError(message, hint="Fetch the list again: a photograph counts once.")
        seen.add(path)


def _image(folder: Path, path: str, file: Path) -> Path:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        message = f"{file}: {path} leaves the folder of photographs"
        raise DataError(message, hint=_ROW)
    image = folder / pure
    if not image.is_file():
        message = f"{image}: {file.name} names it, but it is absent"
        raise DataError(message, hint="Paths are relative to the folder that CoOp's layout has.")
    return image


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in _text(file).splitlines() if line.strip()]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{file}: cannot be read: {error}"
        hint = "`hardy data check` says which files the dataset needs and where they come from."
        raise DataError(message, hint=hint) from error
