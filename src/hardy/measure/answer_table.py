"""All answers of an experiment over all its runs: one row an answer.

The runs of a matrix mostly see the same photographs, each under another shift. So the interval of a
gain resamples photographs, with all their answers, and not single answers (a cluster bootstrap;
Davison & Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8).
"""

from collections.abc import Mapping

import numpy as np

from hardy.core.seeding import generator
from hardy.measure.paired import flips

_DRAWS = 2000


def answer_row(
    experiment: str,
    answer: str,
    images: np.ndarray,
    scores: tuple[np.ndarray, np.ndarray],
    metrics: Mapping[str, float | None],
    seconds: float | None,
) -> dict[str, object]:
    """Return the row of one answer over all runs of an experiment.

    Args:
        experiment: Its name.
        answer: The answer's name.
        images: The samples' names (N,); those of one name are the same photograph.
        scores: Scores (N,) of the baseline's answers and of this one's.
        metrics: What else the table shows of the answer, over all these samples together; None
            where that has no meaning.
        seconds: What this answer alone takes for a sample, without the others; None if unknown.

    Returns:
        `experiment`, `answer`, `answers` (how many), `images` (different ones), the metrics, `gain`
        in the mean score with its 95 % interval `gain_low` and `gain_high`, `to_right` and
        `to_wrong` (answers whose score rose, and fell), and `seconds`, the answer's own.
    """
    was, now = scores
    low, high = gain_interval(images, was, now)
    to_right, to_wrong = flips(was, now)
    return {
        "experiment": experiment,
        "answer": answer,
        "answers": len(images),
        "images": len(np.unique(images)),
        **metrics,
        "gain": float(now.mean() - was.mean()),
        "gain_low": low,
        "gain_high": high,
        "to_right": to_right,
        "to_wrong": to_wrong,
        "seconds": seconds,
    }


def gain_interval(images: np.ndarray, before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean gain, images drawn with replacement.

    Args:
        images: Names (N,); answers of the same name belong together.
        before: Scores (N,).
        after: Scores (N,) of the same samples in the same order.
    """
    _, place = np.unique(images, return_inverse=True)
    count = int(place.max()) + 1
    gains = np.bincount(place, after.astype(float) - before.astype(float), count)
    sizes = np.bincount(place, minlength=count)
    drawn = generator(0, "gain_interval").integers(count, size=(_DRAWS, count))
    means = gains[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
