"""A contact sheet: some samples of a dataset with their labels, to be looked at before a run."""

import numpy as np
from PIL import Image

from hardy.core.seeding import generator
from hardy.data.dataset import Dataset, Sample
from hardy.explain.drawing import GAP, GREY, INK, canvas, fit, font
from hardy.explain.planes import label_colours

_TILE = 160
_LINE = 18
_COLUMNS = 6
_NAME = font(13)


def contact_sheet(dataset: Dataset, *, count: int = 24, seed: int = 0) -> Image.Image:
    """Draw samples in rows of six, each with its class and id; masks stand below their images.

    Args:
        dataset: The samples to draw from.
        count: How many.
        seed: Seed of the draw.

    Raises:
        DataError: If an image is broken.
    """
    order = generator(seed, "sheet").permutation(len(dataset.samples))[:count]
    samples = [dataset.samples[place] for place in sorted(order.tolist())]
    masked = dataset.read_mask is not None
    cell = _TILE * (1 + masked) + 2 * _LINE + GAP
    columns = min(_COLUMNS, len(samples))
    rows = -(-len(samples) // columns)
    sheet, pen = canvas(columns * (_TILE + GAP) + GAP, rows * cell + GAP)
    for number, sample in enumerate(samples):
        x = GAP + (number % columns) * (_TILE + GAP)
        y = GAP + (number // columns) * cell
        sheet.paste(_fitted(dataset.read(sample)), (x, y))
        if masked:
            sheet.paste(_fitted(_coloured(dataset, sample)), (x, y + _TILE))
        below = y + _TILE * (1 + masked)
        label = dataset.classes[sample.label] if dataset.classes else ""
        pen.text((x, below + 2), fit(label, _NAME, _TILE), INK, _NAME)
        pen.text(
            (x, below + 2 + _LINE), fit(sample.id.rpartition("/")[2], _NAME, _TILE), GREY, _NAME
        )
    return sheet


def _fitted(image: Image.Image) -> Image.Image:
    """Return the whole image in a square tile, small ones with square pixels."""
    scale = _TILE / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = scale >= 2
    filter_ = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    tile = Image.new("RGB", (_TILE, _TILE), (236, 238, 240))
    tile.paste(image.resize(size, filter_), ((_TILE - size[0]) // 2, (_TILE - size[1]) // 2))
    return tile


def _coloured(dataset: Dataset, sample: Sample) -> Image.Image:
    labels = np.asarray(dataset.read_mask(sample)) if dataset.read_mask else np.zeros((1, 1), int)
    return Image.fromarray(label_colours()[labels])
