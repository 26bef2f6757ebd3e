"""A task added by the files that CONTRIBUTING names: run, kept, reported, promoted, served."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from hardy.data.open import open_dataset
from hardy.data.spec import DataSpec
from hardy.models.resnet26 import ResNet26

SIDE, CLASSES = 16, 7
SHAPES = {"dataset": "shapes", "split": "train", "shapes": {"count": 60, "size": 32}}
SERVE = """
import json, sys
import mlflow, numpy as np
from PIL import Image
model = mlflow.pyfunc.load_model("models:/dense@champion")
image = np.asarray(Image.open(sys.argv[1]).convert("RGB"))
told = model.predict(image, params={"background": False}).to_dict("records")[0]
signature = model.metadata.signature
told["columns"] = [column.name for column in signature.outputs]
told["params"] = [param.name for param in signature.params]
print("TOLD " + json.dumps(told))
"""


def mean_masks() -> torch.Tensor:
    """Return how often each pixel is of each class on other images, (C, side, side)."""
    dataset = open_dataset(DataSpec.model_validate(SHAPES))
    counts = torch.full((CLASSES, SIDE, SIDE), 0.1)
    for sample in dataset.samples:
        mask = np.asarray(dataset.read_mask(sample))[::2, ::2]
        counts += torch.nn.functional.one_hot(torch.tensor(mask.astype(int)), CLASSES).permute(
            2, 0, 1
        )
    return counts / counts.sum(0)


@pytest.fixture
def guess(tmp_path):
    """Weights of a network that answers with the mean mask, whatever it sees."""
    network = ResNet26(CLASSES * SIDE**2)
    with torch.no_grad():
        network.fc.weight.zero_()
        network.fc.bias.copy_(mean_masks().log().flatten())
    save_file(network.state_dict(), tmp_path / "guess.safetensors")
    return f"model.weights=file:{tmp_path / 'guess.safetensors'}"


@pytest.mark.slow
def test_a_task_from_outside(tree, guess, tmp_path):
    tree.add_folder("tasks", "dense")
    tree.add_line("tasks", "dense", "DenseSpec", "TASKS")
    tree.add_file("dense.yaml", "experiments/dense.yaml")
    tree.add_file("dense-policy.yaml", "registry/dense.yaml")
    core = {name for name in tree.changed() if "/tasks/dense/" not in name}
    files = {"src/hardy/tasks/__init__.py", "experiments/dense.yaml", "registry/dense.yaml"}
    assert core == files
    assert "miou" in tree.hardy("list", "metrics")

    first = tree.hardy("run", "dense")
    assert "version 1 is now champion" in first
    better = tree.hardy("run", "dense", "--set", guess)
    assert "version 2 is now champion" in better
    worse = tree.hardy("run", "dense", "--set", "seed=1")
    assert "version 3 is now champion" not in worse
    assert "better than champion by miou" in worse
    assert "miou" in better

    (records, *_) = sorted(tree.home.rglob("records.parquet"), key=lambda f: f.stat().st_mtime)
    frame = pd.read_parquet(records)
    assert list(frame.columns[:4]) == ["sample", "dataset", "shift", "pixels"]
    assert "label" not in frame
    for pixels, both in zip(frame["pixels"], frame["source.intersection"], strict=True):
        assert sum(pixels) == 32 * 32
        assert (np.array(both) <= pixels).all()
    report = list(tree.home.rglob("report/classes.csv"))
    assert len(report) == 3
    assert list(tree.home.rglob("answers/*.png"))
    assert not list(tree.home.rglob("confusion"))

    dataset = open_dataset(DataSpec.model_validate({**SHAPES, "split": "test"}))
    image = tmp_path / "shape.png"
    dataset.read(dataset.samples[0]).resize((64, 48)).save(image)
    told = tree.hardy(
        *("predict", "--model", "models:/dense@champion", "--format", "json", str(image)),
        *("--param", "background=false"),
    )
    (row,) = json.loads(told)
    assert (row["width"], row["height"]) == (64, 48)
    assert len(row["shares"]) == CLASSES
    assert row["most"] != "background"
    served = tree.run("-c", SERVE, str(image))
    line = next(line for line in served.splitlines() if line.startswith("TOLD "))
    other = json.loads(line.removeprefix("TOLD "))
    assert other.pop("columns") == ["height", "width", "most", "shares"]
    assert set(other.pop("params")) == {"adapt", "views", "seed", "background"}
    assert other == {key: value for key, value in row.items() if key != "file"}
