"""What every dataset is once opened: a sorted manifest, class names, an index map, a reader."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from hardy.core.hashing import digest
from hardy.data.decode import decode


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    Attributes:
        id: Stable name within its dataset, such as its path below the root; seeds random numbers.
        label: Index into the dataset's classes.
        path: File that holds it.
        content: Digest of the file's bytes, or of its name and size where hashing would be slow.
    """

    id: str
    label: int
    path: Path
    content: str


@dataclass(frozen=True)
class Dataset:
    """Labelled images in sorted order.

    Attributes:
        name: Name in the catalog.
        classes: Class names in label order.
        model_indices: For each class, its index among the 1,000 outputs of an ImageNet model;
            None where the model's outputs are the classes themselves.
        samples: The manifest, sorted by id.
        read: Decodes a sample to an RGB image, upright; a function at the top of a module, so that
            worker processes can be given it. Raises DataError for a broken file.
    """

    name: str
    classes: tuple[str, ...]
    model_indices: tuple[int, ...] | None
    samples: tuple[Sample, ...]
    read: Callable[[Sample], Image.Image]

    @property
    def digest(self) -> str:
        """32 hexadecimal digits over the manifest and the class map; no pixels are decoded."""
        manifest = [[s.id, s.label, s.content] for s in self.samples]
        indices = list(self.model_indices) if self.model_indices else None
        return digest({"classes": list(self.classes), "indices": indices, "samples": manifest})


def read_file(sample: Sample) -> Image.Image:
    """Decode a sample's file to an upright RGB image.

    Raises:
        DataError: If the file is absent or broken.
    """
    return decode(sample.path, name=str(sample.path))
