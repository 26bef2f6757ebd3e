"""From a data spec to the samples that it names. Nothing here imports torch."""

import os
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from hardy.core.errors import DataError, SpecError
from hardy.core.paths import data_dir, home, project_root
from hardy.core.seeding import generator
from hardy.data.cards import DATASETS, DatasetCard
from hardy.data.dataset import Dataset
from hardy.data.packages import package_folder
from hardy.data.spec import DataSpec, Subset


def open_dataset(spec: DataSpec) -> Dataset:
    """Open the dataset of a spec, cut down to the spec's subset. No image is decoded.

    Raises:
        SpecError: If the dataset's name or root cannot be right.
        DataError: If it is absent or has another layout than its card says.
    """
    card = DATASETS[spec.dataset]
    whole: Dataset = import_module(card.module).open_dataset(_root(spec, card))
    return _part(whole, spec.subset) if spec.subset else whole


def data_digest(spec: DataSpec) -> str | None:
    """Return the digest of the samples that a spec names, or None where they are absent.

    The shift is not part of it: a spec states the shift in full.

    Raises:
        SpecError: If the dataset's name or root cannot be right.
        DataError: If the files are there but have another layout than stated.
    """
    try:
        root = _root(spec, DATASETS[spec.dataset])
    except DataError:  # the package that carries the dataset is not installed
        return None
    return open_dataset(spec).digest if root.exists() else None


def _root(spec: DataSpec, card: DatasetCard) -> Path:
    if card.packaged and spec.root is not None:
        message = f"data.root: {spec.dataset} is part of a Python package and takes no root"
        raise SpecError(message, hint="Remove data.root, or use dataset: folder.")
    if card.packaged:
        return package_folder(card.packaged, hint=card.source)
    if spec.root is None:
        return data_dir() / spec.dataset
    # Relative to the project, as `mlflow run` and cron jobs start in other folders.
    return project_root() / Path(_replace_names(spec.root)).expanduser()


def _replace_names(root: str) -> str:
    known = {"${HARDY_DATA}": str(data_dir()), "${HARDY_HOME}": str(home())}
    for name, folder in known.items():
        root = root.replace(name, folder)
    if left := re.search(r"\$\{\w*\}", root):
        message = f"data.root: {left[0]} is not replaced in a path"
        raise SpecError(message, hint=f"Use {' or '.join(known)}.")
    return os.path.normpath(root)


def _part(whole: Dataset, subset: Subset) -> Dataset:
    total = len(whole.samples)
    if subset.count > total:
        message = f"data.subset.count: {subset.count} samples asked of {whole.name}'s {total}"
        raise DataError(message, hint=f"Use a count of at most {total}, or remove data.subset.")
    drawn = generator(subset.seed, "subset").permutation(total)[: subset.count]
    return replace(whole, samples=tuple(whole.samples[i] for i in sorted(drawn.tolist())))
