"""Cats and dogs of four sources, as many of each, at 120 px: for self-supervised pretraining.

    ROOT/cifar10/                       CIFAR-10's cats and dogs, training part (see cifar.py)
    ROOT/stanford-dogs/Images/BREED/    Stanford Dogs: dogs
    ROOT/cats_and_dogs_filtered/train/  Google's part of Kaggle's: cats
    ROOT/PetImages/Cat/                 Microsoft's Kaggle pets: cats

The published project takes 25,580 dogs and 18,499 cats from them and drops dogs until there are as
many as cats: 36,998 images. Empty files, of which PetImages has some, are left out.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PIL import Image

from hardy.core.errors import DataError
from hardy.core.seeding import generator
from hardy.data.cifar import CLASSES as CIFAR
from hardy.data.cifar import cifar_samples, read_cifar
from hardy.data.dataset import Dataset, Sample
from hardy.data.files import class_folders, file_size, images, labelled, need_folder
from hardy.data.spec import DataSpec

CLASSES = ("cat", "dog")
SIDE = 120
_CAT, _DOG = range(2)
# The published project's own seed, for the draw that balances the classes.
_SEED = 4


def open_dataset(root: Path, spec: DataSpec) -> Dataset:
    """Open the mix.

    Raises:
        DataError: If a source is absent; all absent ones are named.
    """
    need_folder(root)
    absent = [name for name, (folder, _) in _SOURCES.items() if not (root / folder).is_dir()]
    if absent:
        message = f"{root}: found no {', '.join(absent)}"
        folders = ", ".join(folder for folder, _ in _SOURCES.values())
        raise DataError(message, hint=f"Expected below it: {folders}. Or set download: true.")
    samples = [sample for _, collect in _SOURCES.values() for sample in collect(root)]
    balanced = tuple(sorted(_balance(samples), key=lambda sample: sample.id))
    return Dataset("pets-pretrain", CLASSES, None, balanced, read_pet)


def read_pet(sample: Sample) -> Image.Image:
    """Read a sample and scale it to 120 x 120 pixels, whatever its shape.

    Raises:
        DataError: If the file is absent or broken.
    """
    return read_cifar(sample).resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def _balance(samples: list[Sample]) -> list[Sample]:
    by_class = [[s for s in samples if s.label == label] for label in (_CAT, _DOG)]
    count = min(map(len, by_class))
    return [s for group in by_class for s in _draw(group, count)]


def _draw(group: list[Sample], count: int) -> list[Sample]:
    order = generator(_SEED, "balance").permutation(len(group))[:count]
    return [group[index] for index in order.tolist()]


def _cifar(root: Path) -> list[Sample]:
    wanted = {CIFAR.index("cat"): _CAT, CIFAR.index("dog"): _DOG}
    return [
        replace(sample, id=f"cifar10/{sample.id}", label=wanted[sample.label])
        for sample in cifar_samples(root / "cifar10", "train")
        if sample.label in wanted
    ]


def _stanford(root: Path) -> list[Sample]:
    breeds = class_folders(root / "stanford-dogs" / "Images")
    return _files(root, _DOG, [file for breed in breeds for file in images(breed)])


def _google(root: Path) -> list[Sample]:
    return _files(root, _CAT, images(root / "cats_and_dogs_filtered" / "train" / "cats"))


def _microsoft(root: Path) -> list[Sample]:
    return _files(root, _CAT, images(root / "PetImages" / "Cat"))


def _files(root: Path, label: int, files: list[Path]) -> list[Sample]:
    return list(labelled(root, ((label, file) for file in files if file_size(file) != 0)))


_SOURCES: dict[str, tuple[str, Callable[[Path], list[Sample]]]] = {
    "CIFAR-10": ("cifar10", _cifar),
    "Stanford Dogs": ("stanford-dogs/Images", _stanford),
    "cats_and_dogs_filtered": ("cats_and_dogs_filtered/train/cats", _google),
    "Microsoft PetImages": ("PetImages/Cat", _microsoft),
}
