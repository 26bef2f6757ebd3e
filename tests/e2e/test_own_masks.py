"""A person's own images and masks, from two folders to a served mask: the README's section."""

import base64
import io
import json
import re
import shlex
from pathlib import Path

import mlflow
import numpy as np
import pytest
from PIL import Image

from hardy.explain.planes import label_colours
from tests.e2e.conftest import ROOT, flags
from tests.e2e.test_photographs import finished

URI = "models:/own-masks@champion"
LABELS = ("grass", "void", "disc")


def draw(rng: np.random.Generator, height: int, width: int) -> tuple[Image.Image, Image.Image]:
    """Return a light disc on a dark ground, and its mask: a frame of pixels counts for nothing."""
    y, x = np.mgrid[:height, :width]
    radius = rng.uniform(0.2, 0.35) * min(height, width)
    centre = rng.uniform(radius, height - radius), rng.uniform(radius, width - radius)
    inside = np.hypot(y - centre[0], x - centre[1]) < radius
    colours = np.where(inside[..., None], (230, 210, 60), (40, 90, 30))
    pixels = (colours + rng.normal(0, 10, (height, width, 3))).clip(0, 255).astype(np.uint8)
    mask = np.where(inside, 2, 0).astype(np.uint8)
    mask[:2] = 1
    return Image.fromarray(pixels), Image.fromarray(mask)


def take(root: Path, count: int) -> Path:
    """Write pairs of many sizes and a label table."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for n in range(count):
        rng = np.random.default_rng(n)
        image, mask = draw(rng, *rng.integers(40, 90, 2))
        image.save(root / "images" / f"{n:03}.{'png' if n % 3 == 0 else 'jpg'}")
        mask.save(root / "masks" / f"{n:03}.png")
    (root / "labels.txt").write_text("\n".join(LABELS) + "\n")
    return root


# The README's settings are for a person's patience; a test has less.
SMALLER = flags(
    "model.width=8",
    "model.input.size=32",
    "method.epochs=8",
    "method.augment=[{kind: flip}]",
    "method.optimizer.lr=0.01",
    "explain.examples.samples=3",
    "explain.gradcam.count=1",
    "compute.processes=1",
)


def commands() -> list[list[str]]:
    section = (ROOT / "README.md").read_text().partition("## Your own images and masks")[2]
    (walk,) = re.findall(
        r"^```\n(.*?)^```$", section.partition("\n## ")[0], re.MULTILINE | re.DOTALL
    )
    lines = [shlex.split(line) for line in walk.splitlines()]
    assert lines[0] == [".", ".venv/bin/activate"]
    assert all(program == "hardy" for program, *_ in lines[1:])
    return [words for _, *words in lines[1:]]


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_the_readme_is_walked_to_a_mask_over_a_photograph(
    inside, isolated_home, tmp_path, monkeypatch
):
    data, out = tmp_path / "data", tmp_path / "masks"
    take(data / "own-masks", 60)
    monkeypatch.setenv("HARDY_DATA", str(data))
    image, truth = draw(np.random.default_rng(1000), 48, 80)
    photo = tmp_path / "PHOTO.png"
    image.save(photo)
    given = {"PHOTO.jpg": photo, "data/own-masks": data / "own-masks", "masks": out}
    said = []
    for words in commands():
        words = [str(given.get(word, word)) for word in words]
        said.append(inside(*words, *(SMALLER if words[0] in ("plan", "run") else ())).stdout)
    checked, planned, trained, whole, tiled = said
    assert "60 samples" in checked
    assert "cannot run" not in planned
    assert "version 1 is now champion" in trained
    store, (run,) = finished(isolated_home, "own-masks/train")
    assert run.data.metrics["miou"] > 0.8
    assert {each.path for each in store.list_artifacts(run.info.run_id, "examples")} == {
        *("examples/examples.csv", "examples/examples.png")
    }
    assert "grass" in whole
    assert "seen: whole (squeeze to 32 x 32)" in whole
    assert "seen: tiles (6 of 32 x 32" in tiled

    mask = np.asarray(Image.open(out / "PHOTO.mask.png"))
    counted = np.asarray(truth) != LABELS.index("void")
    assert mask.shape == (48, 80)
    assert set(np.unique(mask)) == {0, 2}
    assert (mask == np.asarray(truth))[counted].mean() > 0.9
    overlay = np.asarray(Image.open(out / "PHOTO.overlay.png"))
    for label in (0, 2):  # the legend's marks, below the photograph
        assert (overlay[300:] == label_colours()[label]).all(-1).sum() > 100
    runs = json.loads((out / "PHOTO.runs.json").read_text())
    assert sum(sum(each["counts"][1::2]) for each in runs) == mask.size

    mlflow.set_tracking_uri(f"sqlite:///{isolated_home / 'mlflow.db'}")
    served = mlflow.pyfunc.load_model(URI)
    names = {each.name: each.default for each in served.metadata.signature.params}
    assert (names["format"], names["window"]) == ("png", "whole")
    plain = served.predict(np.asarray(image)).to_dict("records")[0]
    again = np.asarray(Image.open(io.BytesIO(base64.b64decode(plain["mask"]))))
    np.testing.assert_array_equal(again, mask)
    params = {"format": "rle", "window": "tiles"}
    other = served.predict(np.asarray(image), params=params).to_dict("records")[0]
    assert other["mask"] == ""
    assert other["runs"] == runs
