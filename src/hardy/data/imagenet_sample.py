"""Twenty labelled ImageNet validation photographs, shipped by the foolbox package."""

import re
from pathlib import Path

from hardy.core.errors import DataError
from hardy.core.hashing import file_sha256
from hardy.data.dataset import Dataset, Sample, read_file
from hardy.data.imagenet import imagenet_classes
from hardy.data.spec import DataSpec

_FILE = re.compile(r"imagenet_\d+_(\d+)\.jpg")


def open_dataset(root: Path, spec: DataSpec) -> Dataset:
    """Open the photographs; the label, 0 to 999, stands in the file's name.

    Args:
        root: Folder of the foolbox package.
        spec: Names this dataset and nothing else of use here.

    Raises:
        DataError: If the package has other files than expected.
    """
    classes = imagenet_classes()
    samples = [
        Sample(id=file.name, label=int(found[1]), path=file, content=file_sha256(file))
        for file in sorted((root / "data").glob("imagenet_*.jpg"))
        if (found := _FILE.fullmatch(file.name)) and int(found[1]) < len(classes)
    ]
    if not samples:
        message = f"{root / 'data'}: found no imagenet_NN_LABEL.jpg"
        raise DataError(message, hint="pip install 'hardy[demo]'")
    return Dataset("imagenet-sample", classes, None, tuple(samples), read_file)
