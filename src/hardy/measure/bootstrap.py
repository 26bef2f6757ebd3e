"""The interval of a number that is no mean of scores: samples drawn anew, and it computed again.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile interval).
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from hardy.core.errors import DataError
from hardy.core.seeding import generator

_DRAWS = 1000


def resampled(
    metric: Callable[[pd.DataFrame], float],
    frame: pd.DataFrame,
    clusters: np.ndarray | None = None,
    *,
    draws: int = _DRAWS,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the percentile interval of a metric over samples drawn with replacement.

    Args:
        metric: Computes the number from a table; called once a draw.
        frame: One row a sample; a table of few columns is drawn faster.
        clusters: Names (N,): rows of the same name are drawn together, such as one photograph
            under several shifts; none: each row by itself.
        draws: How often.
        confidence: Level of the two-sided interval, in (0, 1).

    Raises:
        DataError: If the table is empty.
    """
    if frame.empty:
        message = "there is no sample to draw an interval from"
        raise DataError(message, hint="Run the experiment on at least one sample.")
    names = np.arange(len(frame)) if clusters is None else np.asarray(clusters)
    _, place = np.unique(names, return_inverse=True)
    rows = [np.flatnonzero(place == number) for number in range(int(place.max()) + 1)]
    rng = generator(0, "resampled")
    found = []
    for _ in range(draws):
        drawn = rng.integers(len(rows), size=len(rows))
        found.append(metric(frame.iloc[np.concatenate([rows[number] for number in drawn])]))
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(found, [tail, 1 - tail])
    return float(low), float(high)
