"""One trial carried out: its units, one a seed, and what they come to."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic

import numpy as np

from hardy.core.errors import HardyError, MethodError, TrackingError
from hardy.engine.progress import Reporter
from hardy.engine.search.guide import Choice, Directions
from hardy.engine.search.watching import TrialWatch
from hardy.engine.unit import run_unit
from hardy.engine.watch import Pruned, ends
from hardy.measure.bootstrap import resampled
from hardy.measure.drift import is_time
from hardy.plan.tracker import Status, Tracker
from hardy.plan.units import PlannedUnit
from hardy.results.pooled import joined
from hardy.results.search.trial import Trial
from hardy.results.stored import StoredUnit
from hardy.spec.search_spec import Constraint, SearchSpec

STUDY_TAG, TRIAL_TAG, REUSED_TAG = "hardy.study", "hardy.trial", "hardy.reuses"

_DRAWS = 500


@dataclass(frozen=True)
class TrialJob:
    """Carries a trial out, in whatever process.

    Attributes:
        spec: The search.
        directions: Of the objectives.
        choice: The trial.
        units: One a seed; their weights are at hand.
        parent: Id of the search's run.
        study: Name of the study.
    """

    spec: SearchSpec
    directions: Directions
    choice: Choice
    units: tuple[PlannedUnit, ...]
    parent: str
    study: str

    def __call__(self, tracker: Tracker, reporter: Reporter) -> Trial:
        """Run the units that no run holds yet, one after the other.

        Raises:
            TrackingError: If the store fails. Whatever else fails is the trial's failure.
        """
        start, pruner = monotonic(), self.spec.pruner
        watch = None
        if pruner is not None:
            watch = TrialWatch(pruner, self.directions[0], self.choice, len(self.units))
        trial = Trial(self.choice.index, self.choice.values, "running")
        found: list[StoredUnit] = []
        try:
            for number, planned in enumerate(self.units):
                if number and watch is not None:
                    watch.next_unit()
                found.append(self._unit(planned, tracker, reporter, watch))
            trial = self._measured(trial, found)
            runs = tuple(unit.run_id for unit in found)
        except Pruned as pruned:
            trial = replace(trial, state="pruned", reason=str(pruned))
            runs = (*(unit.run_id for unit in found), pruned.run_id)
        except TrackingError:
            raise
        except Exception as error:
            message = error.message if isinstance(error, HardyError) else repr(error)
            trial = replace(trial, state="failed", reason=message)
            runs = tuple(unit.run_id for unit in found)
        samples = sum(int(unit.metrics.get("samples", 0)) for unit in found)
        if watch is not None:
            trial = replace(trial, reports=dict(watch.reports), marks=dict(watch.marks))
            samples = max(samples, watch.samples_done)
        return replace(trial, runs=runs, samples=samples, seconds=monotonic() - start)

    @property
    def _turns(self) -> int:
        """How many units come back to the same views; none where their time is what counts."""
        asked = [each.metric for each in self.spec.objectives]
        asked += [each.metric for each in self.spec.constraints]
        return 0 if any(map(is_time, asked)) else len(self.units)

    def _unit(
        self,
        planned: PlannedUnit,
        tracker: Tracker,
        reporter: Reporter,
        watch: TrialWatch | None,
    ) -> StoredUnit:
        tags = {STUDY_TAG: self.study, TRIAL_TAG: str(self.choice.index)}
        unit = run_unit(
            planned,
            tracker,
            reporter,
            parent=self.parent,
            tags=tags,
            watch=watch,
            turns=self._turns,
        )
        if unit.reused:
            _replay(unit, watch)
            if not tags.items() <= unit.tags.items():
                self._link(unit, planned, tracker, tags)
        return unit

    def _link(
        self, unit: StoredUnit, planned: PlannedUnit, tracker: Tracker, tags: Mapping[str, str]
    ) -> None:
        """Give the search's run a child that stands for a run elsewhere."""
        name = planned.unit.experiment.name
        own = {**tags, REUSED_TAG: unit.run_id, "hardy.role": "trial"}
        run = tracker.start(name, tags=own, parent=self.parent)
        there = address(tracker, unit.run_id)
        run.note(f"The numbers are those of [{unit.run.name}]({there}).\n")
        run.metrics(unit.metrics)
        run.end(Status.FINISHED)

    def _measured(self, trial: Trial, units: Sequence[StoredUnit]) -> Trial:
        """Return a whole trial with its objectives, their intervals and the constraints.

        Raises:
            MethodError: If a unit has not a metric, or it is no number.
        """
        return replace(
            trial,
            state="complete",
            objectives=tuple(_mean(units, each.metric) for each in self.spec.objectives),
            intervals=tuple(_interval(units, each.metric) for each in self.spec.objectives),
            constraints=tuple(_missed(units, each) for each in self.spec.constraints),
        )


@dataclass(frozen=True)
class TestJob:
    """Answers once for the test samples, with a trial's values.

    Attributes:
        planned: The unit; its weights are at hand.
        parent: Id of the search's run.
        study: Name of the study.
    """

    __test__ = False

    planned: PlannedUnit
    parent: str
    study: str

    def __call__(self, tracker: Tracker, reporter: Reporter) -> str:
        """Return the id of the run that holds the answers."""
        tags = {STUDY_TAG: self.study}
        return run_unit(self.planned, tracker, reporter, parent=self.parent, tags=tags).run_id


def address(tracker: Tracker, run_id: str) -> str:
    """Return a run's address within the store's own pages."""
    return "#" + tracker.link(run_id).partition("#")[2]


def _replay(unit: StoredUnit, watch: TrialWatch | None) -> None:
    """Tell a watch of a run that is there already; it is whole, so nothing stops it."""
    if watch is None or unit.experiment.method.yields_weights:
        return
    scores, last = unit.score(), 0
    for end in sorted(ends(len(scores))):
        with suppress(Pruned):
            watch.samples(end, len(scores), dict(enumerate(map(float, scores[last:end]), last)))
        last = end


def _mean(units: Sequence[StoredUnit], metric: str) -> float:
    values = [unit.metrics.get(metric, float("nan")) for unit in units]
    mean = sum(values) / len(values)
    if not np.isfinite(mean):
        known = sorted(units[0].metrics)
        message = f"{metric} of {units[0].name} is {'no number' if metric in known else 'absent'}"
        raise MethodError(message, hint=f"It has {', '.join(known)}.")
    return mean


def _interval(units: Sequence[StoredUnit], metric: str) -> tuple[float, float]:
    """Return the 95 % interval of a metric over all units, photographs drawn whole, or NaN."""
    first = units[0]
    ends_of = (f"{metric}.low", f"{metric}.high")
    if len(units) == 1 and all(end in first.metrics for end in ends_of):
        return first.metrics[ends_of[0]], first.metrics[ends_of[1]]
    if metric not in first.task.spec.metrics:
        return float("nan"), float("nan")
    frame = joined(units)
    at = first.task.metric_at(frame, first.main, metric)
    return resampled(at, len(frame), frame["sample"].to_numpy(), draws=_DRAWS)


def _missed(units: Sequence[StoredUnit], constraint: Constraint) -> float:
    """Return by how much a constraint is missed; at most 0 where it is held."""
    value = _mean(units, constraint.metric)
    if constraint.at_most is not None:
        return value - constraint.at_most
    return (constraint.at_least or 0.0) - value
