"""How the benchmarks measure: two ways of doing the same, in turns, as a ratio with an interval."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np


@dataclass(frozen=True)
class Ratio:
    """How many times slower the plain way is.

    Attributes:
        plain: Median seconds of the plain way.
        fast: Median seconds of the fast way.
        ratio: Median of the rounds' ratios.
        low: Lower end of its 95 % bootstrap interval.
        high: Upper end.
        rounds: How many pairs were timed.
    """

    plain: float
    fast: float
    ratio: float
    low: float
    high: float
    rounds: int

    def __str__(self) -> str:
        return (
            f"{self.plain:8.3f} s plain  {self.fast:8.3f} s fast  "
            f"{self.ratio:5.2f}x [{self.low:.2f}, {self.high:.2f}]  n={self.rounds}"
        )


def compare(plain: Callable[[], object], fast: Callable[[], object], rounds: int = 5) -> Ratio:
    """Time two functions in turns, after one round that does not count."""
    plain()
    fast()
    return compare_seconds(lambda: _seconds(plain), lambda: _seconds(fast), rounds)


def compare_seconds(plain: Callable[[], float], fast: Callable[[], float], rounds: int) -> Ratio:
    """Call in turns two functions that say themselves how many seconds they took."""
    return ratio_of([(plain(), fast()) for _ in range(rounds)])


def ratio_of(pairs: Sequence[tuple[float, float]]) -> Ratio:
    """Return the ratio of pairs of times, the plain way's first."""
    times = np.array(pairs)
    ratios = times[:, 0] / times[:, 1]
    draws = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    medians = np.median(times, axis=0)
    return Ratio(medians[0], medians[1], float(np.median(ratios)), low, high, len(ratios))


def _seconds(function: Callable[[], object]) -> float:
    start = perf_counter()
    function()
    return perf_counter() - start
