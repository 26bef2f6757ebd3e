"""The interval of a number that is no mean of scores: samples drawn anew, and it computed again.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile interval).
"""

from collections.abc import Callable

import numpy as np

from hardy.core.errors import DataError
from hardy.core.seeding import generator

_DRAWS = 1000


def resampled(
    metric: Callable[[np.ndarray], float],
    count: int,
    clusters: np.ndarray | None = None,
    *,
    draws: int = _DRAWS,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the percentile interval of a metric over samples drawn with replacement.

    Args:
        metric: Computes the number of the samples at some places; called once a draw.
        count: How many samples there are, N.
        clusters: Names (N,): samples of the same name are drawn together, such as one photograph
            under several shifts; none: each by itself.
        draws: How often.
        confidence: Level of the two-sided interval, in (0, 1).

    Raises:
        DataError: If there is no sample.
    """
    if not count:
        message = "there is no sample to draw an interval from"
        raise DataError(message, hint="Run the experiment on at least one sample.")
    _, place = np.unique(np.arange(count) if clusters is None else clusters, return_inverse=True)
    members = [np.flatnonzero(place == number) for number in range(int(place.max()) + 1)]
    single = np.concatenate(members) if len(members) == count else None
    rng = generator(0, "resampled")
    found = []
    for _ in range(draws):
        drawn = rng.integers(len(members), size=len(members))
        places = np.concatenate([members[n] for n in drawn]) if single is None else single[drawn]
        found.append(metric(places))
    if np.isnan(found).all():
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(found, [tail, 1 - tail])
    return float(low), float(high)
