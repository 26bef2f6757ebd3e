"""The best trial beside the spec's own values, on samples that no trial saw."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hardy.measure.answer_table import gain_interval
from hardy.measure.bootstrap import resampled
from hardy.results.pooled import joined
from hardy.results.stored import StoredUnit

_DRAWS = 500


@dataclass(frozen=True)
class Comparison:
    """Two sets of runs, one a seed, on the same samples.

    Attributes:
        answers: How many answers each gave.
        images: How many different images they are of.
        metric: The first objective's name.
        own: Its mean over the runs of the spec's own values.
        best: Its mean over those of the best trial.
        compared: What the two are compared by: that metric, of all answers together, or the
            samples' score where it follows from no answers, such as a time.
        higher: Whether more of it is better.
        change: From own to best.
        low: Lower end of its 95 % interval, images drawn with all their answers of both.
        high: Upper end.
    """

    answers: int
    images: int
    metric: str
    own: float
    best: float
    compared: str
    higher: bool
    change: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """What the interval says."""
        if not (self.low > 0 or self.high < 0):
            return "no difference is shown"
        return f"the best trial is {'worse' if self.worse else 'better'}"

    @property
    def worse(self) -> bool:
        """Whether the interval says that the best trial is the worse one."""
        return self.high < 0 if self.higher else self.low > 0

    def line(self) -> str:
        """Say it in one line."""
        of = "" if self.compared == self.metric else f" of the {self.compared}"
        return (
            f"on {self.answers} answers of {self.images} images that no trial saw: {self.metric} "
            f"{self.best:.4g} against {self.own:.4g} with the spec's own values; change{of} "
            f"{self.change:+.4g} [{self.low:+.4g}, {self.high:+.4g}]: {self.verdict}"
        )

    def metrics(self) -> dict[str, float]:
        """Return its numbers as metrics of the search's run."""
        return {
            f"test/own/{self.metric}": self.own,
            f"test/best/{self.metric}": self.best,
            "test/change": self.change,
            "test/change.low": self.low,
            "test/change.high": self.high,
            "test/answers": float(self.answers),
            "test/images": float(self.images),
        }


def compare(
    own: Sequence[StoredUnit], best: Sequence[StoredUnit], metric: str, *, higher: bool
) -> Comparison:
    """Compare the runs of two trials, seed by seed.

    Args:
        own: Those of the spec's own values.
        best: Those of the best trial, on the same samples.
        metric: The first objective.
        higher: Whether more of it is better.
    """
    before, after = joined(own), joined(best)
    images = before["sample"].to_numpy()
    means = [sum(unit.metrics[metric] for unit in units) / len(units) for units in (own, best)]
    task = own[0].task
    if metric in task.spec.metrics:
        compared = metric
        at, other = (
            task.metric_at(frame, units[0].main, metric)
            for frame, units in ((before, own), (after, best))
        )

        def changed(places: np.ndarray) -> float:
            return other(places) - at(places)

        change = changed(np.arange(len(images)))
        low, high = resampled(changed, len(images), images, draws=_DRAWS)
    else:
        compared, higher = "score", True
        scores = [np.concatenate([unit.score() for unit in units]) for units in (own, best)]
        change = float(scores[1].mean() - scores[0].mean())
        low, high = gain_interval(images, *scores)
    return Comparison(
        answers=len(images),
        images=len(np.unique(images)),
        metric=metric,
        own=means[0],
        best=means[1],
        compared=compared,
        higher=higher,
        change=change,
        low=low,
        high=high,
    )
