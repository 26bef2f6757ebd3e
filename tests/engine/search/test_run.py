"""A search from its first trial to its last, in a real store: stops, kills, deaths, budgets."""

import multiprocessing
import signal
from collections import Counter
from dataclasses import replace
from typing import ClassVar

import pytest

from hardy.core.errors import MethodError, TrackingError, WeightsError
from hardy.engine.pool import Here, WorkerDied
from hardy.engine.search import run
from hardy.engine.search.ledger import Ledger
from hardy.plan.units import Planner
from hardy.spec import resolve
from hardy.tracking.mlflow_tracker import MlflowTracker
from hardy.tracking.store import connect
from tests.engine.search import jobs
from tests.engine.search.jobs import SPEC, Quick, quality, search

STUDY = "hardy.study"
# It need not load torch again.
FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def real_job(monkeypatch):
    """Put back what `search` replaces."""
    monkeypatch.setattr(run, "TrialJob", run.TrialJob)
    monkeypatch.setattr(run._Running, "_tested", run._Running._tested)


@pytest.fixture
def file(tmp_path, store):
    return tmp_path / "toy.yaml"


def runs_of(found):
    client = connect()
    parent = client.get_run(found.run_id)
    where = [parent.info.experiment_id]
    children = client.search_runs(where, f"tags.`mlflow.parentRunId` = '{found.run_id}'")
    return parent, children


def kept(found, file):
    """Return a finished search's trials, as its study has them."""
    parent, _ = runs_of(found)
    spec = resolve(str(file)).search.spec
    return Ledger(spec, parent.data.tags[STUDY], ["max"]).results()


def test_a_search_holds_its_trials_and_they_hold_it(file):
    found = search(file)
    parent, children = runs_of(found)
    trials = kept(found, file)
    assert list(trials) == list(range(12))
    assert trials[0].values == {
        "method.optimizer.lr": 0.01,
        "method.views.count": 4,
        "method.select": 1.0,
    }
    by_trial = {child.data.tags["hardy.trial"]: child for child in children}
    assert len(children) == len(by_trial) == 12
    for index, trial in trials.items():
        child = by_trial[str(index)]
        assert trial.runs == (child.info.run_id,)
        assert child.data.tags[STUDY] == parent.data.tags[STUDY]
        if trial.state == "complete":
            assert child.data.metrics["accuracy"] == trial.objectives[0] == quality(trial.values)
    assert Counter(trial.state for trial in trials.values()) == {"complete": 10, "failed": 2}
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["trials"] == 12
    assert parent.data.metrics["trials/failed"] == 2
    best = max(t.objectives[0] for t in trials.values() if t.objectives)
    assert parent.data.metrics["best/accuracy"] == best
    artifacts = {each.path for each in connect().list_artifacts(found.run_id, "search")}
    assert {"search/trials.csv", "search/search.html", "search/history.png"} <= artifacts
    note = parent.data.tags["mlflow.note.content"]
    assert "12 trials" in note
    assert "optuna-dashboard" in note
    assert f"#/experiments/{parent.info.experiment_id}/runs/" in note


def test_a_finished_search_is_not_tried_again_and_a_wider_one_goes_on(file):
    first = search(file)
    before = kept(first, file)
    again = search(file)
    assert again.run_id == first.run_id
    assert kept(again, file) == before
    wider = search(file, overrides=["search.budget.trials=15"])
    assert wider.run_id == first.run_id
    after = kept(wider, file)
    assert len(after) == 15
    assert {index: after[index] for index in before} == before
    _, children = runs_of(wider)
    assert len(children) == 15


def test_another_seed_is_another_search(file):
    first, other = search(file), search(file, overrides=["seed=1"])
    assert first.run_id != other.run_id
    assert kept(first, file)[1].values != kept(other, file)[1].values


@pytest.mark.slow
def test_killed_at_five_points_it_ends_with_the_same_trials(file, tmp_path, monkeypatch):
    def values(home, stops):
        folder = tmp_path / home / "deaths"
        folder.mkdir(parents=True)
        for name in stops:
            (folder / name).write_text("1")
        monkeypatch.setenv("HARDY_HOME", str(tmp_path / home))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/{home}/runs.db")
        monkeypatch.setenv(jobs.FOLDER, str(folder))
        for _ in stops:
            process = FORK.Process(target=search, args=(file,))
            process.start()
            process.join()
            assert process.exitcode == -signal.SIGKILL
        found = search(file)
        trials = kept(found, file)
        _, children = runs_of(found)
        finished = [c.data.tags["hardy.trial"] for c in children if c.info.status == "FINISHED"]
        assert sorted(map(int, finished)) == list(range(12))
        return [(t.values, t.state, t.objectives) for t in trials.values()]

    stops = ["before-0", "within-2", "before-5", "within-9", "within-11"]
    assert values("killed", stops) == values("whole", [])


