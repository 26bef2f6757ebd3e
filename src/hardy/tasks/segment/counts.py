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
from hardy.tasks.segment.pixels import MOST_CONFUSED

_FIRST = ("intersection", "predicted", "entropy", "nll")
_LATER = (
    "inner_intersection",
    "inner_predicted",
    "soft_intersection",
    "soft_predicted",
    "boundary_f1",
    "confusion",
)
FIELDS = (*_FIRST, *_LATER)
TRUTH, INNER_TRUTH = "pixels", "inner_pixels"

_GROUP, _SMOOTH, _EPS = 32, 1e-6, 1e-5
_GROUPED = ("batch_miou", "batch_dice")
_EARLY_METRICS = (
    "miou",
    "image_iou",
    "dice",
    "pixel_accuracy",
    "pixel_nll",
    "pixel_entropy",
    "majority_miou",
    "image_dice",
    *_GROUPED,
)
_LATER_METRICS = (
    "inner_miou",
    "inner_dice",
    "soft_dice_pooled",
    "soft_iou_pooled",
    "boundary_f1",
)
_WEIGHED = 8  # numbers of an image that are no counts of classes


@dataclass(frozen=True)
class Counts:
    """Pixels of N images, of each of K classes.

    Attributes:
        both: Of the class, and said to be (N, K).
        said: Said to be of the class (N, K).
        true: Of the class (N, K).
        nll: Mean over an image's pixels (N,), in nats.
        entropy: Mean over an image's pixels (N,), in nats.
        inner: The first three without pixels near another class; None where records lack them,
            as those of earlier versions do, and then the rest, too.
        soft: Sums of the true classes' probabilities, and of all (N, 2).
        boundary: F1 of boundaries (N,).
    """

    both: np.ndarray
    said: np.ndarray
    true: np.ndarray
    nll: np.ndarray
    entropy: np.ndarray
    inner: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    soft: np.ndarray | None = None
    boundary: np.ndarray | None = None

    @property
    def score(self) -> np.ndarray:
        """Mean IoU of each image (N,); 1 where no pixel counts, so that nothing can be wrong."""
        return _own_mean(self.both, self.said + self.true - self.both)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that follow from them."""
        return _EARLY_METRICS if self.inner is None else (*_EARLY_METRICS, *_LATER_METRICS)

    def addends(self) -> np.ndarray:
        """Return numbers (N, S) whose sums over images `measures` takes."""
        pixels = self.true.sum(1)
        seen = pixels > 0
        dice = _own_mean(2 * self.both, self.said + self.true)
        zeros = np.zeros(len(pixels))
        right, total = (zeros, zeros) if self.soft is None else self.soft.T
        # Exactly 1 where the answer is the truth; beside 2 (Σgp + ε) it is less by ε / (Σg + Σp).
        soft_dice = (2 * right + _EPS) / (pixels + total + _EPS)
        soft_iou = (right + _EPS) / (pixels + total - right + _EPS)
        boundary = zeros if self.boundary is None else self.boundary
        means = (self.score, dice, soft_dice, soft_iou, boundary)
        weighed = [pixels * self.nll, pixels * self.entropy, *(seen * each for each in means), seen]
        areas = [self.both, self.said, self.true]
        areas += self.inner or [np.zeros(self.both.shape)] * 3
        return np.concatenate([*areas, np.stack(weighed, 1)], 1)

    def grouped(self, places: np.ndarray | None = None) -> dict[str, float]:
        """Return the metrics that are means over groups of 32 consecutive images.

        Args:
            places: Which images, in which order; none: all.
        """
        areas = [self.both, self.said, self.true]
        if places is not None:
            areas = [each[places] for each in areas]
        starts = np.arange(0, len(areas[0]), _GROUP)
        both, said, true = (np.add.reduceat(each, starts) for each in areas)
        there = (said + true).sum(0) > 0
        if not there.any():
            return dict.fromkeys(_GROUPED, float("nan"))
        iou = (both + _SMOOTH) / (said + true - both + _SMOOTH)
        dice = (2 * both + _SMOOTH) / (said + true + _SMOOTH)
        return {
            name: float(each[:, there].mean(1).mean())
            for name, each in zip(_GROUPED, (iou, dice), strict=True)
        }

    def metrics(self) -> dict[str, float]:
        """Return every metric that follows from them; NaN where no pixel counts."""
        found = measures(self.addends().sum(0)) | self.grouped()
        return {name: found[name] for name in self.names}


def counts(frame: pd.DataFrame, name: str) -> Counts:
    """Read the counts of an answer from records.

    Raises:
        DataError: If the table is empty or lacks the answer, or records are of unlike classes.
    """
    names = (f"{name}.intersection", f"{name}.predicted", TRUTH)
    both, said, true = (_table(frame, each) for each in names)
    nll, entropy = (column(frame, f"{name}.{each}").astype(float) for each in ("nll", "entropy"))
    if INNER_TRUTH not in frame:
        return Counts(both, said, true, nll, entropy)
    names = (f"{name}.inner_intersection", f"{name}.inner_predicted", INNER_TRUTH)
    inner = [_table(frame, each) for each in names]
    right, total, boundary = (
        column(frame, f"{name}.{each}").astype(float)
        for each in ("soft_intersection", "soft_predicted", "boundary_f1")
    )
    soft = np.stack([right, total], 1)
    return Counts(both, said, true, nll, entropy, (inner[0], inner[1], inner[2]), soft, boundary)


def known(frame: pd.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns of the truth and of an answer that records have: earlier ones lack some.

    The matrix of confusions is none of them, since no metric follows from it.
    """
    if INNER_TRUTH not in frame:
        return (TRUTH,), _FIRST
    return (TRUTH, INNER_TRUTH), FIELDS[:-1]


