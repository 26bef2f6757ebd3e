"""Sources of trials' weights: each handed in once, when its own are at hand."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from hardy.core.errors import MethodError, TrackingError
from hardy.engine.pool import WorkerDied
from hardy.engine.search import sources
from hardy.engine.search.sources import Sources


@dataclass
class Unit:
    fingerprint: str
    needs: dict = field(default_factory=dict)
    reusable: bool = False

    @property
    def unit(self):
        return SimpleNamespace(experiment=SimpleNamespace(name=self.fingerprint))


@dataclass
class Pool:
    jobs: dict = field(default_factory=dict)

    def submit(self, key, job):
        assert key < 0
        assert key not in self.jobs
        self.jobs[key] = job

    def names(self):
        return [job.planned[0].fingerprint for job in self.jobs.values()]


@pytest.fixture
def made(monkeypatch):
    monkeypatch.setattr(sources, "with_weights", lambda unit, made, _: (unit, dict(made)))
    return Sources(tracker=None, pool=Pool(), parent="search")


BASE = Unit("base")
MIDDLE = Unit("middle", {"model.weights": BASE})
ONE, TWO = (Unit(name, {"model.weights": MIDDLE}) for name in ("one", "two"))


def test_a_chain_runs_in_its_order_each_once(made):
    assert made.ready([ONE]) is None
    assert made.ready([TWO]) is None
    assert made.pool.names() == ["base"]
    made.hear(-1, ("run-base", False))
    assert made.ready([ONE]) is None
    assert made.ready([TWO]) is None
    assert made.pool.names() == ["base", "middle"]
    assert made.pool.jobs[-2].planned[1] == {"base": "run-base"}
    assert made.pool.jobs[-2].parent == "search"
    made.hear(-2, ("run-middle", False))
    runs = {"base": "run-base", "middle": "run-middle"}
    assert made.ready([ONE, TWO]) == ((ONE, runs), (TWO, runs))
    assert len(made.pool.jobs) == 2


def test_what_needs_nothing_is_ready_at_once(made):
    assert made.ready([BASE]) == ((BASE, {}),)
    assert made.pool.jobs == {}


def test_a_process_that_died_is_tried_once_more(made):
    needs = Unit("needs", {"model.weights": BASE})
    for key in (-1, -2):
        assert made.ready([needs]) is None
        assert made.pool.names() == ["base"] * -key
        made.hear(key, WorkerDied(-9))
    with pytest.raises(MethodError, match=r"base, whose weights it needs, failed: .*died"):
        made.ready([needs])


@pytest.mark.parametrize("error", [MethodError("the loss is nan"), ValueError("the loss is nan")])
def test_a_failure_is_that_of_the_trials_that_need_it(made, error):
    assert made.ready([ONE]) is None
    made.hear(-1, error)
    with pytest.raises(MethodError, match=r"base, whose.*the loss is nan"):
        made.ready([ONE])


@pytest.mark.parametrize("error", [TrackingError("it is gone"), KeyboardInterrupt()])
def test_a_store_that_fails_and_a_stop_end_the_search(made, error):
    assert made.ready([ONE]) is None
    with pytest.raises(type(error)):
        made.hear(-1, error)
