"""The best trial beside the spec's own values, on samples that no trial saw."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hardy.measure.answer_table import gain_interval
from hardy.results.stored import StoredUnit


@dataclass(frozen=True)
class Comparison:
    """Two sets of runs, one a seed, on the same samples.

    Attributes:
        answers: How many answers each gave.
        images: How many different images they are of.
        metric: The first objective's name.
        own: Its mean over the runs of the spec's own values.
        best: Its mean over those of the best trial.
        gain: Mean difference of the samples' scores; higher is better.
        low: Lower end of its 95 % interval, images drawn with all their answers.
        high: Upper end.
    """

    answers: int
    images: int
    metric: str
    own: float
    best: float
    gain: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """What the interval says."""
        if self.low > 0:
            return "the best trial is better"
        if self.high < 0:
            return "the best trial is worse"
        return "no difference is shown"

    def line(self) -> str:
        """Say it in one line."""
        return (
            f"on {self.answers} answers of {self.images} images that no trial saw: {self.metric} "
            f"{self.best:.4g} against {self.own:.4g} with the spec's own values; score "
            f"{self.gain:+.4g} [{self.low:+.4g}, {self.high:+.4g}]: {self.verdict}"
        )

    def metrics(self) -> dict[str, float]:
        """Return its numbers as metrics of the search's run."""
        return {
            f"test/own/{self.metric}": self.own,
            f"test/best/{self.metric}": self.best,
            "test/gain": self.gain,
            "test/gain.low": self.low,
            "test/gain.high": self.high,
            "test/answers": float(self.answers),
            "test/images": float(self.images),
        }


def compare(own: Sequence[StoredUnit], best: Sequence[StoredUnit], metric: str) -> Comparison:
    """Compare the runs of two trials, seed by seed.

    Args:
        own: Those of the spec's own values.
        best: Those of the best trial, on the same samples.
        metric: The first objective.
    """
    images = np.concatenate([unit.frame["sample"].to_numpy() for unit in own])
    before, after = (np.concatenate([unit.score() for unit in units]) for units in (own, best))
    low, high = gain_interval(images, before, after)
    means = [sum(unit.metrics[metric] for unit in units) / len(units) for units in (own, best)]
    return Comparison(
        answers=len(images),
        images=len(np.unique(images)),
        metric=metric,
        own=means[0],
        best=means[1],
        gain=float(after.mean() - before.mean()),
        low=low,
        high=high,
    )
