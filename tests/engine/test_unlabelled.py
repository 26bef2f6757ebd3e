"""Images without classes: features and reconstructions of them, and what needs more than images."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from hardy.core.errors import SpecError
from hardy.data.open import open_dataset
from hardy.engine.answer import rows, table
from hardy.engine.pictures import draw
from hardy.engine.setup import set_up
from hardy.methods.evaluate.spec import SourceSpec
from hardy.models.build import build_network
from hardy.models.weights import Located
from hardy.registry.bundle import Card, write_bundle, write_weights
from hardy.registry.package import signature
from hardy.registry.predictor import load_predictor
from hardy.spec.experiment import Experiment
from hardy.tasks.summary import summarise

VIT = {"kind": "hardy", "name": "vit", "patch": 8, "dim": 16, "depth": 1, "heads": 2, "mlp": 16}
CLIP = {"kind": "open_clip", "name": "hardy-shapes", "weights": "random"}


@pytest.fixture
def images(tmp_path):
    """Eight images alone in a folder."""
    rng, root = np.random.default_rng(0), tmp_path / "images"
    root.mkdir()
    for n in range(8):
        pixels = rng.integers(0, 256, (30, 40, 3), np.uint8)
        Image.fromarray(pixels).save(root / f"{n}.png")
    return root


def built(root, task, model=VIT, method="evaluate"):
    data = {"dataset": "folder", "root": str(root)}
    spec = Experiment.model_validate(
        {
            "name": "own",
            "task": {"kind": task},
            "data": data,
            "model": model,
            "method": {"kind": method},
            "compute": {"device": "cpu"},
        }
    )
    return set_up(spec, {"model.weights": Located(None, "r")}, {"answer": open_dataset(spec.data)})


def recorded(setup):
    found = dict(rows(setup, range(8), workers=0))
    return table(setup.task, [found[place] for place in range(8)])


@pytest.mark.parametrize("method", ["evaluate", "source"])
def test_answers_are_what_the_head_is_given(images, method):
    setup = built(images, "represent", method=method)
    frame = recorded(setup)
    network = build_network(setup.experiment.model)[0].eval()
    for row, name in zip(frame.to_dict("records"), sorted(images.iterdir()), strict=True):
        item = setup.model.preprocess.geometry(Image.open(name))
        pixels = torch.tensor(np.asarray(item).transpose(2, 0, 1).copy())[None]
        with torch.no_grad():
            own = network.forward_features(setup.model.preprocess.normalise(pixels))[0, 0]
        np.testing.assert_allclose(row[f"{method}.features"], own.numpy(), atol=1e-5)
    found = summarise(setup.task, frame, method)
    assert 0 < found["spread.low"] <= found["spread"] <= found["spread.high"] < 1.1
    paths = [path for path, _ in draw(setup, frame)]
    assert paths == ["report/features.csv"]


def test_a_version_serves_the_same_features(images, tmp_path_factory):
    setup = built(images, "represent")
    frame, folder = recorded(setup), tmp_path_factory.mktemp("bundle")
    card = Card(
        experiment="own",
        task=setup.experiment.task,
        model=setup.experiment.model,
        method=SourceSpec(),
        main="source",
        names=(),
        model_indices=None,
        preprocess=setup.model.preprocess,
        seed=0,
        precision="32-true",
        weights_sha256=write_weights(setup.model.network, folder),
        data_digests=("d",),
        fingerprints=("f",),
    )
    write_bundle(folder, card, frame)
    predictor = load_predictor(folder, device="cpu")
    served = predictor.predict([Image.open(name) for name in sorted(images.iterdir())])
    np.testing.assert_allclose(
        np.array(served["features"].tolist()),
        np.array(frame["evaluate.features"].tolist()),
        atol=1e-5,
    )
    (column,) = signature(predictor.task).outputs
    assert (column.name, str(column.type)) == ("features", "Array(double)")


def test_images_alone_are_reconstructed(images):
    model = {"kind": "segmenter", "width": 8, "input": {"size": 16}}
    setup = built(images, "reconstruct", model, "source")
    found = summarise(setup.task, recorded(setup), "source")
    assert math.isfinite(found["psnr"])


@pytest.mark.parametrize(
    ("task", "model", "said"),
    [
        ("classify", VIT, "task classify needs a label a sample, and folder has none"),
        ("represent", CLIP, "compares images with class names, and the dataset has none"),
    ],
)
def test_what_needs_classes_says_so(images, task, model, said):
    with pytest.raises(SpecError, match=said) as caught:
        built(images, task, model)
    assert caught.value.hint
