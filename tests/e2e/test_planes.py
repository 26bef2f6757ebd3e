"""Tasks whose answers are planes, from run to served model, on weights that the test makes."""

import base64
import io
import json

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from hardy.cli.main import run
from hardy.data.shapes import CLASSES
from hardy.models.segmenters.encoder_decoder import UNet

SPEC = """
name: {kind}
task: {kind}
data:
  dataset: shapes
  split: test
  shapes: {{count: 12, size: 40}}
  shift: {{kind: gaussian_noise, severity: 2}}
model: {{kind: segmenter, width: 8, input: {{size: 32}}}}
method: {{kind: source}}
compute: {{processes: 1}}
explain: {{gradcam: {{count: 1}}, view_grids: 0}}
register: {kind}
"""
POLICY = """
model: {kind}
candidates: {{experiments: [{kind}], dataset: shapes}}
metric: {{name: {metric}}}
gates: [{{better_than: champion, test: paired_bootstrap}}]
min_samples: 12
"""


def told(capsys, *arguments):
    capsys.readouterr()
    code = run(list(arguments))
    found = capsys.readouterr()
    assert code == 0, found.out + found.err
    return found.out


def flat(outputs, bias):
    """Return weights of a network that says the same of every pixel."""
    network = UNet(outputs, 8)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.tensor(bias))
    return network.state_dict()


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("kind", "metric", "bias", "column"),
    [
        ("segment", "miou", [4.0, *[0.0] * 6], "mask"),
        ("reconstruct", "psnr", [0.5, 0.5, 0.5], "image"),
    ],
)
def test_a_plane_is_registered_promoted_predicted_and_served(
    kind, metric, bias, column, tmp_path, isolated_home, monkeypatch, capsys
):
    project = tmp_path / "project"
    for folder, text in (("experiments", SPEC), ("registry", POLICY)):
        (project / folder).mkdir(parents=True)
        (project / folder / f"{kind}.yaml").write_text(text.format(kind=kind, metric=metric))
    (project / "MLproject").touch()
    monkeypatch.chdir(project)
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    save_file(flat(len(bias), bias), tmp_path / "flat.safetensors")

    assert "version 1 is now champion" in told(capsys, "run", kind)
    better = ("--set", f"model.weights=file:{tmp_path / 'flat.safetensors'}")
    assert "version 2 is now champion" in told(capsys, "run", kind, *better)
    worse = told(capsys, "run", kind, "--set", "seed=1")
    assert "better than champion (paired_bootstrap" in worse
    assert "version 3 is now champion" not in worse
    names = {path.name for path in isolated_home.rglob("*") if path.is_file()}
    assert {"segment": "iou.png", "reconstruct": "psnr.png"}[kind] in names

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("photo.png")
    words = ("predict", "--model", f"models:/{kind}@champion", "photo.png")
    text = told(capsys, *words, "--out", "drawn")
    picture = Image.open(f"drawn/photo.{column}.png")
    assert picture.size == (70, 50)
    assert f"drawn/photo.{column}.png" in text
    assert ("drawn/photo.overlay.png" in text) is (kind == "segment")
    assert "seen: whole (squeeze to 32 x 32)" in text
    found = np.asarray(picture)
    assert (found == (0 if kind == "segment" else 128)).all()
    assert ("background" in text) is (kind == "segment")

    (row,) = json.loads(told(capsys, *words, "--format", "json"))
    assert (row["width"], row["height"]) == (70, 50)
    mlflow.set_tracking_uri(f"sqlite:///{isolated_home / 'mlflow.db'}")
    served = mlflow.pyfunc.load_model(f"models:/{kind}@champion")
    answer = served.predict(pixels).to_dict("records")[0]
    assert answer == {name: value for name, value in row.items() if name != "file"}
    again = Image.open(io.BytesIO(base64.b64decode(answer[column])))
    np.testing.assert_array_equal(np.asarray(again), found)
    if kind == "segment":
        assert answer["shares"][0] == {"name": "background", "label": 0, "share": 1.0}
        assert {each["name"] for each in answer["shares"]} == {"background", *CLASSES}
    names = [each.name for each in served.metadata.signature.outputs]
    assert names == list(answer)


