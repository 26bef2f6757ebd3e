"""Who keeps views: a search's trials, whoever is told to, and processes that answer for them."""

import io
from dataclasses import dataclass, replace

import pytest
from rich.console import Console

from hardy.core.cache import default_cache
from hardy.core.errors import MethodError
from hardy.engine import answer as answering
from hardy.engine.answer import AnswerJob
from hardy.engine.executor import Processes
from hardy.engine.progress import Reporter
from hardy.engine.search import job
from hardy.engine.search.guide import Choice
from hardy.measure.records import COST, TIMING
from hardy.plan.units import make_plan
from hardy.registry.stores import default_stores
from hardy.spec import resolve
from hardy.spec.search.spec import SearchSpec
from tests.engine.runs import set_up_of

SPEC = """\
name: kept
data: {dataset: digits, subset: {count: 3}}
model: {kind: hardy, name: resnet26-gn8, weights: random, classes: 10}
method: {kind: memo, views: {kind: cut, count: 3}, optimizer: {kind: sgd, lr: 0.1}}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu}
"""


@pytest.fixture(autouse=True)
def _spec(tmp_path, monkeypatch):
    (tmp_path / "kept.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)


def planned(*changes):
    return make_plan(resolve("kept.yaml", changes), default_stores(), None).units


def built(*changes):
    (unit,) = planned(*changes)
    return set_up_of(unit)


@pytest.mark.parametrize(
    ("stated", "turns", "part"),
    [(None, 0, None), (None, 1, 2), (None, 3, 6), ("false", 3, None), ("true", 0, 2)],
)
def test_a_search_keeps_views_and_else_whoever_is_told_to(stated, turns, part):
    setup = built(*([f"compute.keep_views={stated}"] if stated else []))
    store = replace(setup, turns=turns).pipeline("answer").store
    if part is None:
        assert store is None
    else:
        assert store.cache is default_cache()
        assert store.room == default_cache().budget // part


@dataclass(frozen=True)
class InTurn:
    """Several jobs in one process: its start is what takes long."""

    jobs: tuple[AnswerJob, ...]

    def __call__(self, send):
        """Do one after the other, and say how many entries there are after each."""
        for each in self.jobs:
            rows = []
            each(rows.append)
            entries = [entry for entry in default_cache().entries() if entry.kind == "views"]
            send((len(entries), rows))


def test_a_process_that_answers_keeps_them_too():
    setup = built()
    asked = AnswerJob(setup.experiment, setup.located, setup.data["answer"], None, (0, 1, 2))
    found = []
    turns = InTurn(tuple(replace(asked, turns=turns) for turns in (0, 2, 2)))
    Processes(1).run([turns], lambda _, sent: found.append(sent))
    assert [entries for entries, _ in found] == [0, 3, 3]
    first, *others = (
        [{k: v for k, v in row.items() if not k.startswith(TIMING)} for _, row in rows]
        for _, rows in found
    )
    assert all(other == first for other in others)


def test_what_an_answer_takes_is_not_told_of_views_that_may_have_been_read():
    setup = built("data.subset.count=1")
    for turns in (0, 2, 2):
        ((_, row),) = answering.rows(replace(setup, turns=turns), [0], 0)
        told = {name.removeprefix(COST) for name in row if name.startswith(COST)}
        assert told == {"source"} | (set() if turns else {"memo", "view_ensemble", "majority_vote"})
        assert row[f"{TIMING}views"] > 0


def test_processes_that_answer_for_a_setup_have_its_turns():
    setup = replace(built("compute.processes=2", "data.subset.count=70"), turns=3)
    jobs, _ = answering._jobs(setup, None, range(70))
    assert [each.turns for each in jobs] == [3, 3]


@pytest.mark.parametrize(
    ("changed", "turns"),
    [
        ({}, 2),
        ({"constraints": [{"metric": "ece", "at_most": 0.1}]}, 2),
        ({"constraints": [{"metric": "seconds_per_sample", "at_most": 1}]}, 0),
        ({"objectives": [{"metric": "samples_per_second", "direction": "max"}]}, 0),
    ],
)
def test_no_trial_keeps_views_where_its_time_counts(changed, turns, monkeypatch):
    stated = {
        "space": {"method.optimizer.lr": {"kind": "float", "low": 0.1, "high": 1}},
        "objectives": [{"metric": "accuracy"}],
        "budget": {"trials": 2},
        "test_on": {"part": "test"},
        **changed,
    }
    told = []

    def run_unit(*_, turns, **__):
        told.append(turns)
        message = "that is all"
        raise MethodError(message)

    monkeypatch.setattr(job, "run_unit", run_unit)
    spec = SearchSpec.model_validate(stated)
    trial = job.TrialJob(
        spec, ["max"], Choice(0, {}, ()), planned("matrix.seed=[0, 1]"), "parent", "study"
    )
    assert trial(None, Reporter(Console(file=io.StringIO()))).reason == "that is all"
    assert told == [turns]
