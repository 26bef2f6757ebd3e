"""A registered CLIP answers from its files alone as it did before."""

import numpy as np
import pytest
import torch
from PIL import Image

from hardy.models.build import build_model
from hardy.models.spec import OpenClipModel
from hardy.registry import versions
from hardy.registry.bundle import CARD, read_card
from hardy.registry.predictor import load_predictor
from hardy.registry.register import register
from tests.registry.helpers import CLASSES, POLICY, TASK, experiment, records, result

INDICES = (310, 309, 281, 207)


@pytest.fixture
def names(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("an ant\nl'abeille, mellifère\na {} cat\ndog\n", encoding="utf-8")
    return path


def model(**changes) -> OpenClipModel:
    return OpenClipModel(name="hardy-shapes", weights="random", templates="simple", **changes)


def image() -> Image.Image:
    pixels = np.random.default_rng(2).integers(0, 256, (80, 70, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.usefixtures("stub_package")
@pytest.mark.parametrize("from_file", [False, True])
def test_a_registered_clip_predicts_the_same(shelf, names, tmp_path, from_file):
    spec = model(class_names=f"file:{names}") if from_file else model()
    built = build_model(spec, INDICES, classes=CLASSES, seed=3)
    runs = [result(records(10), "f", experiment(model=spec))]
    registered = register(runs, built, TASK, POLICY, run_id=shelf.run())
    names.unlink()
    version = versions.find(shelf.client, "tiny", registered.version)
    with versions.fetched(shelf.client, version) as folder:
        card = read_card(folder / CARD)
        predictor = load_predictor(folder, device="cpu")
        row = predictor.predict([image()]).to_dict("records")[0]
    assert card.class_texts == built.class_texts
    assert card.class_texts[0] == ("an ant" if from_file else "ant")
    assert card.model_indices is None
    pixels = np.asarray(built.preprocess.geometry(image())).transpose(2, 0, 1)
    with torch.no_grad():
        logits = built(built.preprocess.normalise(torch.tensor(pixels.copy())[None]))[0]
    assert row["label"] == CLASSES[int(logits.argmax())]
    assert row["confidence"] == pytest.approx(float(logits.softmax(0).max()), rel=1e-5)
    assert torch.equal(predictor.model.network.text_features, built.network.text_features)
