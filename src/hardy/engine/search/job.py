"""One trial carried out: its units, one a seed, and what they come to."""

import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic

from hardy.core.errors import ArtifactAbsent, HardyError, TrackingError
from hardy.core.hashing import digest
from hardy.engine.budget import Budget
from hardy.engine.progress import Reporter
from hardy.engine.search.guide import Choice, Directions
from hardy.engine.search.watching import TrialWatch
from hardy.engine.training_log import EPOCHS, MERIT
from hardy.engine.unit import run_unit
from hardy.engine.watch import Pruned, ends
from hardy.measure.drift import is_time
from hardy.methods.training_spec import TrainingSpec
from hardy.plan.tracker import FINGERPRINT_TAG, Status, Tracker
from hardy.plan.units import PlannedUnit
from hardy.results.search.measured import interval, mean, missed
from hardy.results.search.trial import Trial
from hardy.results.stored import StoredUnit
from hardy.spec.search.spec import SearchSpec

STUDY_TAG, TRIAL_TAG, REUSED_TAG = "hardy.study", "hardy.trial", "hardy.reuses"


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
        """Give the search's run a child that stands for a run elsewhere; once, after a stop too."""
        name = planned.unit.experiment.name
        mark = digest(["link", self.study, self.choice.index, planned.fingerprint])
        past = tracker.find(mark)
        if past is not None and past.finished:
            return
        own = {**tags, FINGERPRINT_TAG: mark, REUSED_TAG: unit.run_id, "hardy.role": "trial"}
        resume = past.run_id if past is not None else None
        run = tracker.start(name, tags=own, parent=self.parent, resume=resume)
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
            objectives=tuple(mean(units, each.metric) for each in self.spec.objectives),
            intervals=tuple(interval(units, each.metric) for each in self.spec.objectives),
            constraints=tuple(missed(units, each) for each in self.spec.constraints),
        )


def address(tracker: Tracker, run_id: str) -> str:
    """Return a run's address within the store's own pages."""
    return "#" + tracker.link(run_id).partition("#")[2]


def _replay(unit: StoredUnit, watch: TrialWatch | None) -> None:
    """Tell a watch of a run that is there already; it is whole, so nothing stops it."""
    if watch is None:
        return
    if unit.experiment.method.yields_weights:
        merits = _merits(unit)
        epochs = _epochs(unit, len(merits))
        for epoch, merit in enumerate(merits, start=1):
            with suppress(Pruned):
                watch.epoch(epoch, epochs, merit)
        return
    scores, total = _by_place(unit)
    last = 0
    for end in sorted(ends(total)):
        block = {place: scores[place] for place in range(last, end) if place in scores}
        with suppress(Pruned):
            watch.samples(end, total, block)
        last = end


def _merits(unit: StoredUnit) -> Sequence[float]:
    """Return the merit of each epoch of a training; none of one that was before they were kept."""
    with suppress(ArtifactAbsent):
        text = unit.store.artifact(unit.run_id, EPOCHS).read_text(encoding="utf-8")
        epochs = csv.DictReader(io.StringIO(text))
        return [float(epoch[MERIT]) for epoch in epochs if MERIT in epoch]
    return ()


def _epochs(unit: StoredUnit, run: int) -> int:
    """Return how many epochs a training was to have; of those it may have run fewer."""
    method = unit.experiment.method
    if isinstance(method, TrainingSpec) and unit.planned is not None:
        fit = unit.planned.samples["fit"].dataset
        return Budget.of(method, len(fit.samples)).epochs if fit is not None else run
    return run


def _by_place(unit: StoredUnit) -> tuple[Mapping[int, float], int]:
    """Return the scores of a unit's answers by their samples' places, broken ones left out; all."""
    scores = dict(zip(unit.frame["sample"], map(float, unit.score()), strict=True))
    dataset = unit.planned.samples["answer"].dataset if unit.planned is not None else None
    ids = [each.id for each in dataset.samples] if dataset is not None else list(scores)
    return {place: scores[id_] for place, id_ in enumerate(ids) if id_ in scores}, len(ids)
