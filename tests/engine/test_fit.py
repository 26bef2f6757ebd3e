"""Temperatures from held-out samples, through the real loading code."""

from dataclasses import replace

import numpy as np
import pytest

from hardy.core.errors import DataError
from hardy.core.paths import state_dir
from hardy.engine.fit import learn
from hardy.engine.setup import assemble
from hardy.methods.ensemble.pool import fit_temperature
from hardy.plan.units import make_plan
from hardy.registry.stores import default_stores
from hardy.spec import resolve

SPEC = """\
name: pair
data:
  dataset: shapes
  shapes: {count: 24, size: 32}
  partition: {fractions: {fit: 0.5, test: 0.5}, part: test}
model: {kind: timm, name: test_resnet, weights: random}
method:
  kind: ensemble
  members:
    - {name: a, method: {kind: memo, views: {kind: cut, count: 3}, bn_prior: null}}
    - name: b
      model: {kind: timm, name: test_vit, weights: random}
      method: {kind: view_ensemble, views: {kind: cut, count: 3}}
  temperatures: {part: fit}
compute: {workers: 0, device: cpu}
"""


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """A bench on a spec, with outputs of the models cut to the six shapes."""
    from hardy.engine import setup as module

    monkeypatch.setattr(module, "_check_classes", lambda *_: None)
    file = tmp_path / "pair.yaml"
    file.write_text(SPEC)
    return lambda *overrides: make_plan(
        resolve(str(file), overrides), default_stores(), None
    ).units[0]


def bench_of(unit):
    return assemble(unit.unit.experiment, unit.located)


def test_temperatures_are_fitted_on_the_other_part_and_kept(planned, monkeypatch):
    bench = bench_of(planned())
    said = []
    metrics = learn(bench, said.append)
    assert said == ["asks the members for 12 held-out samples"]
    held = {s.id for s in bench.dataset.samples}
    (file,) = (state_dir() / "held-out").glob("*.safetensors")
    from safetensors.numpy import load_file

    content = load_file(file)
    assert content["opinions"].shape[:2] == (12, 2)
    expected = [fit_temperature(content["opinions"][:, m], content["labels"]) for m in (0, 1)]
    assert list(metrics) == ["temperature/a", "temperature/b"]
    assert bench.method.temperatures == pytest.approx(expected)
    assert len(held) == 12
    # Another process, or a resumed run, asks nobody again and has the same numbers.
    again = bench_of(planned())
    monkeypatch.setattr(type(again.method), "unscaled", None)
    assert learn(again) == metrics


def test_another_seed_has_opinions_of_its_own(planned):
    first = learn(bench_of(planned()))
    second = learn(bench_of(planned("seed=1")))
    assert not np.allclose(list(first.values()), list(second.values()))
    assert len(list((state_dir() / "held-out").glob("*.safetensors"))) == 2


def test_what_was_given_is_not_fitted(planned):
    bench = bench_of(planned("method.temperatures=[2.0, 0.5]"))
    assert learn(bench) == {}
    assert bench.method.temperatures == [2.0, 0.5]


def test_the_same_image_in_both_is_refused(planned, monkeypatch):
    bench = bench_of(planned())
    few = replace(bench.dataset, samples=bench.dataset.samples[1:])
    monkeypatch.setattr("hardy.engine.leak.open_dataset", lambda _: few)
    with pytest.raises(DataError, match="11 held-out images of pair are among its other samples"):
        learn(bench)


def test_the_plan_finds_the_weights_of_all_models(planned):
    unit = planned()
    assert [each.identity for each in unit.located.values()][1:] == ["timm/test_vit:random"]
    other = planned("method.members.1.model.name=test_vit2")
    assert unit.fingerprint != other.fingerprint
