"""Weights that one run yields, handed to the run that begins with them."""

from dataclasses import replace

import pytest

from hardy.core.errors import ArtifactAbsent, WeightsError
from hardy.engine.unit import leaves, with_weights
from hardy.models.state import WEIGHTS
from hardy.plan.units import OWN_WEIGHTS
from hardy.spec import Unit
from tests.plan.helpers import Asked, Shelf, experiment, finished, resolved


class Store:
    """Has one artifact a run."""

    def __init__(self, folder, *runs) -> None:
        self.folder, self.runs = folder, runs

    def artifact(self, run_id, path):
        if run_id not in self.runs:
            message = "no such artifact"
            raise ArtifactAbsent(message)
        return self.folder / run_id / path


@pytest.fixture
def planned():
    source = Unit(experiment(name="source"))
    return Asked().plan(resolved(Unit(experiment(seed=1), needs={OWN_WEIGHTS: source})), Shelf())


def test_a_unit_without_needs_is_left_alone(tmp_path):
    (unit,) = Asked().plan(resolved(Unit(experiment()))).units
    assert with_weights(unit, {}, Store(tmp_path)) == unit


def test_the_file_of_the_run_that_was_just_made(planned, tmp_path):
    (unit,), (source,) = planned.units, planned.needed
    ready = with_weights(unit, {source.fingerprint: "new"}, Store(tmp_path, "new"))
    located = ready.located[OWN_WEIGHTS]
    assert located.path == tmp_path / "new" / WEIGHTS
    assert located.identity == unit.located[OWN_WEIGHTS].identity == f"run:{source.fingerprint}"
    assert ready.fingerprint == unit.fingerprint


def test_the_file_of_a_finished_run(planned, tmp_path):
    (unit,) = planned.units
    source = replace(unit.needs[OWN_WEIGHTS], past=finished("old"))
    unit = replace(unit, needs={OWN_WEIGHTS: source})
    ready = with_weights(unit, {}, Store(tmp_path, "old"))
    assert ready.located[OWN_WEIGHTS].path == tmp_path / "old" / WEIGHTS


def test_a_run_without_weights_is_a_clear_error(planned, tmp_path):
    (unit,), (source,) = planned.units, planned.needed
    with pytest.raises(WeightsError) as caught:
        with_weights(unit, {source.fingerprint: "new"}, Store(tmp_path))
    assert caught.value.message == (
        f"plain begins with the weights of source, but its run new has no artifact {WEIGHTS}"
    )
    assert "--again" in caught.value.hint


def test_leaves_are_scalars_under_dotted_keys():
    found = leaves(experiment())
    assert found["method.views.kind"] == "cut"
    assert found["data.shift.severity"] == 3
    assert found["task.kind"] == "classify"
    assert all(not isinstance(value, dict | list) for value in found.values())