TRAIN = """
name: planes/train
task: segment
data:
  dataset: shapes
  split: train
  shapes: {count: 24, size: 40}
  partition: {fractions: {fit: 0.75, val: 0.25}, part: fit}
model: {kind: segmenter, width: 8, input: {size: 32}}
method:
  kind: supervised
  epochs: 2
  batch: 6
  class_weights: balanced
  augment: [{kind: flip}, {kind: crop, area: [0.6, 1.0]}]
  validate_on: {part: val}
  answer_on: {split: test, samples: 12}
explain: {gradcam: {count: 1}, view_grids: 0}
register: segment
"""
EVALUATE = """
name: planes/evaluate
task: segment
data: {dataset: shapes, split: test, shapes: {count: 12, size: 40}}
matrix:
  data.shift.kind: [gaussian_noise, fog]
  data.shift.severity: [2]
model: {kind: segmenter, width: 8, input: {size: 32}, weights: "experiment:planes/train"}
method: {kind: evaluate}
compute: {processes: 1}
explain: {gradcam: null, view_grids: 0}
"""


@pytest.mark.usefixtures("store")
def test_a_trained_segmenter_is_registered_served_and_evaluated(
    tmp_path, isolated_home, monkeypatch, capsys
):
    project = tmp_path / "project"
    policy = POLICY.format(kind="segment", metric="miou").replace("[segment]", "['planes/*']")
    files = {
        "experiments/planes/train.yaml": TRAIN,
        "experiments/planes/evaluate.yaml": EVALUATE,
        "registry/segment.yaml": policy,
    }
    for path, text in files.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text)
    (project / "MLproject").touch()
    monkeypatch.chdir(project)
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")

    assert "version 1 is now champion" in told(capsys, "run", "planes/train")
    names = {path.name for path in isolated_home.rglob("*") if path.is_file()}
    assert {"classes.csv", "iou.png", "curves.png", "weights.safetensors"} <= names
    assert list(isolated_home.rglob("answers/*.png"))
    out = told(capsys, "run", "planes/evaluate")
    assert "gaussian_noise" in out
    assert "fog" in out

    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("photo.png")
    words = ("predict", "--model", "models:/segment@champion", "photo.png", "--format", "json")
    (row,) = json.loads(told(capsys, *words))
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(row["mask"]))))
    (file,) = isolated_home.rglob("artifacts/weights/weights.safetensors")
    network = UNet(7, 8)
    network.load_state_dict(load_file(file))
    small = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BILINEAR)
    image = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        plane = network.eval()(image)[0].argmax(0).numpy()
    rows = (np.arange(50) + 0.5) * 32 // 50
    columns = (np.arange(70) + 0.5) * 32 // 70
    expected = plane[rows.astype(int)[:, None], columns.astype(int)[None]]
    assert (found == expected).mean() > 0.999


ADAPT = """
name: planes/memo
task: segment
data:
  dataset: shapes
  split: test
  shapes: {count: 3, size: 40}
  shift: {kind: fog, severity: 2}
model: {kind: segmenter, width: 8, input: {size: [24, 32]}}
method:
  kind: memo
  views: {kind: photometric, count: 4}
  optimizer: {kind: sgd, lr: 0.5}
compute: {processes: 1}
explain: {gradcam: {count: 1}, view_grids: 1}
register: segment
"""


@pytest.mark.usefixtures("store")
def test_a_segmenter_that_adapts_is_run_registered_and_served(
    tmp_path, isolated_home, monkeypatch, capsys
):
    project = tmp_path / "project"
    policy = POLICY.format(kind="segment", metric="miou").replace("[segment]", "['planes/*']")
    files = {
        "experiments/planes/memo.yaml": ADAPT,
        "registry/segment.yaml": policy.replace("min_samples: 12", "min_samples: 3"),
    }
    for path, text in files.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text)
    (project / "MLproject").touch()
    monkeypatch.chdir(project)
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")

    assert "version 1 is now champion" in told(capsys, "run", "planes/memo")
    assert list(isolated_home.rglob("answers/*.png"))
    assert list(isolated_home.rglob("views/*.png"))
    (file,) = isolated_home.rglob("records.parquet")
    frame = pd.read_parquet(file)
    answers = [c.removesuffix(".nll") for c in frame.columns if c.endswith(".nll")]
    assert answers == ["source", "view_ensemble", "majority_vote", "memo"]
    assert (frame["memo.entropy"] != frame["source.entropy"]).all()

    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    mlflow.set_tracking_uri(f"sqlite:///{isolated_home / 'mlflow.db'}")
    served = mlflow.pyfunc.load_model("models:/segment@champion")
    rows = [
        served.predict(pixels, params={"adapt": adapt}).to_dict("records")[0]
        for adapt in (False, True, False)
    ]
    assert rows[0] == rows[2]
    assert rows[0]["entropy"] != rows[1]["entropy"]
    mask = Image.open(io.BytesIO(base64.b64decode(rows[1]["mask"])))
    assert mask.size == (70, 50)
