"""A search carried out: trials until the budget is spent, then the best on samples unseen."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic

from hardy.core.errors import MethodError, TrackingError
from hardy.engine.pool import Pool, WorkerDied, make_pool
from hardy.engine.progress import Reporter
from hardy.engine.runner import check_ready, going_on
from hardy.engine.search.guide import Choice, Guide
from hardy.engine.search.job import STUDY_TAG, TestJob, TrialJob, address
from hardy.engine.search.ledger import DIED, Ledger
from hardy.engine.unit import ending, keep, run_unit, with_weights
from hardy.plan.tracker import EXPERIMENT_TAG, FINGERPRINT_TAG, Finder, Run, Stores, Tracker
from hardy.plan.units import Plan, PlannedUnit, Planner, first
from hardy.results.request import REQUEST, UNITS, request_text, spec_tag, units_text
from hardy.results.search.best import best_yaml
from hardy.results.search.comparison import Comparison, compare
from hardy.results.search.note import BEST, PAGE, note
from hardy.results.search.page import page
from hardy.results.search.pictures import pictures
from hardy.results.search.study import Direction, best
from hardy.results.search.table import TRIALS, table, trials_csv
from hardy.results.search.trial import Trial
from hardy.results.search.words import objective_text
from hardy.results.stored import StoredUnit
from hardy.results.table import Table
from hardy.spec import Diagnostics, Unit
from hardy.spec.search import Search, tested, trial_units
from hardy.spec.search_metrics import run_metrics
from hardy.spec.search_values import most_trials

_SECONDS = 60.0


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
        run_id: Its run.
        table: Its best trials.
        best: The best trial's runs on the test samples, one a seed; empty where no trial was whole
            and held the constraints.
        own: Those of the spec's own values; the same where these are the best.
        comparison: The two beside each other; None where there are not two.
    """

    run_id: str
    table: Table
    best: tuple[StoredUnit, ...]
    own: tuple[StoredUnit, ...]
    comparison: Comparison | None

    @property
    def verdict(self) -> str:
        """What the test says, in a line."""
        if self.comparison is not None:
            return self.comparison.line()
        if not self.best:
            return "no trial was whole and held every constraint"
        return "nothing better was found than the spec's own values"


def run_search(
    plan: Plan,
    tracker: Tracker,
    reporter: Reporter,
    stores: Stores,
    *,
    resume_command: str,
    jobs: int | None = None,
    finder: Finder | None = None,
) -> Found:
    """Carry a search out, or go on with it.

    Args:
        plan: Of a spec with a `search`.
        tracker: Where runs are written.
        reporter: Told of trials and samples.
        stores: Where weights lie.
        resume_command: What goes on after a stop; printed as the hint of `Interrupted`.
        jobs: How many trials run at a time, each in a process of its own with one thread; None for
            one after the other in this process.
        finder: Where finished runs of trials are looked up; None: the tracker.

    Raises:
        Interrupted: If a signal stopped it; the runs in progress are KILLED.
        TrackingError: If another process is at the same search, or a store fails.
        MethodError: If the trial of the spec's own values fails.
    """
    runs = most_trials(plan.resolved.search.spec) * len(plan.units) if plan.resolved.search else 0
    with going_on(resume_command), reporter.showing(runs + 2 * len(plan.tests)):
        check_ready(plan, reporter, jobs)
        with make_pool(jobs, tracker, reporter) as pool:
            return _carry_out(plan, tracker, reporter, pool, Planner(stores, finder or tracker))


def _carry_out(
    plan: Plan, tracker: Tracker, reporter: Reporter, pool: Pool, planner: Planner
) -> Found:
    past = tracker.find(plan.fingerprint)
    if past is not None and past.busy:
        message = f"another process is at the search {plan.resolved.name} (run {past.run_id})"
        raise TrackingError(message, hint="Wait until it ends, or stop it first.")
    parent = tracker.start(
        plan.resolved.name, tags=_tags(plan), resume=past.run_id if past is not None else None
    )
    with ending(parent):
        parent.text(request_text(plan.resolved), REQUEST)
        running = _Running(plan, tracker, reporter, pool, planner, parent)
        with closing(running.ledger):
            return running.run()


def _tags(plan: Plan) -> dict[str, str]:
    return {
        FINGERPRINT_TAG: plan.fingerprint,
        EXPERIMENT_TAG: plan.resolved.name,
        "hardy.role": "parent",
        STUDY_TAG: study_name(plan),
        **spec_tag(plan.resolved),
    }


def study_name(plan: Plan) -> str:
    """Return the name of a search's study: its fingerprint tells it from all others."""
    return f"{plan.resolved.name.replace('/', '-')}-{plan.fingerprint}"


