"""Steps of a search with a made-up store and pool: its room, what it says, waits for and tests."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from hardy.core.errors import MethodError, TrackingError
from hardy.engine.pool import WorkerDied
from hardy.engine.search import run
from hardy.engine.search.guide import Choice
from hardy.engine.search.job import STUDY_TAG
from hardy.engine.search.run import _check_same, _directions, _long, _Running, run_search
from hardy.results.search.trial import Trial
from hardy.spec import Diagnostics
from tests.engine.search.test_guide import OWN, outcome, spec

RANDOM = {"sampler": {"kind": "random"}, "ahead": 1}


class Unit(str):
    """A unit that is known by its name alone."""

    @property
    def fingerprint(self):
        return str(self)

    @property
    def unit(self):
        return self


class Ledger:
    address = "study.log"

    def __init__(self, results):
        self.known, self.begun, self.ended, self.deaths = dict(results), [], [], []

    def results(self):
        return dict(self.known)

    def seconds(self):
        return 0.0

    def values(self):
        return {index: trial.values for index, trial in self.known.items()}

    def begin(self, index, values):
        self.begun.append(index)

    def died(self, index):
        self.deaths.append(index)

    def end(self, trial):
        self.ended.append(trial.index)


class Pool:
    """Does what it is given, the last first."""

    size = 3

    def __init__(self, do):
        self.do, self.jobs, self.order = do, {}, []

    def submit(self, key, job):
        assert key not in self.jobs
        self.jobs[key] = job
        self.order.append(key)

    def wait(self):
        key, job = self.jobs.popitem()
        return key, self.do(key, job)


class Sources:
    """Whatever is asked for is missing until it was heard of."""

    def __init__(self, missing=(), failed=()):
        self.missing, self.failed, self.heard = set(missing), set(failed), []

    def ready(self, units):
        if self.failed & set(units):
            message = "a source failed"
            raise MethodError(message)
        return None if self.missing & set(units) else units

    def hear(self, key, result):
        self.heard.append((key, result))
        self.missing.discard(result)


@pytest.fixture
def made(monkeypatch):
    """Return what makes a search: its trials come to what follows from their values."""
    monkeypatch.setattr(run, "run_metrics", lambda _: {"accuracy": True, "ece": False, "n": None})
    monkeypatch.setattr(run, "trial_units", lambda _, values, label: (Unit(label),))
    monkeypatch.setattr(run, "monotonic", lambda: 100.0)

    def make(results=(), do=lambda key, job: outcome(key, job.choice.values), **changed):
        asked = spec(**{**RANDOM, **changed})
        told = SimpleNamespace(
            run_id="search", metrics=lambda what, step: told.all.append((what, step))
        )
        told.all, said = [], []
        tracker = SimpleNamespace(get=lambda run_id: f"run {run_id}")
        units = [SimpleNamespace(unit=SimpleNamespace(experiment=SimpleNamespace(seed=7)))]
        plan = SimpleNamespace(resolved=SimpleNamespace(name="toy"), fingerprint="f", units=units)
        search = SimpleNamespace(spec=asked, fixed=[OWN])
        found = _Running(
            plan,
            search,
            Ledger(results),
            tracker,
            SimpleNamespace(say=said.append),
            Pool(do),
            SimpleNamespace(planned=lambda units: units),
            told,
        )
        found.said, found.told = said, told.all
        found.sources = Sources()
        found._end = list
        return found

    return make


def test_a_search_goes_on_where_its_ledger_ends(made):
    whole = made()
    trials = whole.run()
    assert [trial.index for trial in trials] == whole.ledger.ended == list(range(14))
    assert [trial.values for trial in trials] != [trials[0].values] * 14
    assert not any("goes on" in line for line in whole.said)
    again = made({trial.index: trial for trial in trials[:5]})
    assert again.run() == trials
    assert again.ledger.begun == list(range(5, 14))
    assert again.said[0] == "toy: goes on after 5 trials"
    other = replace(trials[2], values={**trials[2].values, "steps": 99})
    with pytest.raises(TrackingError, match=r"trial 2 had .*99.* and would now have"):
        made({0: trials[0], 1: trials[1], 2: other}).run()


def test_trials_are_begun_beside_others_as_far_ahead_as_they_may(made):
    found = made(ahead=2)
    assert [trial.index for trial in found.run()] == list(range(14))
    assert found.pool.order[:2] == found.ledger.begun[:2] == [0, 1]
    assert found.ledger.ended[:2] == [1, 0]  # the last first


@pytest.mark.parametrize(
    ("chosen", "changed", "samples", "seconds", "room"),
    [
        (5, {}, {}, 0, True),
        (5, {"ready": False}, {}, 0, False),
        (5, {"running": 2}, {}, 0, True),
        (5, {"running": 3}, {}, 0, False),
        # Of two ahead: trial 4 may not have ended.
        (5, {"samples": 40}, {3: 9, 4: 99}, 0, True),
        (5, {"samples": 40}, {4: 0}, 0, False),
        (0, {"samples": 40}, {}, 0, True),
        (1, {"samples": 1}, {}, 0, True),
        (5, {"minutes": 2}, {}, 120, True),
        (5, {"minutes": 2}, {}, 121, False),
        (4, {"minutes": 2, "samples": 1}, {4: 1}, 121, True),  # it is known
    ],
)
def test_there_is_room_within_the_budget(
    made, monkeypatch, chosen, changed, samples, seconds, room
):
    budget = {key: changed[key] for key in ("samples", "minutes") if key in changed}
    found = made(ahead=2, budget={"trials": 14, **budget})
    found.guide = SimpleNamespace(ready=changed.get("ready", True), chosen=chosen)
    found.running = dict.fromkeys(range(changed.get("running", 0)))
    answered = dict.fromkeys(range(chosen), 10) | samples
    found.results = {
        index: Trial(index, {}, "complete", samples=each) for index, each in answered.items()
    }
    monkeypatch.setattr(run, "monotonic", lambda: 100.0 + seconds)
    assert found._has_room() is room


def test_what_came_of_a_trial_is_said_with_how_long_the_rest_may_take(made, monkeypatch):
    first = Trial(0, OWN, "complete", (0.5,), ((0.4, 0.6),))
    found = made({0: first}, budget={"trials": 4})

    def take(seconds, *of, **more):
        monkeypatch.setattr(run, "monotonic", lambda: 100.0 + seconds)
        found.running[of[0]] = None
        found._take(Trial(of[0], {}, *of[1:], **more))
        return found.said[-1]

    assert take(45, 1, "failed", reason="it broke\nhere") == (
        "toy: trial 1, 2/4: accuracy failed (it broke); best 0.5 (trial 0); about 2 min left"
    )
    assert found.told == [({"best/accuracy": 0.5}, 1)]
    assert take(80, 2, "complete", (0.75,)) == (
        "toy: trial 2, 3/4: accuracy 0.75; best 0.75 (trial 2); about 40 s left"
    )
    assert found.told[1:] == [({"best/accuracy": 0.75}, 2), ({"trial/accuracy": 0.75}, 2)]
    assert take(90, 3, "failed") == (
        "toy: trial 3, 4/4: accuracy failed (no reason); best 0.75 (trial 2)"
    )
    assert found.running == {}
    assert found.ledger.ended == [1, 2, 3]
    alone = made(objectives=[{"metric": "ece"}])
    alone.running[1] = None
    alone._take(Trial(1, {}, "pruned"))
    assert alone.said == ["toy: trial 1, 1/14: ece pruned; about 0 s left"]
    assert alone.told == []


def test_only_the_specs_own_values_must_not_fail(made):
    found = made()
    found.running = {0: None, 1: None}
    found._take(Trial(1, {}, "failed", reason="it broke"))
    with pytest.raises(MethodError, match="toy: the trial of the spec's own values failed: it bro"):
        found._take(Trial(0, {}, "failed", reason="it broke"))


def test_values_that_the_experiment_does_not_take_fail_their_trial(made, monkeypatch):
    def units(_, values, label):
        if label == "3":
            raise Diagnostics([])
        return (Unit(label),)

    monkeypatch.setattr(run, "trial_units", units)
    trials = made(do=lambda key, _: Trial(key, {}, "complete", (0.5,))).run()
    assert [trial.index for trial in trials if trial.state == "failed"] == [3]


def test_trials_wait_for_their_weights_and_fail_with_them(made):
    found = made(ahead=3)
    found.sources = Sources(missing=["0", "2"], failed=["1"])
    for index in range(3):
        found._begin(Choice(index, OWN, ()))
    assert found.results[1].reason == "a source failed"
    assert (list(found.waiting), found.pool.order) == ([0, 2], [])
    found._hear(-1, "0")
    assert (list(found.waiting), found.pool.order) == ([2], [0])
    found._hear(-2, "2")
    assert (list(found.waiting), found.pool.order) == ([], [0, 2])
    assert found.sources.heard == [(-1, "0"), (-2, "2")]
    assert found.pool.jobs[2].units == ("2",)


def test_a_process_that_died_costs_a_try(made):
    found = made()
    found._begin(Choice(1, OWN, ()))
    for deaths in (1, 2):
        assert found.pool.order == [1] * deaths
        found.pool.jobs.clear()
        found._hear(1, WorkerDied(-9))
        assert found.ledger.deaths == [1]
    assert found.said[0] == "toy: trial 1: the process of a job died with status -9; once more"
    assert (found.results[1].state, found.results[1].values) == ("failed", OWN)
    assert found.results[1].reason.endswith(" twice")
    found._begin(Choice(2, OWN, ()))
    with pytest.raises(KeyboardInterrupt):
        found._hear(2, KeyboardInterrupt())


@pytest.mark.parametrize(("direction", "higher"), [("max", True), ("min", False)])
def test_the_best_is_tested_beside_the_specs_own_values(made, monkeypatch, direction, higher):
    found = made(objectives=[{"metric": "n", "direction": direction}, {"metric": "accuracy"}])
    monkeypatch.setattr(run, "compare", lambda *of, higher: (*of, higher))
    found._test_units = lambda trial, label: (f"{label} {trial.index}",)
    trials = [Trial(index, {}, "complete", (0.5, 0.5)) for index in range(3)]
    none = found._tested(None, trials)
    assert (none.chosen, none.metric, none.best, none.comparison) == (None, "n", (), None)
    own = found._tested(trials[0], trials)
    assert (own.chosen, own.best, own.own) == (trials[0], ("best 0",), ("best 0",))
    assert own.comparison is None
    best = found._tested(trials[1], trials)
    assert (best.chosen, best.best, best.own) == (trials[1], ("best 1",), ("own 0",))
    assert best.comparison == (("own 0",), ("best 1",), "n", higher)


def named(name):
    return SimpleNamespace(experiment=SimpleNamespace(name=name))


def test_the_test_runs_a_unit_a_seed_once_its_weights_are_there(made, monkeypatch):
    jobs = {}

    def do(key, job):
        if key < 0:
            return f"best/{-key}"
        jobs[key] = job
        return (f"id-{job.planned}", False)

    found = made(do=do)
    names = [f"best/{seed}" for seed in (1, 2, 3)]
    monkeypatch.setattr(run, "trial_units", lambda *_: map(named, names))
    monkeypatch.setattr(run, "tested", lambda _, unit, name: name)
    monkeypatch.setattr(run, "StoredUnit", lambda _, *of: of)
    found.planner.planned = tuple
    found.sources = Sources(missing=names[:2])
    for key in (-1, -2):
        found.pool.submit(key, None)
    assert found._test_units(Trial(1, {}, "complete"), "best") == tuple(
        (f"run id-{name}", name) for name in names
    )
    assert [key for key, _ in found.sources.heard] == [-2, -1]
    assert {(job.parent, job.tags[STUDY_TAG]) for job in jobs.values()} == {("search", "toy-f")}
    found.pool.do = lambda *_: MethodError("it broke")
    with pytest.raises(MethodError, match="it broke"):
        found._test_units(Trial(1, {}, "complete"), "best")


def test_the_guides_seed_is_that_of_the_first_unit_or_of_the_first_seed(made, monkeypatch):
    seeds = []
    monkeypatch.setattr(run, "Guide", lambda spec, fixed, seed, directions: seeds.append(seed))
    made()
    made(seeds=[3, 4])
    assert seeds == [7, 3]


def test_a_direction_is_the_specs_or_its_metrics(made):
    asked = [{"metric": "accuracy"}, {"metric": "ece"}, {"metric": "n", "direction": "max"}]
    asked += [{"metric": "ece", "direction": "max"}, {"metric": "accuracy", "direction": "min"}]
    found = made(objectives=asked[:3])
    assert found.directions == ["max", "min", "max"]
    search = SimpleNamespace(spec=SimpleNamespace(objectives=spec(objectives=asked[2:]).objectives))
    assert _directions(found.plan, search) == ["max", "max", "min"]


def test_a_search_shows_its_trials_units_and_two_tests_units(monkeypatch):
    shown, checked = [], []

    def showing(units):
        shown.append(units)
        return nullcontext()

    monkeypatch.setattr(run, "going_on", nullcontext)
    monkeypatch.setattr(run, "check_ready", lambda *of: checked.append(of))
    monkeypatch.setattr(run, "make_pool", lambda *_: nullcontext())
    monkeypatch.setattr(run, "_carry_out", lambda *_: "found")
    plans = [
        SimpleNamespace(resolved=SimpleNamespace(search=search), units=[1, 2, 3], tests=[1, 2])
        for search in (SimpleNamespace(spec=spec()), None)
    ]
    reporter = SimpleNamespace(showing=showing)
    for plan in plans:
        assert run_search(plan, None, reporter, None, resume_command="", jobs=2) == "found"
    assert shown == [14 * 3 + 2 * 2, 2 * 2]
    assert checked == [(plan, reporter, 2) for plan in plans]


def test_a_search_resumes_its_own_run_and_keeps_what_it_was_asked_for(monkeypatch):
    resumed, texts, ends = [], [], []
    parent = SimpleNamespace(text=lambda *of: texts.append(of), end=ends.append)

    def start(name, *, tags, resume):
        resumed.append(resume)
        return parent

    monkeypatch.setattr(run, "Ledger", lambda *_: SimpleNamespace(close=lambda: ends.append(0)))
    monkeypatch.setattr(run, "_directions", lambda *_: ["max"])
    monkeypatch.setattr(run, "_Running", lambda *_: SimpleNamespace(run=lambda: "found"))
    monkeypatch.setattr(run, "request_text", lambda _: "asked")
    monkeypatch.setattr(run, "spec_tag", lambda _: {})
    resolved = SimpleNamespace(name="toy", search=SimpleNamespace(spec=None))
    plan = SimpleNamespace(resolved=resolved, fingerprint="f")
    for past in (None, SimpleNamespace(busy=False, run_id="earlier")):
        tracker = SimpleNamespace(find=lambda _, past=past: past, start=start)
        assert run._carry_out(plan, tracker, None, None, None) == "found"
    assert resumed == [None, "earlier"]
    assert texts == [("asked", "request.json")] * 2
    assert len(ends) == 4
    past.busy = True
    with pytest.raises(TrackingError, match="another process is at the search toy"):
        run._carry_out(plan, tracker, None, None, None)


def test_values_are_those_of_before():
    choice = Choice(2, {"lr": 0.5}, ())
    _check_same(choice, {}, "study.log")
    _check_same(choice, {1: {"lr": 0.25}, 2: {"lr": 0.5}}, "study.log")
    with pytest.raises(TrackingError, match=r"study\.log was made by another version"):
        _check_same(choice, {2: {"lr": 0.25}}, "study.log")


def test_times_are_in_seconds_or_minutes():
    assert [_long(each) for each in (0.0, 59.0, 60.0, 150.1)] == ["0 s", "59 s", "1 min", "3 min"]
