"""From a data spec to the samples that it names. Nothing here imports torch."""

import os
from importlib import import_module
from pathlib import Path

from hardy.core.errors import DataError, SpecError
from hardy.core.paths import data_dir, project_root
from hardy.core.variables import expand
from hardy.data import parts
from hardy.data.cards import DATASETS, DatasetCard
from hardy.data.dataset import Dataset
from hardy.data.fetch import fetch_all
from hardy.data.packages import package_folder
from hardy.data.spec import DataSpec


def open_dataset(spec: DataSpec) -> Dataset:
    """Open the dataset of a spec, cut down to the spec's part of it. No image is decoded.

    Of the dataset's own part, the wanted classes are kept; what is left is divided, and from the
    part that is used the subset is drawn. An absent dataset is fetched if the spec says so.

    Raises:
        SpecError: If the dataset's name or root cannot be right.
        DataError: If it is absent or has another layout than its card says.
    """
    found = open_undivided(spec)
    if spec.partition is not None:
        found = parts.divide(found, spec.partition).part(spec.partition.part)
    return parts.draw(found, spec.subset) if spec.subset else found


def open_division(spec: DataSpec) -> parts.Division:
    """Open all parts of a spec's `partition`, before its `subset`: to train on one, try another.

    Raises:
        SpecError: If the spec has no partition.
        DataError: If the dataset is absent or has another layout than its card says.
    """
    if spec.partition is None:
        message = "data.partition is missing: there is nothing to divide by"
        raise SpecError(message, hint="Add partition: {fractions: {train: 0.8, val: 0.2}, ...}.")
    return parts.divide(open_undivided(spec), spec.partition)


def open_undivided(spec: DataSpec) -> Dataset:
    """Open the dataset of a spec with its split and classes, but whole.

    Raises:
        SpecError: If the dataset's name or root cannot be right.
        DataError: If it is absent or has another layout than its card says.
    """
    card = DATASETS[spec.dataset]
    fetch(spec)
    root = dataset_root(spec)
    if not (card.generated or root.exists()):
        raise _absent(spec, card)
    whole: Dataset = import_module(card.module).open_dataset(root, spec)
    return parts.of_classes(whole, spec.classes) if spec.classes else whole


def fetch(spec: DataSpec) -> None:
    """Fetch a spec's dataset if it is absent and the spec says `download: true`.

    Raises:
        DataError: If it cannot be had, or is not what its publisher states.
    """
    card = DATASETS[spec.dataset]
    if spec.download and not dataset_root(spec).exists():
        fetch_all(card.downloads, _base(spec, card))


def dataset_if_there(spec: DataSpec) -> Dataset | None:
    """Open the dataset of a spec as `open_dataset` does, but fetch nothing; None if it is absent.

    Raises:
        SpecError: If the dataset's name or root cannot be right.
        DataError: If the files are there but have another layout than stated.
    """
    card = DATASETS[spec.dataset]
    try:
        root = dataset_root(spec)
    except DataError:  # the package that carries the dataset is not installed
        return None
    return open_dataset(spec) if card.generated or root.exists() else None


def data_digest(spec: DataSpec) -> str | None:
    """Return the digest of the samples that a spec names, or None where they are absent.

    The shift is not part of it: a spec states the shift in full. Nothing is downloaded.

    Raises:
        SpecError: If the dataset's name or root cannot be right.
        DataError: If the files are there but have another layout than stated.
    """
    found = dataset_if_there(spec)
    return None if found is None else found.digest


def dataset_root(spec: DataSpec) -> Path:
    """Return the folder that a spec's dataset lies in, whether it is there or not.

    The folder that the published archive holds is stepped into, where it is there. Unpacked
    directly under HARDY_DATA it is found too, if its name tells what it is; HARDY_DATA/NAME comes
    first, so that nothing put beside it changes what runs have read.

    Raises:
        SpecError: If the spec's root cannot be right.
        DataError: If the Python package that carries the dataset is not installed.
    """
    card = DATASETS[spec.dataset]
    base, *others = _places(spec, card)
    if not base.exists():
        return next((place for place in others if place.is_dir()), base)
    return base / card.folder if card.folder and (base / card.folder).is_dir() else base


def _places(spec: DataSpec, card: DatasetCard) -> list[Path]:
    """Return where a dataset is looked for, the first place first."""
    by_folder = card.folder_tells and spec.root is None
    return [_base(spec, card), *([data_dir() / card.folder] if by_folder else [])]


def _absent(spec: DataSpec, card: DatasetCard) -> DataError:
    name, (base, *others) = spec.dataset, _places(spec, card)
    where = f"neither {base} nor {others[0]} exists" if others else f"{base} does not exist"
    message = f"{name}: {where}"
    if name == "folder":
        return DataError(message, hint="Put CLASS/*.jpg there, or set data.root.")
    source = f"Get it from {card.source}"
    also = ", or set data.download: true" if card.downloads else ""
    return DataError(message, hint=f"{source}, put it there or set data.root{also}.")


def _base(spec: DataSpec, card: DatasetCard) -> Path:
    if (card.packaged or card.generated) and spec.root is not None:
        why = "is drawn" if card.generated else "is part of a Python package"
        message = f"data.root: {spec.dataset} {why} and takes no root"
        raise SpecError(message, hint="Remove data.root, or use dataset: folder.")
    if card.generated:
        return Path(spec.dataset)
    if card.packaged:
        return package_folder(card.packaged, hint=card.source)
    if spec.root is None:
        return data_dir() / spec.dataset
    # Relative to the project, as `mlflow run` and cron jobs start in other folders.
    return project_root() / Path(os.path.normpath(expand(spec.root))).expanduser()
