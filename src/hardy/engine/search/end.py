"""What a search comes to when its trials are done, and all that its run then holds."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hardy.engine.pictures import keep
from hardy.engine.search.guide import Directions
from hardy.engine.search.job import address
from hardy.plan.tracker import Run, Tracker
from hardy.results.request import UNITS, units_text
from hardy.results.search.best import best_yaml
from hardy.results.search.comparison import Comparison
from hardy.results.search.measured import interval, mean
from hardy.results.search.note import BEST, PAGE, note
from hardy.results.search.page import page
from hardy.results.search.pictures import pictures
from hardy.results.search.table import TRIALS, table, trials_csv
from hardy.results.search.trial import Trial
from hardy.results.stored import StoredUnit
from hardy.results.table import Table
from hardy.spec.search.spec import SearchSpec


@dataclass(frozen=True)
class Tested:
    """The best trial's answers for the test samples, and those of the spec's own values.

    Attributes:
        chosen: The best trial; None where no trial was whole and held the constraints.
        metric: The first objective.
        best: Its runs, one a seed.
        own: Those of the spec's own values; the same where these are the best.
        comparison: The two beside each other; None where there are not two.
    """

    chosen: Trial | None
    metric: str
    best: tuple[StoredUnit, ...] = ()
    own: tuple[StoredUnit, ...] = ()
    comparison: Comparison | None = None

    @property
    def verdict(self) -> str:
        """What the test says, in a line."""
        if self.comparison is not None:
            return self.comparison.line()
        if not self.best:
            return "no trial was whole and held every constraint"
        return f"nothing better was found than the spec's own values: {self._measured()}"

    @property
    def worse(self) -> bool:
        """Whether the test tells the best trial from the spec's own values, and for the worse."""
        return self.comparison is not None and self.comparison.worse

    def _measured(self) -> str:
        low, high = interval(self.best, self.metric)
        bounds = f" [{low:.4g}, {high:.4g}]" if low == low else ""
        return f"{self.metric} {mean(self.best, self.metric):.4g}{bounds} on the test samples"


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
        run_id: Its run.
        table: Its best trials.
        tested: What its test came to.
    """

    run_id: str
    table: Table
    tested: Tested


def write(
    parent: Run,
    tracker: Tracker,
    name: str,
    spec: SearchSpec,
    directions: Directions,
    trials: Sequence[Trial],
    tested: Tested,
    storage: str,
    title: str,
) -> Found:
    """Write the search's results into its run.

    Args:
        parent: The search's run.
        tracker: Where it is.
        name: The search's.
        spec: What was searched.
        directions: Of the objectives.
        trials: All of them, in order.
        tested: What the test came to.
        storage: Address of the study.
        title: Says what pictures are of.
    """
    text = note(spec, directions, trials, storage=storage, link=partial(address, tracker))
    parent.note(f"{text}\nTested: {tested.verdict}.\n" if tested.best else text)
    parent.text(trials_csv(spec, trials), TRIALS)
    parent.text(page(name, spec, directions, trials), PAGE)
    if tested.chosen is not None and tested.best:
        experiment = tested.best[0].experiment
        parent.text(best_yaml(experiment, name, spec, tested.chosen, tested.verdict), BEST)
    with tempfile.TemporaryDirectory() as folder:
        for path, content in pictures(spec, directions, trials):
            keep(parent, Path(folder), path, content, title)
    units = dict.fromkeys((*tested.best, *tested.own))
    parent.text(units_text(list(units)), UNITS)
    compared = tested.comparison.metrics() if tested.comparison is not None else {}
    parent.metrics(_totals(trials) | compared)
    return Found(parent.run_id, table(name, spec, directions, trials), tested)


def _totals(trials: Sequence[Trial]) -> dict[str, float]:
    states = [trial.state for trial in trials]
    ways = ("complete", "pruned", "failed")
    return {
        "trials": float(len(trials)),
        **{f"trials/{way}": float(sum(each == way for each in states)) for way in ways},
        "trials/samples": float(sum(trial.samples for trial in trials)),
        "trials/seconds": sum(trial.seconds for trial in trials),
    }
