"""Prunes: compares a trial that runs with those before it, and stops it where it lags behind."""

import warnings
from collections.abc import Mapping

from hardy.engine.search.guide import Choice, in_memory
from hardy.engine.search.samplers import make_pruner
from hardy.engine.watch import Pruned, ends
from hardy.results.search.study import Direction
from hardy.spec.search.spec import Pruner, Wilcoxon


class TrialWatch:
    """Watches the units of a trial, one a seed, as one sequence of steps.

    What is compared: of answers, for Wilcoxon's test each sample's score, its place being the step;
    for the others the mean score so far, at the ends of blocks. Of a training, each epoch's merit.

    Args:
        pruner: As the spec states it.
        direction: Of the objective; merits and scores are turned to it.
        choice: The trial, with those before it.
        units: How many units it has.
    """

    def __init__(self, pruner: Pruner, direction: Direction, choice: Choice, units: int) -> None:
        self._by_sample = isinstance(pruner, Wilcoxon)
        self._sign = 1.0 if direction == "max" else -1.0
        self._study = in_memory([direction], make_pruner(pruner))
        for trial in choice.before:
            self._study.add_trial(trial)
        self._trial = self._study.ask()  # its number is its index: Hyperband's brackets go by it
        self._units, self._unit = units, 0
        self._sum, self._count = 0.0, 0
        self.reports: dict[int, float] = {}
        self.samples_done = 0

    @property
    def marks(self) -> Mapping[str, float]:
        """What the pruner noted of the trial: Hyperband's rungs."""
        found = self._study.trials[-1].system_attrs
        return {key: value for key, value in found.items() if key.startswith("completed_rung")}

    def next_unit(self) -> None:
        """Say that another unit begins."""
        self._unit += 1

    def samples(self, done: int, total: int, scores: Mapping[int, float]) -> None:
        """Take the scores of a block of answers; see `hardy.engine.watch.Watch`."""
        self.samples_done += len(scores)
        self._sum += sum(scores.values())
        self._count += len(scores)
        last = done == total and self._unit == self._units - 1
        if self._by_sample:
            for place, score in scores.items():
                self._report(self._unit * total + place, score)
        elif self._count:
            blocks = sorted(ends(total))
            block = blocks.index(done) + 1
            self._report(self._unit * len(blocks) + block, self._sum / self._count)
        self._judge(last)

    def epoch(self, epoch: int, epochs: int, merit: float) -> None:
        """Take an epoch's merit; see `hardy.engine.watch.Watch`."""
        self._report(self._unit * epochs + epoch, merit)
        self._judge(epoch == epochs and self._unit == self._units - 1)

    def _report(self, step: int, value: float) -> None:
        turned = self._sign * value
        self.reports[step] = turned
        self._trial.report(turned, step)

    def _judge(self, last: bool) -> None:
        if last or not self.reports:
            return  # it is whole
        with warnings.catch_warnings():
            # Of what the best trial did not report: then it is not compared.
            warnings.simplefilter("ignore")
            if self._trial.should_prune():
                raise Pruned(max(self.reports))
