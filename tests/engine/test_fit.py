"""Temperatures from held-out samples: fitted once, kept as files, loaded by whoever answers."""

import json
from dataclasses import replace

import pytest
import torch

from hardy.core.cache import default_cache
from hardy.core.errors import DataError, WeightsError
from hardy.data.leaks import check_apart
from hardy.engine.answer import rows
from hardy.engine.checkpoint import Checkpoint
from hardy.engine.fit import discard, fit, fitted_folder, load_fitted
from hardy.engine.progress import Reporter
from hardy.engine.work import Work
from hardy.models.state import FITTED, MANIFEST, WEIGHTS
from hardy.plan.units import make_plan
from hardy.registry.stores import default_stores
from hardy.spec import resolve
from tests.engine.runs import KeptRun, set_up_of, untimed

SPEC = """\
name: pair
data:
  dataset: shapes
  shapes: {count: 24, size: 32}
  partition: {fractions: {fit: 0.5, test: 0.5}, part: test}
model: {kind: hardy, weights: random, classes: 6}
method:
  kind: ensemble
  members:
    - {name: a, method: {kind: memo, views: {kind: cut, count: 3}, bn_prior: null}}
    - name: b
      model: {kind: open_clip, name: hardy-shapes, weights: random}
      method: {kind: view_ensemble, views: {kind: cut, count: 3}}
  temperatures: {part: fit}
compute: {workers: 0, device: cpu}
"""


@pytest.fixture
def planned(tmp_path):
    file = tmp_path / "pair.yaml"
    file.write_text(SPEC)
    return lambda *overrides: make_plan(
        resolve(str(file), overrides), default_stores(), None
    ).units[0]


def fitted(setup, run_id="run"):
    run = KeptRun(run_id)
    folder = fit(setup, Checkpoint(run_id, "f" * 32), run, Reporter())
    return run, folder


def test_temperatures_are_files_of_the_run_and_come_from_them(planned):
    setup = set_up_of(planned())
    run, folder = fitted(setup)
    (temperatures,) = run.files[FITTED].values()
    assert list(run.files) == [FITTED, MANIFEST]  # what vouches for the others comes last
    assert setup.method.temperatures == temperatures.tolist()
    assert [run.values[f"temperature/{name}"] for name in "ab"] == temperatures.tolist()
    assert len({round(value, 3) for value in (1.0, *temperatures.tolist())}) == 3
    assert json.loads((folder / MANIFEST).read_text()).keys() == {FITTED}
    # The fit learns from the part that is not answered.
    assert len(setup.data["fit"].samples) == len(setup.data["answer"].samples) == 12
    discard("run")
    assert not fitted_folder("run").exists()


def test_the_members_are_asked_once_for_all_runs_and_processes(planned, monkeypatch):
    first, _ = fitted(set_up_of(planned()))
    again = set_up_of(planned())
    monkeypatch.setattr(type(again.method), "unscaled", None)
    second, _ = fitted(again, "another")
    assert second.values == first.values
    assert len([e for e in default_cache().entries() if e.kind == "opinions"]) == 1


def test_another_seed_has_opinions_of_its_own(planned):
    first, _ = fitted(set_up_of(planned()))
    second, _ = fitted(set_up_of(planned("seed=1")), "another")
    assert all(first.values[name] != second.values[name] for name in first.values)
    assert len([e for e in default_cache().entries() if e.kind == "opinions"]) == 2


def test_a_run_that_fitted_does_not_fit_again(planned, monkeypatch):
    fitted(set_up_of(planned()))
    again = set_up_of(planned())
    monkeypatch.setattr(type(again.method), "fit", None)
    run, folder = fitted(again)
    assert again.method.temperatures == run.files[FITTED]["temperatures"].tolist()
    other = set_up_of(planned())
    load_fitted(other.method, folder)
    here, there = (dict(rows(each, range(3), workers=0)) for each in (again, other))
    answers = [key for key in here[0] if not key.startswith("ms.")]
    assert all(here[place][key] == there[place][key] for place in here for key in answers)


def test_a_file_that_was_exchanged_is_refused(planned):
    _, folder = fitted(set_up_of(planned()))
    content = bytearray((folder / FITTED).read_bytes())
    content[-1] ^= 1
    (folder / FITTED).write_bytes(content)
    with pytest.raises(WeightsError, match="not what its manifest says"):
        load_fitted(set_up_of(planned()).method, folder)


def test_a_damaged_file_is_made_again_in_an_unfinished_run(planned):
    first, folder = fitted(set_up_of(planned()))
    content = bytearray((folder / FITTED).read_bytes())
    content[-1] ^= 1
    (folder / FITTED).write_bytes(content)
    again, _ = fitted(set_up_of(planned()))
    assert again.values == first.values


def test_what_was_given_is_not_fitted(planned):
    setup = set_up_of(planned("method.temperatures=[2.0, 0.5]"))
    run, folder = fitted(setup)
    assert (run.files, folder) == ({}, None)
    assert setup.method.temperatures == [2.0, 0.5]


def test_the_same_image_in_both_is_refused(planned):
    setup = set_up_of(planned())
    own = setup.data["answer"]
    few = replace(own, samples=own.samples[:5])
    with pytest.raises(DataError, match="5 held-out images of pair are among its other samples"):
        check_apart("pair", {"answer": own, "fit": few})


def test_the_plan_finds_the_weights_of_all_models(planned):
    unit = planned()
    assert list(unit.located) == ["model.weights", "method.members.1.model.weights"]
    assert unit.located["method.members.1.model.weights"].identity == (
        "open_clip/hardy-shapes:random"
    )
    other = planned("method.members.1.model={kind: hardy, weights: random, classes: 6}")
    assert unit.fingerprint != other.fingerprint


TRAINED = """\
name: trained
data: {dataset: shapes, split: train, shapes: {count: 12}}
model: {kind: open_clip, name: hardy-shapes, weights: random}
method: {kind: contrastive, epochs: 2, batch: 5, validate_on: {split: test, samples: 4}}
compute: {device: cpu}
"""


def test_neither_memory_for_images_nor_workers_change_what_is_learned(tmp_path):
    (tmp_path / "trained.yaml").write_text(TRAINED)

    def learned(*overrides):
        unit = make_plan(
            resolve(str(tmp_path / "trained.yaml"), overrides), default_stores(), None
        ).units[0]
        return unit.fingerprint, fitted(set_up_of(unit), f"run{len(overrides)}")[0]

    fingerprint, plain = learned()
    other, run = learned("compute.image_memory=0", "compute.workers=2")
    assert other == fingerprint
    assert untimed(run.steps) == untimed(plain.steps)
    for name, tensor in plain.files[WEIGHTS].items():
        assert torch.equal(tensor, run.files[WEIGHTS][name])


def test_what_training_keeps_is_within_the_memory_for_all_roles(tmp_path):
    (tmp_path / "trained.yaml").write_text(TRAINED)
    unit = make_plan(resolve(str(tmp_path / "trained.yaml"), ()), default_stores(), None).units[0]
    setup = set_up_of(unit)
    work = Work(setup, Checkpoint("run", "f" * 32), KeptRun("run"), Reporter())
    each = 3 * setup.model.preprocess.height * setup.model.preprocess.width
    work._image_memory = 14 * each
    assert [work.source(role).room for role in ("fit", "validate")] == [12 * each, 2 * each]