class Dying(Here):
    """A pool whose workers die as often as it is told, by trial."""

    deaths: ClassVar[dict[int, int]] = {}

    def wait(self):
        key, result = super().wait()
        if self.deaths.get(key, 0):
            self.deaths[key] -= 1
            return key, WorkerDied(-9)
        return key, result


def test_a_workers_death_costs_a_try_and_a_second_one_the_trial(file, monkeypatch):
    monkeypatch.setattr(Dying, "deaths", {2: 1, 9: 2})
    monkeypatch.setattr(run, "make_pool", lambda jobs, *rest: Dying(*rest))
    trials = kept(search(file), file)
    assert list(trials) == list(range(12))
    assert trials[2].state == "complete"
    assert trials[9].state == "failed"
    assert "died" in trials[9].reason


class Beside(Here):
    """A pool of two that takes each experiment once at a time."""

    size = 2

    def submit(self, key, job):
        super().submit(key, job)
        marks = [unit.fingerprint for _, each in self._jobs for unit in each.units]
        assert len(marks) == len(set(marks))


def test_trials_that_come_to_the_same_experiment_are_not_side_by_side(file, monkeypatch):
    monkeypatch.setattr(run, "make_pool", lambda jobs, *rest: Beside(*rest))
    spec = SPEC.replace("{kind: float, low: 0.0001, high: 1, log: true}", "[0.01, 0.1]")
    spec = spec.replace("{kind: int, low: 2, high: 32}", "[4]")
    assert len(kept(search(file, spec=spec), file)) == 12


def test_what_a_trial_lacks_is_its_own_failure(file, monkeypatch):
    real = Planner.planned

    def planned(planner, units, **how):
        if units[0].experiment.name == "toy/4":
            message = "weights are absent"
            raise WeightsError(message)
        return real(planner, units, **how)

    monkeypatch.setattr(Planner, "planned", planned)
    trials = kept(search(file), file)
    assert len(trials) == 12
    assert (trials[4].state, trials[4].reason) == ("failed", "weights are absent")


def test_a_budget_of_samples_ends_it_at_the_same_trial(file):
    spec = SPEC.replace("trials: 12", "trials: 12, samples: 40")
    # Ten samples a trial: known are those up to n - ahead.
    assert len(kept(search(file, spec=spec), file)) == 7


def test_a_budget_of_time_ends_it(file):
    spec = SPEC.replace("trials: 12", "trials: 12, minutes: 0.0000001")
    found = search(file, spec=spec)
    parent, _ = runs_of(found)
    assert parent.data.metrics["trials"] == 0
    assert "no trial" in found.tested.verdict


def test_a_search_whose_time_is_up_does_not_go_on(file, monkeypatch):
    spec = SPEC.replace("trials: 12", "trials: 12, minutes: 1")
    assert len(kept(search(file, spec=spec, overrides=["search.budget.trials=2"]), file)) == 2
    monkeypatch.setattr(Ledger, "seconds", lambda _: 61.0)
    assert len(kept(search(file, spec=spec), file)) == 2


class Failing(Quick):
    def __call__(self, tracker, reporter):
        from hardy.results.search.trial import Trial

        return Trial(self.choice.index, self.choice.values, "failed", reason="the loss is nan")


class Broken(Quick):
    def __call__(self, tracker, reporter):
        message = "the store is gone"
        raise TrackingError(message)


def test_where_the_specs_own_values_fail_so_does_the_search(file, monkeypatch):
    monkeypatch.setattr(jobs, "Quick", Failing)
    with pytest.raises(MethodError, match="own values failed: the loss is nan"):
        search(file)


def test_a_store_that_fails_is_no_trials_failure(file, monkeypatch):
    monkeypatch.setattr(jobs, "Quick", Broken)
    with pytest.raises(TrackingError, match="the store is gone"):
        search(file)
    monkeypatch.setattr(jobs, "Quick", Quick)
    assert len(kept(search(file), file)) == 12


def test_a_study_that_does_not_fit_is_told(file, monkeypatch):
    search(file, overrides=["search.budget.trials=6"])
    monkeypatch.setattr("hardy.engine.search.guide.make_sampler", reseeded)
    with pytest.raises(TrackingError, match="another version of Optuna"):
        search(file)


def reseeded(spec, seed, number):
    from hardy.engine.search.samplers import make_sampler

    return make_sampler(spec, seed + 1, number)


def test_a_search_that_another_process_is_at_is_left_alone(file, monkeypatch):
    search(file, overrides=["search.budget.trials=2"])
    real = MlflowTracker.find

    def find(*of):
        past = real(*of)
        return past and replace(past, busy=True)

    monkeypatch.setattr(MlflowTracker, "find", find)
    with pytest.raises(TrackingError, match="another process is at the search toy"):
        search(file, overrides=["search.budget.trials=3"])
