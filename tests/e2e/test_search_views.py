"""A search keeps its views: trials after the first read them, and find the same bits."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from hardy.core.cache import default_cache
from hardy.data.views import make
from hardy.measure.records import read_parquet
from tests.contracts.records import same

SPEC = """\
name: kept
data:
  dataset: shapes
  split: test
  shapes: {count: 12, size: 32}
  partition: {fractions: {tune: 0.5, test: 0.5}, part: tune}
model: {kind: hardy, name: resnet26-gn8, weights: random, classes: 6}
method: {kind: memo, views: {kind: augmix, count: 3}, optimizer: {kind: sgd, lr: 0.1}}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu, processes: 1}
search:
  space: {method.optimizer.lr: [0.1, 1.0]}
  sampler: {kind: grid}
  objectives: [{metric: accuracy}]
  budget: {trials: 2}
  test_on: {part: test}
  seeds: [0, 1]
"""
SAMPLES, SEEDS, MADE = 6, 2, 2  # and two views are made beside the unchanged image


def records(home, tag):
    """Return the records of all units with a tag, by learning rate and seed."""
    store = MlflowClient(f"sqlite:///{home}/mlflow.db")
    (experiment,) = store.search_experiments(filter_string="name = 'hardy'")
    found = {}
    for run in store.search_runs([experiment.experiment_id]):
        if tag in run.data.tags:
            path = store.download_artifacts(run.info.run_id, "records/records.parquet")
            mark = run.data.params["method.optimizer.lr"], run.data.params["seed"]
            found[mark] = read_parquet(Path(path))
    return found


def entries():
    return [entry for entry in default_cache().entries() if entry.kind == "views"]


@pytest.fixture
def made(monkeypatch):
    """Keep a list of the rows that are made, not read."""
    rows = []
    real = make._fill

    def counted(scene, spec, pixels, which):
        rows.extend(which)
        return real(scene, spec, pixels, which)

    monkeypatch.setattr(make, "_fill", counted)
    return rows


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_trials_after_the_first_read_views_and_find_the_same_bits(
    inside, tmp_path, isolated_home, made
):
    spec = tmp_path / "kept.yaml"
    spec.write_text(SPEC)
    whole = SAMPLES * SEEDS * MADE
    told = inside("run", str(spec)).stdout
    assert "accuracy" in told
    tests = len(made) - whole  # nobody comes back to those of the test samples
    assert tests in (whole, 2 * whole)  # of the best and of trial 0, which may be one
    assert len(entries()) == SAMPLES * SEEDS
    first = records(isolated_home, "hardy.trial")
    assert len(first) == 2 * SEEDS

    made.clear()
    matrix = "matrix={method.optimizer.lr: [0.1, 1.0], seed: [0, 1]}"
    inside("run", str(spec), "--again", "--set", "search=null", "--set", matrix)
    assert len(made) == 2 * whole  # outside a search nothing is kept, nor read
    assert len(entries()) == SAMPLES * SEEDS
    second = records(isolated_home, "hardy.choice.seed")
    assert sorted(first) == sorted(second)
    assert all(same(found, second[mark]) == [] for mark, found in first.items())
