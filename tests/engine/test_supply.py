"""Weights that one run yields, handed to the run that begins with them."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from hardy.core.errors import TrackingError, WeightsError
from hardy.engine.supply import WEIGHTS, supplied
from hardy.plan.units import OWN_WEIGHTS as OWN
from hardy.spec import Unit
from tests.plan.helpers import Asked, Shelf, experiment, finished, resolved


class Store:
    """Has one artifact a run."""

    def __init__(self, folder, *runs) -> None:
        self.folder, self.runs = folder, runs

    def artifact(self, run_id, path):
        if run_id not in self.runs:
            message = "no such artifact"
            raise TrackingError(message)
        return self.folder / run_id / path


@pytest.fixture
def planned():
    source = Unit(experiment(name="source"))
    return Asked().plan(resolved(Unit(experiment(seed=1), needs={OWN: source})), Shelf())


def test_a_unit_without_needs_is_left_alone(tmp_path):
    (unit,) = Asked().plan(resolved(Unit(experiment()))).units
    assert supplied(unit, {}, Store(tmp_path)) is unit


def test_the_file_of_the_run_that_was_just_made(planned, tmp_path):
    (unit,), (source,) = planned.units, planned.needed
    made = {source.fingerprint: SimpleNamespace(run_id="new")}
    ready = supplied(unit, made, Store(tmp_path, "new"))
    assert ready.located[OWN].path == tmp_path / "new" / WEIGHTS
    assert ready.weights == unit.weights == f"run:{source.fingerprint}"
    assert ready.fingerprint == unit.fingerprint


def test_the_file_of_a_finished_run(planned, tmp_path):
    (unit,) = planned.units
    unit = replace(unit, needs={OWN: replace(unit.needs[OWN], past=finished("old"))})
    assert supplied(unit, {}, Store(tmp_path, "old")).located[OWN].path == (
        tmp_path / "old" / WEIGHTS
    )


def test_a_run_without_weights_is_a_clear_error(planned, tmp_path):
    (unit,), (source,) = planned.units, planned.needed
    made = {source.fingerprint: SimpleNamespace(run_id="new")}
    with pytest.raises(WeightsError) as caught:
        supplied(unit, made, Store(tmp_path))
    assert caught.value.message == (
        f"plain begins with the weights of source, but its run new has no artifact {WEIGHTS}"
    )
    assert "--again" in caught.value.hint
