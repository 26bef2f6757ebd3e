"""Counts of pixels, and all that is measured of them.

A class's intersection over union is I / (P + T - I): I pixels are of it and said to be of it, P are
said to be, T are. Over a set, pixels of all images are added up first (the "mean IoU" of
Cityscapes, of mmsegmentation and of torchmetrics); of one image, only the classes count that its
truth or its answer has. Either way, classes with an empty union are left out of the mean.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hardy.core.errors import DataError
from hardy.measure.records import column

FIELDS = ("intersection", "predicted", "entropy", "nll")
TRUTH = "pixels"


@dataclass(frozen=True)
class Counts:
    """Pixels of N images, of each of K classes.

    Attributes:
        both: Of the class, and said to be (N, K).
        said: Said to be of the class (N, K).
        true: Of the class (N, K).
        nll: Mean over an image's pixels (N,), in nats.
        entropy: Mean over an image's pixels (N,), in nats.
    """

    both: np.ndarray
    said: np.ndarray
    true: np.ndarray
    nll: np.ndarray
    entropy: np.ndarray

    @property
    def score(self) -> np.ndarray:
        """Mean IoU of each image (N,); 1 where no pixel counts, so that nothing can be wrong."""
        union = self.said + self.true - self.both
        there = union > 0
        ratios = np.divide(self.both, union, out=np.zeros(union.shape), where=there)
        count = there.sum(1)
        return np.where(count > 0, ratios.sum(1) / np.maximum(count, 1), 1.0)

    def addends(self) -> np.ndarray:
        """Return numbers (N, S) whose sums over images `measures` takes."""
        pixels = self.true.sum(1)
        seen = pixels > 0
        weighed = [pixels * self.nll, pixels * self.entropy, seen * self.score, seen]
        return np.concatenate([self.both, self.said, self.true, np.stack(weighed, 1)], 1)


def counts(frame: pd.DataFrame, name: str) -> Counts:
    """Read the counts of an answer from records.

    Raises:
        DataError: If the table is empty or lacks the answer, or records are of unlike classes.
    """
    names = (f"{name}.intersection", f"{name}.predicted", TRUTH)
    both, said, true = (_table(frame, each) for each in names)
    nll, entropy = (column(frame, f"{name}.{each}").astype(float) for each in ("nll", "entropy"))
    return Counts(both, said, true, nll, entropy)


def _table(frame: pd.DataFrame, name: str) -> np.ndarray:
    values = column(frame, name).tolist()
    try:
        return np.array(values, float)
    except ValueError as error:
        message = f"the records of {name} count different numbers of classes"
        raise DataError(message, hint="Compare runs on the same classes.") from error


def measures(sums: np.ndarray) -> dict[str, float]:
    """Return every metric from sums (S,) of `Counts.addends`; NaN where no pixel counts."""
    both, said, true = sums[:-4].reshape(3, -1)
    nll, entropy, scores, images = sums[-4:]
    pixels, present = true.sum(), int((true > 0).sum())
    majority = true.max(initial=0) / pixels / present if pixels else np.nan
    found = {
        "miou": _mean(both, said + true - both),
        "image_iou": scores / images if images else np.nan,
        "dice": _mean(2 * both, said + true),
        "pixel_accuracy": both.sum() / pixels if pixels else np.nan,
        "pixel_nll": nll / pixels if pixels else np.nan,
        "pixel_entropy": entropy / pixels if pixels else np.nan,
        "majority_miou": majority,
    }
    return {metric: float(value) for metric, value in found.items()}


def _mean(above: np.ndarray, below: np.ndarray) -> float:
    there = below > 0
    return float(np.mean(above[there] / below[there])) if there.any() else float("nan")


def by_class(found: Counts, name: str, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return one row a class: its pixels, and how an answer's overlap with them.

    `iou`, `dice`, `precision` and `recall` are in [0, 1], and empty where they are 0 / 0.
    """
    both, said, true = (part.sum(0) for part in (found.both, found.said, found.true))
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "answer": name,
                "class": list(classes),
                "pixels": true.astype(int),
                "share": true / true.sum(),
                "predicted": said.astype(int),
                "iou": both / (said + true - both),
                "dice": 2 * both / (said + true),
                "precision": both / said,
                "recall": both / true,
            }
        )
