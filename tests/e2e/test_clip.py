"""The small CLIP the whole way: trained, registered, its prompts tuned, pooled with MEMO."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from hardy.measure.records import read_parquet
from tests.contracts.records import CLASSIFY
from tests.e2e.conftest import flags

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("store")]
TRAIN = (
    "data.shapes.count=96 method.epochs=1 method.batch=32 method.validate_on.samples=12 "
    "explain.gradcam=null explain.view_grids=0 compute.device=cpu"
)
FEW = (
    "data.shapes.count=24 matrix.data.shift.kind=[fog] compute.device=cpu compute.processes=1 "
    "compute.workers=0"
)


def records(home: Path, name: str):
    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    experiment = client.get_experiment_by_name("hardy")
    found = client.search_runs([experiment.experiment_id], f"tags.mlflow.runName = '{name}'")
    run = found[0]
    file = client.download_artifacts(run.info.run_id, "records/records.parquet")
    return read_parquet(Path(file)), run.data.metrics


def test_prompts_are_tuned_and_members_pooled_on_a_registered_model(inside, isolated_home):
    inside("run", "clip-shapes/train", *flags(TRAIN))
    # So short a training does not pass the policy's gate: the version is named by its number.
    weights = "model.weights=models:/clip-shapes/1"
    inside("run", "clip-shapes/tpt", *flags(FEW, weights, "method.views.count=20"))
    frame, _ = records(isolated_home, "clip-shapes/tpt/fog")
    assert CLASSIFY.answers(frame) == [
        "source",
        "view_ensemble",
        "majority_vote",
        "zero_shot",
        "tpt",
    ]
    assert len(frame) == 8
    # The untuned prompt is the model's own template; tuning it moves every answer a little.
    assert (frame["zero_shot.confidence"] - frame["source.confidence"]).abs().max() < 1e-5
    assert (frame["tpt.confidence"] != frame["zero_shot.confidence"]).all()
    kept = list((isolated_home / ".hardy/cache/features").iterdir())
    assert len(kept) == 8

    two = (
        "method.members.0.method.views.count=20 method.members.1.method.views.count=20 "
        "method.temperatures.samples=null"
    )
    inside("run", "clip-shapes/ensemble", *flags(FEW, weights, two))
    pooled, metrics = records(isolated_home, "clip-shapes/ensemble/fog")
    assert set(CLASSIFY.answers(pooled)) == {"source", "tpt", "memo", "simple_ensemble", "ensemble"}
    # The same views, prompt and weights: the member alone answers as the run before, bit for bit.
    assert pooled["tpt.confidence"].tolist() == frame["tpt.confidence"].tolist()
    assert {"temperature/tpt", "temperature/memo"} <= set(metrics)
    # The 16 held-out shapes' views are others; the 8 were found, not encoded again.
    assert set(kept) <= set((isolated_home / ".hardy/cache/features").iterdir())
    assert len(list((isolated_home / ".hardy/cache/features").iterdir())) == 24


def test_several_images_in_one_batch_give_the_same_answers(inside, isolated_home):
    spec = "model.weights=random compute.keep_features=false method.views.count=20"
    inside("run", "clip-shapes/tpt", *flags(FEW, spec))
    one, _ = records(isolated_home, "clip-shapes/tpt/fog")
    inside("run", "clip-shapes/tpt", "--again", *flags(FEW, spec, "compute.batch=3"))
    three, _ = records(isolated_home, "clip-shapes/tpt/fog")
    assert (one["tpt.prediction"] == three["tpt.prediction"]).all()
    difference = (one["tpt.confidence"] - three["tpt.confidence"]).abs()
    assert difference.max() < 1e-5
    assert not (isolated_home / ".hardy/cache/features").exists()
