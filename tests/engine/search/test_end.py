"""What a search's run holds at its end, and what its test says."""

import csv
import io
import json
from types import SimpleNamespace

import pytest
import yaml

from hardy.engine.search import end
from hardy.engine.search.end import write
from hardy.results.search.comparison import Comparison
from hardy.spec import resolve
from tests.engine.search.test_job import unit
from tests.results.search.examples import spec, trials

BETTER = Comparison(60, 30, "accuracy", 0.5, 0.75, "accuracy", True, 0.25, 0.125, 0.375)
WORSE = Comparison(60, 30, "accuracy", 0.75, 0.5, "accuracy", True, -0.25, -0.375, -0.125)
SEARCH = spec()
TRIALS = trials(SEARCH, 20)


class Unit(SimpleNamespace):
    __hash__ = object.__hash__


def answered(seed, **metrics):
    experiment = resolve("quickstart").units[0].experiment
    return Unit(**{**vars(unit(seed, **metrics)), "experiment": experiment})


def written(monkeypatch, tested):
    """Return the texts, the notes and the metrics that a search's run gets."""
    texts, notes, metrics = {}, [], {}
    parent = SimpleNamespace(
        run_id="search",
        note=notes.append,
        text=lambda text, path: texts.update({path: text}),
        metrics=metrics.update,
    )
    tracker = SimpleNamespace(link=lambda run: f"http://host/#/runs/{run}")
    monkeypatch.setattr(end, "pictures", lambda *_: [("search/picture.txt", "a picture")])
    found = write(
        parent, tracker, "toy", SEARCH, ["max"], TRIALS, tested, "study.log", "toy · memo · fog-3"
    )
    assert (found.run_id, found.tested) == ("search", tested)
    assert found.table.title == "toy: the best of 20 trials"
    assert texts["search/picture.txt"] == "a picture"
    assert "<html" in texts["search/search.html"]
    rows = list(csv.DictReader(io.StringIO(texts["search/trials.csv"])))
    assert [row["index"] for row in rows] == [str(trial.index) for trial in TRIALS]
    (note,) = notes
    assert note.startswith("**20 trials: ")
    return texts, note, metrics


def test_a_whole_search_holds_its_best_trial_and_the_test(monkeypatch):
    own, best = answered(0), answered(1)
    tested = end.Tested(TRIALS[4], "accuracy", (best,), (own,), BETTER)
    texts, note, metrics = written(monkeypatch, tested)
    assert note.endswith(f"\nTested: {BETTER.line()}.\n")
    assert yaml.safe_load(texts["search/best.yaml"])["name"] == best.experiment.name
    assert texts["search/best.yaml"].startswith("# Trial 4 of the search toy.")
    assert [each["run"] for each in json.loads(texts["units.json"])] == ["run-1", "run-0"]
    states = [trial.state for trial in TRIALS]
    counted = {f"trials/{way}": states.count(way) for way in ("complete", "pruned", "failed")}
    assert all(counted.values())
    assert metrics == {
        "trials": 20,
        **counted,
        "trials/samples": sum(trial.samples for trial in TRIALS),
        "trials/seconds": sum(trial.seconds for trial in TRIALS),
        **BETTER.metrics(),
    }


def test_without_a_best_trial_there_is_none_to_keep(monkeypatch):
    for tested in (end.Tested(None, "accuracy"), end.Tested(TRIALS[4], "accuracy")):
        texts, note, metrics = written(monkeypatch, tested)
        assert "search/best.yaml" not in texts
        assert json.loads(texts["units.json"]) == []
        assert "Tested: " not in note
        assert not any(name.startswith("test/") for name in metrics)
        assert tested.verdict == "no trial was whole and held every constraint"
        assert not tested.worse


def test_where_nothing_better_was_found_the_runs_are_named_once(monkeypatch):
    own = answered(0)
    texts, _, _ = written(monkeypatch, end.Tested(TRIALS[0], "accuracy", (own,), (own,)))
    assert [each["run"] for each in json.loads(texts["units.json"])] == ["run-0"]


@pytest.mark.parametrize(
    ("metrics", "bounds"),
    [({}, ""), ({"accuracy.low": 0.25, "accuracy.high": 0.75}, " [0.25, 0.75]")],
)
def test_the_specs_own_values_are_told_with_their_interval(metrics, bounds):
    found = unit(0, **metrics)
    tested = end.Tested(TRIALS[0], "accuracy", (found,), (found,))
    assert tested.verdict == (
        "nothing better was found than the spec's own values: "
        f"accuracy 0.5{bounds} on the test samples"
    )
    assert not tested.worse


@pytest.mark.parametrize(("compared", "worse"), [(BETTER, False), (WORSE, True)])
def test_a_comparison_says_what_the_test_says(compared, worse):
    found = unit(0)
    tested = end.Tested(TRIALS[4], "accuracy", (found,), (found,), compared)
    assert tested.verdict == compared.line()
    assert tested.worse is worse
