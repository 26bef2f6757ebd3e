"""What a user does every day, in small, so that `make test` shows it; the rest of e2e is longer."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.e2e.conftest import flags
from tests.e2e.test_again import runs, stop_after_some_samples

SMALL = (
    "data.shift.kind=contrast",
    "data.subset.count=8",
    "method.views.count=2",
    "explain.gradcam.count=1",
)


@pytest.mark.usefixtures("store")
def test_a_run_is_stopped_gone_on_with_registered_reused_and_predicts(
    inside, environment, isolated_home
):
    stop_after_some_samples(environment, isolated_home, *SMALL)
    (killed,) = runs(isolated_home)
    assert killed.info.status == "KILLED"

    told = inside("resume", killed.info.run_id[:8])
    assert "carried over" in told.stderr
    assert "registered as models:/imagenet-robust/1" in told.stdout
    (finished,) = runs(isolated_home)
    assert (finished.info.run_id, finished.info.status) == (killed.info.run_id, "FINISHED")
    assert finished.data.metrics["samples"] == 8
    store = MlflowClient(f"sqlite:///{isolated_home}/mlflow.db")
    names = {each.path for each in store.list_artifacts(finished.info.run_id)}
    assert {"spec.yaml", "records", "confusion", "gradcam", "views"} <= names

    told = inside("run", "quickstart", *flags(*SMALL))
    assert f"reuses run {finished.info.run_id}" in told.stderr
    dog = Path(find_spec("foolbox").origin).parent / "data" / "imagenet_00_243.jpg"
    told = inside("predict", "--model", "models:/imagenet-robust/1", str(dog))
    assert "bull mastiff" in told.stdout
