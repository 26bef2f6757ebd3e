"""All answers of an experiment over all its runs: one row an answer.

The runs of a matrix mostly see the same photographs, each under another shift. So the interval of a
gain resamples photographs, with all their answers, and not single answers (a cluster bootstrap;
Davison & Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8).
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from hardy.core.seeding import generator
from hardy.measure.paired import flips
from hardy.measure.records import WALL, answers
from hardy.tasks.classify.metrics import answer_metrics, correct

_DRAWS = 2000
_METRICS = ("accuracy", "ece", "nll")


def answer_rows(experiments: Iterable[tuple[str, pd.DataFrame]], before: str) -> pd.DataFrame:
    """Tabulate the answers of experiments.

    Args:
        experiments: For each its name and the records of all its runs, one after the other.
        before: Name of the answer to compare with, such as `source`.

    Returns:
        `experiment`, `answer`, `answers` (how many), `images` (different ones), `accuracy`, `ece`,
        `nll`, `gain` in accuracy with its 95 % interval `gain_low` and `gain_high`, `to_right`,
        `to_wrong`, and `seconds` a sample of the whole experiment.
    """
    return pd.DataFrame(
        [
            _row(name, frame, answer, before)
            for name, frame in experiments
            for answer in answers(frame)
        ]
    )


def _row(name: str, frame: pd.DataFrame, answer: str, before: str) -> dict[str, object]:
    metrics = answer_metrics(frame, answer)
    was, now = correct(frame, before), correct(frame, answer)
    low, high = gain_interval(frame["sample"].to_numpy(), was, now)
    to_right, to_wrong = flips(was, now)
    return {
        "experiment": name,
        "answer": answer,
        "answers": len(frame),
        "images": frame["sample"].nunique(),
        **{key: metrics[key] for key in _METRICS},
        "gain": float(now.mean() - was.mean()),
        "gain_low": low,
        "gain_high": high,
        "to_right": to_right,
        "to_wrong": to_wrong,
        "seconds": float(frame[WALL].mean()) / 1000 if WALL in frame else np.nan,
    }


def gain_interval(images: np.ndarray, before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean gain, images drawn with replacement.

    Args:
        images: Names (N,); answers of the same name belong together.
        before: (N,) of bool.
        after: (N,) of bool.
    """
    _, place = np.unique(images, return_inverse=True)
    count = int(place.max()) + 1
    gains = np.bincount(place, after.astype(float) - before.astype(float), count)
    sizes = np.bincount(place, minlength=count)
    drawn = generator(0, "gain_interval").integers(count, size=(_DRAWS, count))
    means = gains[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