class _Running:
    def __init__(
        self,
        plan: Plan,
        tracker: Tracker,
        reporter: Reporter,
        pool: Pool,
        planner: Planner,
        parent: Run,
    ) -> None:
        if plan.resolved.search is None:
            raise ValueError(plan.resolved.name)
        self.search: Search = plan.resolved.search
        self.spec = self.search.spec
        self.plan, self.parent = plan, parent
        self.tracker, self.reporter, self.pool = tracker, reporter, pool
        self.name, self.study = plan.resolved.name, study_name(plan)
        self.planner = planner
        experiment = plan.units[0].unit.experiment
        known = run_metrics(experiment)
        self.directions: list[Direction] = [
            each.direction or ("max" if known.get(each.metric) else "min")
            for each in self.spec.objectives
        ]
        seed = experiment.seed if not self.spec.seeds else self.spec.seeds[0]
        self.guide = Guide(self.spec, self.search.fixed, seed, self.directions)
        self.ledger = Ledger(self.spec, self.study, self.directions)
        self.results = self.ledger.results()
        self.made: dict[str, str] = {}
        self.running: dict[int, Choice] = {}
        self.died: set[int] = set()
        self.begun, self.before = monotonic(), len(self.results)

    def run(self) -> Found:
        """Try what is left to try, then test the best."""
        if self.results:
            self.reporter.say(f"{self.name}: goes on after {len(self.results)} trials")
        known = self.ledger.values()
        while True:
            while self._has_room():
                choice = self.guide.choose()
                _check_same(choice, known, self.ledger.address)
                if choice.index in self.results:
                    self.guide.hear(self.results[choice.index])
                else:
                    self._begin(choice)
            if not self.running:
                break
            self._hear(*self.pool.wait())
        trials = [self.results[index] for index in range(self.guide.chosen)]
        return self._end(trials)

    def _has_room(self) -> bool:
        if not self.guide.ready or len(self.running) >= self.pool.size:
            return False
        budget = self.spec.budget
        if self.guide.chosen in self.results:
            return True  # it was within the budget
        if budget.minutes is not None and monotonic() - self.begun > _SECONDS * budget.minutes:
            return False
        # Of those that the next one's values depend on: the same number whatever ends first.
        until = max(0, self.guide.chosen - self.spec.ahead + 1)
        samples = sum(self.results[index].samples for index in range(until))
        return budget.samples is None or samples < budget.samples

    def _begin(self, choice: Choice) -> None:
        self.ledger.begin(choice.index, choice.values)
        self.running[choice.index] = choice
        try:
            units = trial_units(self.plan.resolved, choice.values, str(choice.index))
        except Diagnostics as faults:
            self._take(Trial(choice.index, choice.values, "failed", reason=str(faults)))
            return
        job = TrialJob(
            self.spec,
            self.directions,
            choice,
            self._ready(units),
            self.parent.run_id,
            self.study,
        )
        self.pool.submit(choice.index, job)

    def _ready(self, units: Sequence[Unit]) -> tuple[PlannedUnit, ...]:
        """Plan units, and run what their weights come from."""
        planned = self.planner.planned(units)
        for source in first(planned):
            if source.fingerprint not in self.made:
                ready = with_weights(source, self.made, self.tracker)
                unit = run_unit(ready, self.tracker, self.reporter, parent=self.parent.run_id)
                self.made[source.fingerprint] = unit.run_id
        return tuple(with_weights(each, self.made, self.tracker) for each in planned)

    def _hear(self, index: int, result: object) -> None:
        """Take what came of a trial.

        Raises:
            BaseException: What a job raised that is no trial's own failure.
        """
        choice = self.running[index]
        if isinstance(result, WorkerDied):
            if index not in self.died:
                self.reporter.say(f"{self.name}: trial {index}: {result.message}; once more")
                self.died.add(index)
                self.ledger.died(index)
                self._begin(choice)
                return
            result = Trial(index, choice.values, "failed", reason=f"{DIED} twice")
        if isinstance(result, BaseException):
            raise result
        if isinstance(result, Trial):
            self._take(result)

    def _take(self, trial: Trial) -> None:
        self.ledger.end(trial)
        del self.running[trial.index]
        self.results[trial.index] = trial
        self.guide.hear(trial)
        self._tell(trial)
        if trial.index == 0 and trial.state == "failed":
            message = f"{self.name}: the trial of the spec's own values failed: {trial.reason}"
            raise MethodError(message, hint="Try the spec by itself: --set search=null")

    def _tell(self, trial: Trial) -> None:
        """Say what came of a trial, the best so far, and how long it may still take."""
        done, most = len(self.results), self.guide.most
        chosen = best([self.results[index] for index in sorted(self.results)], self.directions)
        metric = self.spec.objectives[0].metric
        text = objective_text(trial, 0) if trial.objectives else trial.state
        line = f"{self.name}: trial {trial.index}, {done}/{most}: {metric} {text}"
        if trial.state == "failed":
            line += f" ({trial.reason.splitlines()[0] if trial.reason else 'no reason'})"
        if chosen is not None:
            line += f"; best {objective_text(chosen, 0, bounds=False)} (trial {chosen.index})"
            self.parent.metrics({f"best/{metric}": chosen.objectives[0]}, step=trial.index)
        if trial.objectives:
            self.parent.metrics({f"trial/{metric}": trial.objectives[0]}, step=trial.index)
        seconds = (monotonic() - self.begun) / max(1, done - self.before) * (most - done)
        self.reporter.say(line + (f"; about {_long(seconds)} left" if done < most else ""))

    def _end(self, trials: Sequence[Trial]) -> Found:
        """Test the best trial, and write all that the search's run holds."""
        chosen = best(trials, self.directions)
        own: tuple[StoredUnit, ...] = ()
        tests: tuple[StoredUnit, ...] = ()
        compared = None
        if chosen is not None:
            tests = self._tested(chosen, "best")
            own = tests if chosen.index == 0 else self._tested(trials[0], "own")
        if own is not tests:
            higher = self.directions[0] == "max"
            compared = compare(own, tests, self.spec.objectives[0].metric, higher=higher)
        self._write(trials, chosen, tests, own, compared)
        shown = table(self.name, self.spec, self.directions, trials)
        return Found(self.parent.run_id, shown, tests, own, compared)

    def _tested(self, trial: Trial, label: str) -> tuple[StoredUnit, ...]:
        units = trial_units(self.plan.resolved, trial.values, label)
        planned = self._ready([tested(self.search, u, u.experiment.name) for u in units])
        for number, each in enumerate(planned):
            self.pool.submit(number, TestJob(each, self.parent.run_id, self.study))
        found: dict[int, str] = {}
        for _ in planned:
            number, result = self.pool.wait()
            if isinstance(result, BaseException):
                raise result
            found[number] = str(result)
        return tuple(
            StoredUnit(self.tracker, self.tracker.get(found[number]), each)
            for number, each in enumerate(planned)
        )

    def _write(
        self,
        trials: Sequence[Trial],
        chosen: Trial | None,
        tests: Sequence[StoredUnit],
        own: Sequence[StoredUnit],
        compared: Comparison | None,
    ) -> None:
        name, spec, directions = self.name, self.spec, self.directions
        text = note(
            spec,
            directions,
            trials,
            storage=self.ledger.address,
            link=partial(address, self.tracker),
        )
        if compared is not None:
            text += f"\nTested {compared.line()}.\n"
        self.parent.note(text)
        self.parent.text(trials_csv(spec, trials), TRIALS)
        self.parent.text(page(name, spec, directions, trials), PAGE)
        if chosen is not None and tests:
            self.parent.text(best_yaml(tests[0].experiment, name, spec, chosen), BEST)
        with tempfile.TemporaryDirectory() as folder:
            for path, content in pictures(name, spec, directions, trials):
                keep(self.parent, Path(folder), path, content)
        units = [*tests, *(unit for unit in own if unit not in tests)]
        self.parent.text(units_text(units), UNITS)
        self.parent.metrics(_totals(trials) | (compared.metrics() if compared else {}))


def _check_same(choice: Choice, known: Mapping[int, Mapping[str, object]], address: str) -> None:
    """Make sure that a search goes on as it began.

    Raises:
        TrackingError: If other values are chosen than were before.
    """
    before = known.get(choice.index)
    if before is not None and dict(before) != dict(choice.values):
        message = (
            f"trial {choice.index} had {dict(before)} and would now have {dict(choice.values)}: "
            f"the study {address} was made by another version of Optuna or of hardy"
        )
        raise TrackingError(message, hint="Begin a new one: --set seed=N, or move the study away.")


def _totals(trials: Sequence[Trial]) -> dict[str, float]:
    states = [trial.state for trial in trials]
    ways = ("complete", "pruned", "failed")
    return {
        "trials": float(len(trials)),
        **{f"trials/{way}": float(sum(each == way for each in states)) for way in ways},
        "trials/samples": float(sum(trial.samples for trial in trials)),
        "trials/seconds": sum(trial.seconds for trial in trials),
    }


def _long(seconds: float) -> str:
    if seconds < _SECONDS:
        return f"{seconds:.0f} s"
    return f"{seconds / _SECONDS:.0f} min"
