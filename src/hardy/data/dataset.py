"""What every dataset is once opened: a sorted manifest, class names, an index map, readers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from hardy.core.hashing import digest
from hardy.data.decode import decode


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    Attributes:
        id: Stable name within its dataset, such as its path below the root; seeds random numbers.
        label: Index into the dataset's classes; 0 where images have no class.
        path: File that holds it.
        content: Digest of the file's bytes, or of its name and size where hashing would be slow.
        mask: File that holds its mask, if there is one.
        mask_content: The same as `content`, for the mask; empty where there is none.
        row: Its place in a file that holds many images; 0 in a file of its own.
    """

    id: str
    label: int
    path: Path
    content: str
    mask: Path | None = None
    mask_content: str = ""
    row: int = 0


@dataclass(frozen=True)
class Dataset:
    """Labelled images in sorted order.

    Attributes:
        name: Name in the catalog.
        classes: Class names in label order; none where images have masks and no class.
        model_indices: For each class, its index among the 1,000 outputs of an ImageNet model;
            None where the model's outputs are the classes themselves.
        samples: The manifest, sorted by id.
        read: Decodes a sample to an RGB image, upright; a function at the top of a module, so that
            worker processes can be given it. Raises DataError for a broken file.
        read_mask: Decodes a sample's mask to an image of mode L, of the size of its image, whose
            pixels are indices into `mask_classes`; None where there are no masks.
        mask_classes: Names of a mask's labels in their order.
        void: Label of pixels that count for nothing; None where all count.
        caption: Says in words what a sample shows, such as `a red circle on stripes`; None where
            there are no captions.
    """

    name: str
    classes: tuple[str, ...]
    model_indices: tuple[int, ...] | None
    samples: tuple[Sample, ...]
    read: Callable[[Sample], Image.Image]
    read_mask: Callable[[Sample], Image.Image] | None = None
    mask_classes: tuple[str, ...] = ()
    void: int | None = None
    caption: Callable[[Sample], str] | None = None

    @property
    def digest(self) -> str:
        """32 hexadecimal digits over the manifest and the class map; no pixels are decoded."""
        manifest = [[s.id, s.label, s.content] for s in self.samples]
        indices = list(self.model_indices) if self.model_indices else None
        classes = list(self.classes)
        value: dict[str, Any] = {"classes": classes, "indices": indices, "samples": manifest}
        if self.read_mask is not None:
            masks = [s.mask_content for s in self.samples]
            value |= {"mask_classes": list(self.mask_classes), "void": self.void, "masks": masks}
        return digest(value)


def read_file(sample: Sample) -> Image.Image:
    """Decode a sample's file to an upright RGB image.

    Raises:
        DataError: If the file is absent or broken.
    """
    return decode(sample.path, name=str(sample.path))
