"""Images with masks: IMAGES/NAME.jpg and MASKS/NAME.png, as the label images of CamVid.

A mask is a grey or palette image whose pixel values are labels. Their names stand in `labels.txt`
at the dataset's root, one a line in the order of the values; the name `void` is left out of losses
and metrics. SegNet's copy of CamVid comes without such a table; its twelve labels are known here.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from hardy.core.errors import DataError
from hardy.data.dataset import Dataset, Sample, read_file
from hardy.data.decode import decode_mask
from hardy.data.files import SUFFIXES, contents, images, need_folder
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
        DataError: If the layout is another one, the table is absent or wrong, or images and masks
            are no pairs.
    """
    need_folder(root)
    if not has_masks(folder):
        message = f"{folder}: found no folders images and masks"
        raise DataError(message, hint=f"Expected {folder}/images/*.jpg and masks/*.png.")
    labels = _labels(root, known)
    files = sorted(images(folder / "images"))
    masks = _masks_of(folder, files)
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


def _masks_of(folder: Path, files: Sequence[Path]) -> list[Path]:
    masks = [folder / "masks" / f"{file.stem}.png" for file in files]
    for file, mask in zip(files, masks, strict=True):
        if not mask.is_file():
            message = f"{file}: there is no mask {mask}"
            raise DataError(message, hint="Every image needs a mask of the same name, as PNG.")
    # Without these a photograph in a format that is not read would be left out unsaid.
    alone = sorted(set((folder / "masks").glob("[!.]*.png")) - set(masks))
    if alone:
        message = f"{alone[0]}: there is no image {folder / 'images' / alone[0].stem}.*"
        hint = f"Add it as one of {', '.join(sorted(SUFFIXES))}, or take its mask away."
        raise DataError(message, hint=hint)
    if twice := [mask for mask, times in Counter(masks).items() if times > 1]:
        of = [str(file) for file, mask in zip(files, masks, strict=True) if mask == twice[0]]
        message = f"{twice[0]}: is the mask of {' and '.join(of)}"
        raise DataError(message, hint="Rename one of these images, and give it a mask.")
    return masks


def _labels(root: Path, known: tuple[str, ...] | None) -> tuple[str, ...]:
    table = root / TABLE
    if not table.is_file():
        if known is not None:
            return known
        message = f"{root}: found images and masks, but no {TABLE}"
        raise DataError(message, hint=f"Write {table}: one label's name a line, in their order.")
    try:
        lines = [line.strip() for line in table.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        message = f"{table}: is no text in UTF-8, at byte {error.start}"
        raise DataError(message, hint="Save it as UTF-8.") from error
    while lines and not lines[-1]:
        lines.pop()
    fault = ""
    if not 1 <= len(lines) <= 256:
        fault = f"expected 1 to 256 names, got {len(lines)}"
    elif "" in lines:
        # Line n names the value n - 1: without this line, all later names would move.
        fault = f"line {lines.index('') + 1} is empty, and the value {lines.index('')} is its own"
    elif twice := [name for name, times in Counter(lines).items() if times > 1]:
        fault = f"expected different names, but {twice[0]!r} is there {lines.count(twice[0])} times"
    if fault:
        hint = "Write one label's name a line, in the order of the values from 0."
        message = f"{table}: {fault}"
        raise DataError(message, hint=hint)
    return tuple(lines)
