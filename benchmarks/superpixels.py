"""How many superpixels a corrupted photograph gives, and how well they keep to what it shows.

    python -m benchmarks.superpixels [--severities 3 5] [--segments 12]

The 20 photographs of imagenet-sample at 224 pixels under ImageNet-C's 15 corruptions. For each
corruption: how many superpixels there are (median, fewest), and the share of the photographs of
which one covers more than 95 %; without smoothing, and with the default. Then settings over all
corruptions. `explained` is the share of the variance of the clean photograph's colours (Lab) that
lies between the superpixels of the corrupted one: 0 for a single one; more where they keep to what
is shown. Its 95 % interval is of photographs drawn anew.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from skimage.color import rgb2lab

from hardy.data.open import open_dataset
from hardy.data.pipeline import SamplePipeline
from hardy.data.preprocess import Preprocess
from hardy.data.spec import CORRUPTIONS, Corruption, DataSpec
from hardy.methods.memo_plus.masks import Masks, Pixels
from hardy.methods.memo_plus.segmenters import SuperpixelMasks
from hardy.methods.memo_plus.spec import Superpixels

PREPROCESS = Preprocess(224, 256, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SETTINGS = [(10, 0), (10, 2), (10, 4), (10, 8), (40, 0), (40, 4)]  # compactness, sigma


@dataclass(frozen=True)
class Found:
    """Numbers by corruption and photograph (C, P)."""

    counts: np.ndarray
    largest: np.ndarray
    explained: np.ndarray


def photographs(shift: Corruption | None) -> list[Pixels]:
    dataset = open_dataset(DataSpec(dataset="imagenet-sample"))
    made = SamplePipeline(dataset, PREPROCESS, shift=shift)
    return [made[place].pixels[0].permute(1, 2, 0).numpy() for place in range(len(made))]


def explained(clean: Pixels, masks: Masks) -> float:
    colours = rgb2lab(clean)
    means = np.stack([colours[mask].mean(axis=0) for mask in masks])
    shares = masks.mean(axis=(1, 2))
    between = shares @ ((means - colours.mean(axis=(0, 1))) ** 2)
    return float(between.sum() / colours.var(axis=(0, 1)).sum())


def measured(segment: object, clean: list[Pixels], shifted: list[list[Pixels]]) -> Found:
    rows = []
    for images in shifted:
        masks = [segment(image) for image in images]
        rows.append(
            [
                (len(m), m.mean(axis=(1, 2)).max(), explained(c, m))
                for c, m in zip(clean, masks, strict=True)
            ]
        )
    return Found(*np.moveaxis(np.array(rows), 2, 0))


def grid(image: Pixels) -> Masks:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    labels = 3 * (3 * y // image.shape[0]) + 3 * x // image.shape[1]
    return labels == np.arange(9)[:, None, None]


def summary(found: Found) -> str:
    drawn = np.random.default_rng(0).integers(found.counts.shape[1], size=(2000, 20))
    low, high = np.percentile(found.explained.mean(axis=0)[drawn].mean(axis=1), [2.5, 97.5])
    return (
        f"{np.median(found.counts):6.1f}{found.counts.min():8.0f}"
        f"{100 * np.mean(found.largest > 0.95):8.1f}"
        f"{found.explained.mean():10.3f} [{low:.3f}, {high:.3f}]"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--severities", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--segments", type=int, default=12)
    asked = parser.parse_args()
    shifts = [
        Corruption(kind=kind, severity=severity)
        for kind in CORRUPTIONS[:15]
        for severity in asked.severities
    ]
    clean, shifted = photographs(None), [photographs(shift) for shift in shifts]
    found = {
        (compactness, sigma): measured(
            SuperpixelMasks(
                Superpixels(segments=asked.segments, compactness=compactness, sigma=sigma)
            ),
            clean,
            shifted,
        )
        for compactness, sigma in SETTINGS
    }
    before, after = found[10, 0], found[10, 4]
    print(f"{'median, fewest, whole %':24}{'sigma 0':>18}{'sigma 4':>18}   n = {len(clean)} each")
    for place, shift in enumerate(shifts):
        cells = (
            f"{np.median(each.counts[place]):8.1f}{each.counts[place].min():4.0f}"
            f"{100 * np.mean(each.largest[place] > 0.95):6.0f}"
            for each in (before, after)
        )
        print(f"{shift.label:24}{''.join(cells)}")
    print(f"\n{'all':28}median  fewest whole %  explained")
    for (compactness, sigma), each in found.items():
        print(f"compactness {compactness:3}, sigma {sigma}   {summary(each)}")
    print(f"{'a plain grid of 9':27}{summary(measured(grid, clean, shifted))}")


if __name__ == "__main__":
    main()
