"""One trial carried out: what it comes to, of which runs, and what it says of runs elsewhere."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hardy.core.errors import MethodError, TrackingError
from hardy.engine.search import job
from hardy.engine.search.guide import Choice
from hardy.engine.search.job import REUSED_TAG, STUDY_TAG, TRIAL_TAG, TrialJob
from hardy.engine.watch import Pruned
from hardy.plan.tracker import FINGERPRINT_TAG, Status
from tests.engine.search.test_guide import OWN, spec

OWN_TAGS = {STUDY_TAG: "study", TRIAL_TAG: "3"}


class Tracker:
    """Keeps what is told of the runs that are started."""

    def __init__(self):
        self.started, self.told = [], []

    def find(self, mark):
        return None

    def start(self, name, *, tags, parent, resume):
        assert resume is None
        assert tags.pop(FINGERPRINT_TAG)
        self.started.append((name, dict(tags), parent))
        told = {
            way: lambda *of, way=way: self.told.append((way, *of))
            for way in ("note", "metrics", "end")
        }
        return SimpleNamespace(**told)

    def link(self, run_id):
        return f"http://host:5000/#/runs/{run_id}"


def planned(seed):
    experiment = SimpleNamespace(name=f"toy/{seed}")
    return SimpleNamespace(unit=SimpleNamespace(experiment=experiment), fingerprint=f"mark-{seed}")


def unit(seed, *, reused=False, tags=None, scores=(1.0, 0.0, 0.5, 0.5), **metrics):
    ids = [f"{place}.png" for place in range(len(scores))]
    return SimpleNamespace(
        run_id=f"run-{seed}",
        name=f"toy/{seed}",
        run=SimpleNamespace(name=f"earlier/{seed}"),
        main="memo",
        task=SimpleNamespace(spec=SimpleNamespace(metrics={})),
        tags=tags or {},
        reused=reused,
        metrics={"samples": 4.0, "accuracy": 0.5 + seed / 4, **metrics},
        planned=None,
        experiment=SimpleNamespace(method=SimpleNamespace(yields_weights=False)),
        frame=pd.DataFrame({"sample": ids}),
        score=lambda: np.array(scores),
    )


def tried(monkeypatch, ways, **changed):
    """Carry a trial out whose units are what the given functions make of their watch."""
    calls, tracker = [], Tracker()

    def run_unit(_, tracker, reporter, **asked):
        calls.append(asked)
        return ways[len(calls) - 1](asked["watch"])

    monkeypatch.setattr(job, "run_unit", run_unit)
    units = tuple(map(planned, range(len(ways))))
    one = TrialJob(spec(**changed), ["max"], Choice(3, OWN, ()), units, "search", "study")
    return one(tracker, None), calls, tracker


def test_a_trial_without_one_of_its_metrics_failed_but_ran(monkeypatch):
    clock = iter([10.0, 12.5])
    monkeypatch.setattr(job, "monotonic", lambda: next(clock))
    trial, calls, tracker = tried(
        monkeypatch,
        [lambda _: unit(0), lambda _: unit(1)],
        constraints=[{"metric": "ece", "at_most": 0.5}, {"metric": "accuracy", "at_least": 0.5}],
    )
    assert (trial.index, trial.values) == (3, OWN)
    assert (trial.state, trial.reason) == ("failed", "ece of toy/0 is absent")
    assert (trial.runs, trial.samples, trial.seconds) == (("run-0", "run-1"), 8, 2.5)
    assert calls == [{"parent": "search", "tags": OWN_TAGS, "watch": None, "turns": 2}] * 2
    assert not tracker.started


def test_a_whole_trial_has_the_means_of_its_seeds(monkeypatch):
    trial, _, _ = tried(
        monkeypatch,
        [lambda _: unit(0), lambda _: unit(1)],
        constraints=[{"metric": "accuracy", "at_least": 0.5}],
    )
    assert trial.state == "complete"
    assert (trial.objectives, trial.constraints) == ((0.625,), (-0.125,))
    assert np.isnan(trial.intervals).all()
    assert (trial.reports, trial.marks) == ({}, {})


def test_a_watch_hears_of_the_seeds_one_after_the_other(monkeypatch):
    def answers(seed):
        def run(watch):
            watch.samples(1, 2, {0: 1.0})
            watch.samples(2, 2, {1: 0.5})
            return unit(seed, samples=2.0)

        return run

    trial, _, _ = tried(monkeypatch, [answers(0), answers(1)], pruner={"kind": "median"})
    assert trial.reports == {1: 1.0, 2: 0.75, 3: 2.5 / 3, 4: 0.75}
    assert (trial.state, trial.samples) == ("complete", 4)


def test_a_pruned_trial_counts_what_it_answered_and_holds_the_run_that_was_stopped(monkeypatch):
    def stopped(watch):
        watch.samples(1, 4, {0: 1.0})
        pruned = Pruned(5)
        pruned.run_id = "run-stopped"
        raise pruned

    def whole(watch):
        for place in range(4):
            watch.samples(place + 1, 4, {place: 1.0})
        return unit(0)

    trial, _, _ = tried(monkeypatch, [whole, stopped], pruner={"kind": "wilcoxon"})
    assert (trial.state, trial.reason) == ("pruned", "stopped after step 5")
    assert trial.runs == ("run-0", "run-stopped")
    assert trial.samples == 5
    assert trial.objectives == ()
    assert trial.reports == dict.fromkeys(range(5), 1.0)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MethodError("the loss is nan"), "the loss is nan"),
        (ValueError("no such view"), "ValueError('no such view')"),
    ],
)
def test_what_fails_is_the_trials_failure(monkeypatch, error, reason):
    def fails(_):
        raise error

    trial, _, _ = tried(monkeypatch, [lambda _: unit(0), fails])
    assert (trial.state, trial.reason) == ("failed", reason)
    assert (trial.runs, trial.samples) == (("run-0",), 4)


def test_a_store_that_fails_is_not(monkeypatch):
    def fails(_):
        message = "it is gone"
        raise TrackingError(message)

    with pytest.raises(TrackingError, match="it is gone"):
        tried(monkeypatch, [fails])


def test_a_run_elsewhere_is_told_to_the_watch_and_stood_for(monkeypatch):
    elsewhere = unit(0, reused=True, tags={STUDY_TAG: "another", TRIAL_TAG: "3"})
    trial, _, tracker = tried(monkeypatch, [lambda _: elsewhere], pruner={"kind": "wilcoxon"})
    assert trial.reports == {0: 1.0, 1: 0.0, 2: 0.5, 3: 0.5}
    assert (trial.runs, trial.samples) == (("run-0",), 4)
    tags = {**OWN_TAGS, REUSED_TAG: "run-0", "hardy.role": "trial"}
    assert tracker.started == [("toy/0", tags, "search")]
    assert tracker.told == [
        ("note", "The numbers are those of [earlier/0](#/runs/run-0).\n"),
        ("metrics", elsewhere.metrics),
        ("end", Status.FINISHED),
    ]


def test_a_run_of_the_trials_own_needs_none_to_stand_for_it(monkeypatch):
    own = unit(0, reused=True, tags={**OWN_TAGS, "other": "tag"})
    trial, _, tracker = tried(monkeypatch, [lambda _: own])
    assert trial.state == "complete"
    assert not tracker.started
