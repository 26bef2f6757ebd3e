"""Images with masks: IMAGES/NAME.jpg and MASKS/NAME.png, as the label images of CamVid.

A mask is a grey or palette image whose pixel values are labels. Their names stand in `labels.txt`
at the dataset's root, one a line in the order of the values; the name `void` is left out of losses
and metrics. SegNet's copy of CamVid comes without such a table; its twelve labels are known here.
"""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from hardy.core.errors import DataError
from hardy.data.dataset import Dataset, Sample, read_file
from hardy.data.decode import decode_mask
from hardy.data.files import contents, images, need_folder
from hardy.data.spec import DataSpec

TABLE = "labels.txt"
VOID = "void"
CAMVID = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
    VOID,
)


def open_dataset(root: Path, spec: DataSpec) -> Dataset:
    """Open a part of CamVid: ROOT/SPLIT/images and ROOT/SPLIT/masks.

    Raises:
        DataError: If the layout is another one, or an image has no mask.
    """
    return open_masks(spec.dataset, root, root / spec.part_name, known=CAMVID)


def has_masks(root: Path) -> bool:
    """Tell whether a folder holds images and masks rather than class folders."""
    return (root / "images").is_dir() and (root / "masks").is_dir()


def open_masks(
    name: str, root: Path, folder: Path, *, known: tuple[str, ...] | None = None
) -> Dataset:
    """Open FOLDER/images and FOLDER/masks; files belong together by their names' stems.

    Args:
        name: The dataset's name in the catalog.
        root: Where the label table is; ids are paths below it.
        folder: The part to open.
        known: Labels where there is no table.

    Raises:
        DataError: If the layout is another one, the table is absent or wrong, or an image has no
            mask.
    """
    need_folder(root)
    if not has_masks(folder):
        message = f"{folder}: found no folders images and masks"
        raise DataError(message, hint=f"Expected {folder}/images/*.jpg and masks/*.png.")
    labels = _labels(root, known)
    files = sorted(images(folder / "images"))
    masks = [_mask_of(folder, file) for file in files]
    samples = tuple(
        Sample(file.relative_to(root).as_posix(), 0, file, content, mask, mask_content)
        for file, mask, content, mask_content in zip(
            files, masks, contents(files), contents(masks), strict=True
        )
    )
    void = labels.index(VOID) if VOID in labels else None
    reader = partial(read_mask, labels=len(labels))
    return Dataset(name, (), None, samples, read_file, reader, labels, void)


def read_mask(sample: Sample, labels: int) -> Image.Image:
    """Decode a sample's mask to label indices, mode L.

    Raises:
        DataError: If the file is broken, or a pixel's value is no label.
    """
    mask = decode_mask(sample.mask, name=str(sample.mask)) if sample.mask else None
    if mask is None:
        message = f"{sample.id}: this sample has no mask"
        raise DataError(message, hint="Choose a dataset with masks.")
    highest = int(np.asarray(mask).max())
    if highest >= labels:
        message = f"{sample.mask}: holds the label {highest}, but there are {labels} labels"
        raise DataError(message, hint=f"Name every label in {TABLE}, in the order of the values.")
    return mask


def _mask_of(folder: Path, image: Path) -> Path:
    mask = folder / "masks" / f"{image.stem}.png"
    if not mask.is_file():
        message = f"{image}: there is no mask {mask}"
        raise DataError(message, hint="Every image needs a mask of the same name, as PNG.")
    return mask


def _labels(root: Path, known: tuple[str, ...] | None) -> tuple[str, ...]:
    table = root / TABLE
    if not table.is_file():
        if known is not None:
            return known
        message = f"{root}: found images and masks, but no {TABLE}"
        raise DataError(message, hint=f"Write {table}: one label's name a line, in their order.")
    lines = [line.strip() for line in table.read_text(encoding="utf-8").splitlines()]
    names = tuple(line for line in lines if line)
    if not names or len(set(names)) != len(names) or len(names) > 256:
        message = f"{table}: expected 1 to 256 different names, got {len(names)} lines"
        raise DataError(message, hint="Write one label's name a line, in the order of the values.")
    return names
