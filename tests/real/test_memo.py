"""MEMO at the paper's CIFAR-10 settings, with the paper's own model, on real images."""

import os
from collections import defaultdict

import pytest

from hardy.data.open import open_dataset
from hardy.engine.answer import AnswerJob
from hardy.engine.executor import Processes
from hardy.measure.paired import flips, mcnemar
from hardy.models.weights import locate
from hardy.spec import resolve
from hardy.tasks.classify.metrics import correct
from tests.contracts.records import as_frame

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(
        "HARDY_DATA" not in os.environ, reason="HARDY_DATA does not say where the images are"
    ),
]
A_CLASS = 50


def test_memo_lowers_the_error_by_two_points() -> None:
    experiment = resolve("cifar10/memo").units[0].experiment
    places = defaultdict(list)
    for place, sample in enumerate(open_dataset(experiment.data).samples):
        places[sample.label].append(place)
    first = sorted(place for found in places.values() for place in found[:A_CLASS])
    assert len(first) == 10 * A_CLASS

    located, data = {"model.weights": locate(experiment.model)}, open_dataset(experiment.data)
    count, rows = os.cpu_count() or 1, {}
    jobs = [
        AnswerJob(experiment, located, data, None, tuple(first[k::count])) for k in range(count)
    ]
    Processes(count).run(jobs, lambda _, sent: rows.update([sent]))
    frame = as_frame(rows[place] for place in first)
    before, after = correct(frame, "source"), correct(frame, "memo")
    assert 0.80 < before.mean() < 0.87
    assert after.mean() - before.mean() >= 0.02
    assert mcnemar(*flips(before, after)).better < 0.01
