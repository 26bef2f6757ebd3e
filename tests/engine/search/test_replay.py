"""A run that is there already tells a pruner what it would have told had it run now."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hardy.core.errors import ArtifactAbsent
from hardy.engine.search.job import REUSED_TAG, TrialJob, _replay
from hardy.engine.watch import Pruned
from hardy.methods.supervised.spec import SupervisedSpec
from hardy.plan.tracker import FINGERPRINT_TAG, PastRun


class Heard:
    def __init__(self):
        self.told = []

    def samples(self, *told):
        self.told.append(told)
        raise Pruned(0)  # nobody minds: the run is whole

    def epoch(self, *told):
        self.told.append(told)
        raise Pruned(0)


def unit(places, *, trains=False, store=None):
    ids = [f"{place}.png" for place in range(5)]
    dataset = SimpleNamespace(samples=[SimpleNamespace(id=each) for each in ids])
    return SimpleNamespace(
        run_id="r",
        store=store,
        experiment=SimpleNamespace(method=SimpleNamespace(yields_weights=trains)),
        planned=SimpleNamespace(samples={"answer": SimpleNamespace(dataset=dataset)}),
        frame=pd.DataFrame({"sample": [ids[place] for place in places]}),
        score=lambda: np.array([place / 8 for place in places]),
    )


@pytest.mark.parametrize("places", [range(5), [0, 2, 3], [1]])
def test_answers_come_at_the_places_of_their_samples(places):
    heard = Heard()
    _replay(unit(places), heard)
    assert heard.told == [
        (place + 1, 5, {place: place / 8} if place in places else {}) for place in range(5)
    ]


def test_a_training_tells_its_epochs(tmp_path):
    merits = [-0.1 - 0.2, float("-inf"), 1 / 3]
    file = tmp_path / "epochs.csv"
    pd.DataFrame({"epoch": [1, 2, 3], "merit": merits}).to_csv(file, index=False)
    heard = Heard()
    store = SimpleNamespace(artifact=lambda run, path: {"training/epochs.csv": file}[path])
    _replay(unit([], trains=True, store=store), heard)
    assert heard.told == [(epoch, 3, merit) for epoch, merit in enumerate(merits, start=1)]


def test_a_training_that_ended_early_tells_how_many_epochs_it_was_to_have(tmp_path):
    file = tmp_path / "epochs.csv"
    pd.DataFrame({"epoch": [1, 2], "merit": [0.5, 0.25]}).to_csv(file, index=False)
    ended = unit([], trains=True, store=SimpleNamespace(artifact=lambda *_: file))
    ended.experiment.method = SupervisedSpec(epochs=9, early_stop=1, batch=2)
    ended.planned.samples["fit"] = ended.planned.samples["answer"]
    heard = Heard()
    _replay(ended, heard)
    assert heard.told == [(1, 9, 0.5), (2, 9, 0.25)]


def test_a_training_from_before_merits_were_kept_tells_nothing(tmp_path):
    def absent(run, path):
        raise ArtifactAbsent(path)

    file = tmp_path / "epochs.csv"
    file.write_text("epoch,loss\n1,0.5\n")
    for artifact in (absent, lambda *_: file):
        heard = Heard()
        _replay(unit([], trains=True, store=SimpleNamespace(artifact=artifact)), heard)
        assert heard.told == []


def test_nobody_is_told_where_nobody_watches():
    _replay(unit(range(5)), None)


class Tracker:
    """Keeps the links that are started, by their fingerprint."""

    def __init__(self):
        self.runs, self.resumed = {}, []

    def find(self, mark):
        return self.runs.get(mark)

    def link(self, run_id):
        return f"store#{run_id}"

    def start(self, name, *, tags, parent, resume):
        assert (parent, tags[REUSED_TAG]) == ("search", "r")
        self.resumed.append(resume)
        run, mark = SimpleNamespace(note=str, metrics=dict), tags[FINGERPRINT_TAG]
        self.runs[mark] = PastRun("link", name, finished=False)

        def end(status):
            self.runs[mark] = PastRun("link", name, finished=True)

        run.end = end
        return run


def test_a_reused_run_is_linked_once_however_often_its_trial_begins():
    tracker, reused = Tracker(), SimpleNamespace(run_id="r", run=None, metrics={})
    reused.run = SimpleNamespace(name="elsewhere")
    experiment = SimpleNamespace(name="toy/1-seed-0")
    planned = SimpleNamespace(fingerprint="f", unit=SimpleNamespace(experiment=experiment))
    for index in (1, 1, 2):
        job = TrialJob(None, (), SimpleNamespace(index=index), (), "search", "study")
        job._link(reused, planned, tracker, {})
    assert tracker.resumed == [None, None]
    for mark in tracker.runs:
        tracker.runs[mark] = PastRun("torn", "toy", finished=False)
    job._link(reused, planned, tracker, {})
    assert tracker.resumed == [None, None, "torn"]
