"""A training with analyses, and a run that was made without them and gets them later."""

import pytest
from mlflow import MlflowClient

from tests.e2e.conftest import flags
from tests.e2e.test_train import runs

SPEC = """\
name: analysed
data: {dataset: shapes, split: train, shapes: {count: 24, size: 32}, shift: SHIFT}
model: {kind: hardy, weights: random, classes: 6}
method:
  kind: supervised
  epochs: 1
  batch: 12
  validate_on: {split: test, samples: 6}
explain:
  gradcam: null
  view_grids: 0
compute: {device: cpu, processes: 1}
""".replace("SHIFT", "{kind: gaussian_sigma, sigma: 0.3, space: normalised}")
ENTRIES = (
    "explain.similarity={}",
    "explain.embedding={dimensions: 3, method: pca}",
    "explain.prediction_grid={pairs: 3}",
)


def kept(home, run):
    """Return the paths of a run's artifacts in the folders of analyses."""
    store = MlflowClient(f"sqlite:///{home}/mlflow.db")
    folders = ("similarity", "embedding", "prediction-grid")
    return {each.path for f in folders for each in store.list_artifacts(run.info.run_id, f)}


def numbers(run):
    names = ("similarity/", "embedding/", "prediction_grid/")
    return {name: value for name, value in run.data.metrics.items() if name.startswith(names)}


@pytest.mark.usefixtures("store")
def test_a_run_has_its_analyses_and_one_that_lacks_them_gets_the_same(
    inside, isolated_home, tmp_path
):
    spec = tmp_path / "analysed.yaml"
    spec.write_text(SPEC)
    inside("run", str(spec))
    (plain,) = runs(isolated_home, "analysed")
    assert kept(isolated_home, plain) == set()
    wanted = flags(*ENTRIES)
    (environment,) = isolated_home.rglob(f"{plain.info.run_id}/artifacts/environment.json")
    elsewhere = environment.read_text().replace('"hardy', '"of-another-machine')
    environment.write_text(elsewhere)

    told = inside("run", str(spec), *wanted)
    assert f"reuses run {plain.info.run_id}" in told.stderr
    assert f"run {plain.info.run_id} now has the analyses" in told.stderr.replace("\n", " ")
    (later,) = runs(isolated_home, "analysed")
    assert later.info.status == "FINISHED"
    assert kept(isolated_home, later) == {
        *("similarity/similarity.csv", "similarity/similarity.png"),
        *("embedding/embedding.csv", "embedding/embedding.png", "embedding/embedding.html"),
        *("prediction-grid/predictions.csv", "prediction-grid/predictions.png"),
    }
    assert plain.data.metrics.items() <= later.data.metrics.items()
    assert environment.read_text() == elsewhere  # where its other numbers are from
    environment.write_text(elsewhere.replace('"of-another-machine', '"hardy'))

    told = inside("run", str(spec), *wanted)
    assert "now has the analyses" not in told.stderr.replace("\n", " ")

    # Also the spec that it keeps says so: repeated, it has them again.
    told = inside("reproduce", later.info.run_id)
    assert "no drift" in told.stdout
    _, anew = runs(isolated_home, "analysed")
    assert anew.info.run_id != later.info.run_id
    assert kept(isolated_home, anew) == kept(isolated_home, later)
    assert numbers(anew) == numbers(later)
    assert len(numbers(anew)) == 13