def confused(frame: pd.DataFrame, name: str, classes: int) -> np.ndarray | None:
    """Return all images' pixels by true and predicted class (K, K); None where records lack it.

    Raises:
        DataError: If the table is empty or lacks the answer.
    """
    if INNER_TRUTH not in frame or classes > MOST_CONFUSED:
        return None
    pairs = np.concatenate([np.array(each, int) for each in column(frame, f"{name}.confusion")])
    cells, pixels = pairs.reshape(-1, 2).T
    return np.bincount(cells, pixels, classes**2).astype(int).reshape(classes, classes)


def _table(frame: pd.DataFrame, name: str) -> np.ndarray:
    values = column(frame, name).tolist()
    try:
        return np.array(values, float)
    except ValueError as error:
        message = f"the records of {name} count different numbers of classes"
        raise DataError(message, hint="Compare runs on the same classes.") from error


def measures(sums: np.ndarray) -> dict[str, float]:
    """Return every metric from sums (S,) of `Counts.addends`, but those of groups of images.

    NaN where no pixel counts. Of records of earlier versions, some are to be left out: see
    `Counts.names`.
    """
    areas, weighed = np.split(sums, [-_WEIGHED])
    both, said, true, inner_both, inner_said, inner_true = areas.reshape(6, -1)
    nll, entropy, *scores, images = weighed
    names = ("image_iou", "image_dice", "soft_dice_pooled", "soft_iou_pooled", "boundary_f1")
    pixels, present = true.sum(), int((true > 0).sum())
    majority = true.max(initial=0) / pixels / present if pixels else np.nan
    found = {
        "miou": _mean(both, said + true - both),
        "dice": dice(both, said, true),
        "pixel_accuracy": both.sum() / pixels if pixels else np.nan,
        "pixel_nll": nll / pixels if pixels else np.nan,
        "pixel_entropy": entropy / pixels if pixels else np.nan,
        "majority_miou": majority,
        "inner_miou": _mean(inner_both, inner_said + inner_true - inner_both),
        "inner_dice": _mean(2 * inner_both, inner_said + inner_true),
        **{
            name: score / images if images else np.nan
            for name, score in zip(names, scores, strict=True)
        },
    }
    return {metric: float(value) for metric, value in found.items()}


def dice(both: np.ndarray, said: np.ndarray, true: np.ndarray) -> float:
    """Return the mean over classes with pixels of twice the overlap over both areas (K,) each."""
    return _mean(2 * both, said + true)


def _mean(above: np.ndarray, below: np.ndarray) -> float:
    there = below > 0
    return float(np.mean(above[there] / below[there])) if there.any() else float("nan")


def _own_mean(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return each image's mean ratio (N,) over the classes that it has; 1 where it has none."""
    there = below > 0
    ratios = np.divide(above, below, out=np.zeros(below.shape), where=there)
    count = there.sum(1)
    return np.where(count > 0, ratios.sum(1) / np.maximum(count, 1), 1.0)


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
