"""A search carried out: trials until the budget is spent, then the best on samples unseen."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import chain
from time import monotonic

from hardy.core.errors import HardyError, MethodError, TrackingError
from hardy.engine.alone import alone
from hardy.engine.pictures import title_of
from hardy.engine.pool import Pool, WorkerDied, make_pool
from hardy.engine.progress import Reporter
from hardy.engine.runner import check_ready, going_on
from hardy.engine.search.end import Found, Tested, write
from hardy.engine.search.guide import Choice, Directions, Guide
from hardy.engine.search.job import STUDY_TAG, TrialJob
from hardy.engine.search.ledger import DIED, Ledger
from hardy.engine.search.sources import Sources
from hardy.engine.unit import UnitJob, ending
from hardy.plan.tracker import EXPERIMENT_TAG, FINGERPRINT_TAG, Run, Tracker
from hardy.plan.units import Plan, PlannedUnit, Planner
from hardy.results.request import REQUEST, request_text, spec_tag
from hardy.results.search.comparison import compare
from hardy.results.search.study import best
from hardy.results.search.trial import Trial
from hardy.results.search.words import objective_text
from hardy.results.stored import StoredUnit
from hardy.spec.search.metrics import run_metrics
from hardy.spec.search.units import Search, tested, trial_units
from hardy.spec.search.values import most_trials

_SECONDS = 60.0


def run_search(
    plan: Plan,
    tracker: Tracker,
    reporter: Reporter,
    planner: Planner,
    *,
    resume_command: str,
    jobs: int | None = None,
) -> Found:
    """Carry a search out, or go on with it.

    Args:
        plan: Of a spec with a `search`.
        tracker: Where runs are written.
        reporter: Told of trials and samples.
        planner: Plans trials: knows where weights lie and what ran before.
        resume_command: What goes on after a stop; printed as the hint of `Interrupted`.
        jobs: How many trials run at a time, each in a process of its own with one thread; None for
            one after the other in this process.

    Raises:
        Interrupted: If a signal stopped it; the runs in progress are KILLED.
        TrackingError: If another process is at the same search, or a store fails.
        MethodError: If the trial of the spec's own values fails.
    """
    runs = most_trials(plan.resolved.search.spec) * len(plan.units) if plan.resolved.search else 0
    with going_on(resume_command), reporter.showing(runs + 2 * len(plan.tests)):
        check_ready(plan, reporter, jobs)
        with make_pool(jobs, tracker, reporter) as pool:
            return _carry_out(plan, tracker, reporter, pool, planner)


def _carry_out(
    plan: Plan, tracker: Tracker, reporter: Reporter, pool: Pool, planner: Planner
) -> Found:
    search = plan.resolved.search
    if search is None:
        raise ValueError(plan.resolved.name)
    name = f"the search {plan.resolved.name}"
    with (
        alone(plan.fingerprint, name, tracker, reporter, wait=False) as (past, _),
        # Before the run: a study that cannot be opened leaves none behind.
        closing(Ledger(search.spec, study_name(plan), _directions(plan, search))) as ledger,
    ):
        parent = tracker.start(
            plan.resolved.name, tags=_tags(plan), resume=past.run_id if past is not None else None
        )
        with ending(parent):
            parent.text(request_text(plan.resolved), REQUEST)
            return _Running(plan, search, ledger, tracker, reporter, pool, planner, parent).run()


def _directions(plan: Plan, search: Search) -> Directions:
    """Return which way is better for each objective, as the spec or its metric says."""
    known = run_metrics(plan.units[0].unit.experiment)
    return [
        each.direction or ("max" if known.get(each.metric) else "min")
        for each in search.spec.objectives
    ]


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
        search: Search,
        ledger: Ledger,
        tracker: Tracker,
        reporter: Reporter,
        pool: Pool,
        planner: Planner,
        parent: Run,
    ) -> None:
        self.plan, self.parent, self.ledger = plan, parent, ledger
        self.search, self.spec = search, search.spec
        self.tracker, self.reporter, self.pool = tracker, reporter, pool
        self.name, self.study = plan.resolved.name, study_name(plan)
        self.planner = planner
        self.directions = _directions(plan, search)
        seed = plan.units[0].unit.experiment.seed if not self.spec.seeds else self.spec.seeds[0]
        self.guide = Guide(self.spec, search.fixed, seed, self.directions)
        self.results = self.ledger.results()
        self.sources = Sources(tracker, pool, parent.run_id)
        self.running: dict[int, Choice] = {}
        self.waiting: dict[int, tuple[PlannedUnit, ...]] = {}
        self.handed: dict[int, set[str]] = {}  # fingerprints that the pool is at
        self.died: set[int] = set()
        self.begun, self.before = monotonic(), len(self.results)
        self.spent = ledger.seconds()  # before this process

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
        seconds = self.spent + monotonic() - self.begun
        if budget.minutes is not None and seconds > _SECONDS * budget.minutes:
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
            planned = self.planner.planned(units)
        except TrackingError:
            raise
        except HardyError as error:
            self._take(Trial(choice.index, choice.values, "failed", reason=error.message))
            return
        self._advance(choice, tuple(planned))

    def _advance(self, choice: Choice, units: tuple[PlannedUnit, ...]) -> None:
        """Hand a trial to the pool once its weights are at hand, and no other is at its units."""
        self.waiting.pop(choice.index, None)
        try:
            ready = self.sources.ready(units)
        except MethodError as error:
            self._take(Trial(choice.index, choice.values, "failed", reason=error.message))
            return
        marks = {each.fingerprint for each in units}
        if ready is None or not marks.isdisjoint(chain(*self.handed.values())):
            self.waiting[choice.index] = units
            return
        parent, study = self.parent.run_id, self.study
        job = TrialJob(self.spec, self.directions, choice, ready, parent, study)
        self.handed[choice.index] = marks
        self.pool.submit(choice.index, job)

    def _hear(self, index: int, result: object) -> None:
        """Take what came of a trial, or of what trials wait for; then those that waited for it.

        Raises:
            BaseException: What a job raised that is no trial's own failure.
        """
        if index < 0:
            self.sources.hear(index, result)
        else:
            self._ended(index, result)
        for waiting, units in list(self.waiting.items()):
            # Anew: what it waited for may be a finished run of its own fingerprint.
            planned = self.planner.planned([each.unit for each in units])
            self._advance(self.running[waiting], tuple(planned))

    def _ended(self, index: int, result: object) -> None:
        choice = self.running[index]
        del self.handed[index]
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
        seconds = (monotonic() - self.begun) / (done - self.before) * (most - done)
        self.reporter.say(line + (f"; about {_long(seconds)} left" if done < most else ""))

    def _end(self, trials: Sequence[Trial]) -> Found:
        """Test the best trial, and write all that the search's run holds."""
        tested = self._tested(best(trials, self.directions), trials)
        return write(
            self.parent,
            self.tracker,
            self.name,
            self.spec,
            self.directions,
            trials,
            tested,
            self.ledger.address,
            title_of(self.name, [unit.experiment for unit in self.plan.resolved.units]),
        )

    def _tested(self, chosen: Trial | None, trials: Sequence[Trial]) -> Tested:
        """Answer for the test samples, with the best trial's values and with the spec's own."""
        metric = self.spec.objectives[0].metric
        if chosen is None:
            return Tested(None, metric)
        found = self._test_units(chosen, "best")
        if chosen.index == 0:
            return Tested(chosen, metric, found, found)
        own = self._test_units(trials[0], "own")
        compared = compare(own, found, metric, higher=self.directions[0] == "max")
        return Tested(chosen, metric, found, own, compared)

    def _test_units(self, trial: Trial, label: str) -> tuple[StoredUnit, ...]:
        units = trial_units(self.plan.resolved, trial.values, label)
        wanted = self.planner.planned([tested(self.search, u, u.experiment.name) for u in units])
        while (planned := self.sources.ready(wanted)) is None:
            self.sources.hear(*self.pool.wait())
        for number, each in enumerate(planned):
            job = UnitJob(each, self.parent.run_id, {STUDY_TAG: self.study})
            self.pool.submit(number, job)
        found: dict[int, StoredUnit] = {}
        while len(found) < len(planned):
            number, result = self.pool.wait()
            if number < 0:  # what only a trial that failed was to begin with
                self.sources.hear(number, result)
                continue
            if isinstance(result, BaseException):
                raise result
            run = self.tracker.get(result[0])
            found[number] = StoredUnit(self.tracker, run, planned[number])
        return tuple(found[number] for number in range(len(planned)))


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


def _long(seconds: float) -> str:
    if seconds < _SECONDS:
        return f"{seconds:.0f} s"
    return f"{seconds / _SECONDS:.0f} min"
