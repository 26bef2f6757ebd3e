"""ImageNet and its variants, each in its published layout, with the class map of its protocol.

    imagenet-val     ROOT/WNID/*.JPEG, 1,000 classes
    imagenet-a, -r   ROOT/WNID/*.jpg, 200 classes; logits are restricted to them before the softmax
    imagenet-sketch  ROOT/WNID/*.JPEG, 1,000 classes
    imagenetv2       ROOT/0 ... ROOT/999, folders named by the index of a model's output; its
                     two other sets, -threshold0.7 and -top-images, alike
    imagenet-c       ROOT/CORRUPTION/SEVERITY/WNID/*.JPEG, 1,000 classes

Every class must be there: with classes missing, accuracies are not those of the protocol. A part
of ImageNet in the same layout is opened as `dataset: folder`.
"""

from pathlib import Path

from hardy.core.errors import DataError
from hardy.data.dataset import Dataset, read_file
from hardy.data.files import class_folders, images, labelled, need_folder
from hardy.data.imagenet import class_map, imagenet_classes, imagenet_synsets
from hardy.data.spec import DataSpec

_RESTRICTED = ("imagenet-a", "imagenet-r")


def open_dataset(root: Path, spec: DataSpec) -> Dataset:
    """Open one of the sets of photographs.

    Raises:
        DataError: If class folders are missing, unknown or empty.
    """
    name = spec.dataset
    indices = class_map(name) if name in _RESTRICTED else None
    names = imagenet_classes()
    classes = tuple(names[index] for index in indices) if indices else names
    folder = root / spec.part_name if spec.part_name else root
    need_folder(root)
    need_folder(folder, hint=f"Expected {root}/CORRUPTION/SEVERITY, such as gaussian_noise/3.")
    files = [
        (label, file)
        for label, below in enumerate(_folders(name, folder, indices))
        for file in images(below)
    ]
    return Dataset(name, classes, indices, labelled(root, files), read_file)


def _folders(name: str, root: Path, indices: tuple[int, ...] | None) -> list[Path]:
    """Return the class folders in label order, all of them and no other."""
    expected = _expected(name, indices)
    found = {folder.name for folder in class_folders(root)}
    missing = [folder for folder in expected if folder not in found]
    strangers = sorted(found - set(expected))
    if missing or strangers:
        total = len(expected)
        message = f"{root}: found {total - len(missing)} of {name}'s {total} class folders"
        message += f", not {', '.join(missing[:3])}" if missing else ""
        message += f"; found {', '.join(strangers[:3])}, which it has not" if strangers else ""
        hint = f"Expected {expected[0]} ... {expected[-1]}; for a part use dataset: folder."
        raise DataError(message, hint=hint)
    return [root / folder for folder in expected]


def _expected(name: str, indices: tuple[int, ...] | None) -> list[str]:
    if name.startswith("imagenetv2"):
        return [str(index) for index in range(len(imagenet_classes()))]
    synsets = imagenet_synsets()
    return [synsets[index] for index in indices] if indices else list(synsets)
