import base64
import io
import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from hardy.core.errors import RegistryError, WeightsError
from hardy.data.view_spec import Operations, Photometric
from hardy.methods.evaluate.spec import EvaluateSpec, SourceSpec
from hardy.methods.view_ensemble.spec import ViewEnsembleSpec
from hardy.models import head
from hardy.models.build import build_model
from hardy.models.segmenters.spec import UNetSmall, VqVae
from hardy.registry.bundle import WEIGHTS, Card, write_bundle, write_weights
from hardy.registry.predictor import Predictor, load_predictor
from hardy.tasks.build import build_task
from hardy.tasks.reconstruct.spec import ReconstructSpec
from hardy.tasks.segment.spec import SegmentSpec
from tests.contracts.dense import Dense, DenseSpec
from tests.contracts.device import another_device
from tests.registry.helpers import CLASSES, INDICES, METHOD, MODEL, records


@pytest.fixture
def bundle(model, tmp_path):
    def make(**changes):
        folder = tmp_path / "bundle"
        folder.mkdir(exist_ok=True)
        parts = {
            "experiment": "try/one",
            "model": MODEL,
            "method": METHOD,
            "main": "memo",
            "names": CLASSES,
            "model_indices": INDICES,
            "preprocess": model.preprocess,
            "seed": 3,
            "precision": "32-true",
            "weights_sha256": write_weights(model.network, folder),
            "data_digests": ("d",),
            "fingerprints": ("f",),
        }
        write_bundle(folder, Card(**(parts | changes)), records(5))
        return folder

    return make


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(1)
    shapes = [(40, 60), (200, 170), (160, 160)]
    return [Image.fromarray(rng.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in shapes]


def test_plain_answers_are_the_classifiers_own(bundle, model, images):
    table = load_predictor(bundle()).predict(images, top_k=2)
    for row, image in zip(table.to_dict("records"), images, strict=True):
        plain = np.asarray(model.preprocess.geometry(image)).transpose(2, 0, 1)
        with torch.no_grad():
            logits = model.network(model.preprocess.normalise(torch.tensor(plain.copy())[None]))[
                0, list(INDICES)
            ]
        p = torch.softmax(logits.double(), 0)
        assert row["class_index"] == int(p.argmax())
        assert row["label"] == CLASSES[int(p.argmax())]
        assert row["confidence"] == pytest.approx(float(p.max()), rel=1e-5)
        assert row["entropy"] == pytest.approx(float(-(p * p.log()).sum()), rel=1e-5)
        assert [t["name"] for t in row["top"]] == [
            CLASSES[i] for i in p.argsort(descending=True)[:2]
        ]


def test_a_version_with_a_head_of_its_own_is_rebuilt_from_its_weights(bundle, images, tmp_path):
    tuned = build_model(MODEL, seed=3)
    head.make(tuned.network, len(CLASSES), seed=5)
    weights = write_weights(tuned.network, tmp_path)
    folder = bundle(model_indices=None, weights_sha256=weights)
    (tmp_path / WEIGHTS).replace(folder / WEIGHTS)
    found = load_predictor(folder, device="cpu")
    assert found.model.outputs() == len(CLASSES)
    own = found.model.network.state_dict()
    assert all(torch.equal(own[n], t) for n, t in tuned.network.state_dict().items())


def test_adapting_is_episodic_and_does_something(bundle, images):
    predictor = load_predictor(bundle())
    before = {k: v.clone() for k, v in predictor.model.state_dict().items()}
    plain = predictor.predict(images)
    together = predictor.predict(images, adapt=True)
    alone = [predictor.predict([image], adapt=True) for image in images[::-1]][::-1]
    assert [a["confidence"][0] for a in alone] == list(together["confidence"])
    assert list(together["confidence"]) != list(plain["confidence"])
    after = predictor.model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert predictor.predict(images).equals(plain)


@pytest.mark.parametrize("adapt", [False, True])
def test_rows_are_the_same_on_another_device(bundle, images, adapt):
    here = load_predictor(bundle())
    expected = here.predict(images[:2], adapt=adapt, top_k=2)
    with another_device() as device:
        there = Predictor(here.card, here.model.to(device), device)
        found = there.predict(images[:2], adapt=adapt, top_k=2)
    assert list(found["class_index"]) == list(expected["class_index"])
    np.testing.assert_allclose(found["confidence"], expected["confidence"], rtol=1e-5)


class Sideless(torch.nn.Module):
    """A network whose answers for an image and its mirror image mirror each other."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images) + self.network(images.flip(-1)).flip(-1)


def test_a_version_mirrors_back_what_mirrored_views_say(tmp_path, images):
    """With a network that knows no sides, mirrored views change no answer but by rounding."""
    spec = UNetSmall(width=8, weights="random", input={"size": (24, 32)})
    model = build_model(spec, outputs=4, seed=3)
    rows = []
    for flip in (True, False):
        views = Photometric(count=4, flip=flip)
        card = Card(
            experiment="try/one",
            task=SegmentSpec(),
            model=spec,
            method=ViewEnsembleSpec(views=views),
            main="view_ensemble",
            names=CLASSES,
            model_indices=None,
            preprocess=model.preprocess,
            seed=3,
            precision="32-true",
            weights_sha256=write_weights(model.network, tmp_path),
            data_digests=("d",),
            fingerprints=("f",),
        )
        write_bundle(tmp_path, card, records(5))
        predictor = load_predictor(tmp_path, device="cpu")
        predictor.model.network = Sideless(predictor.model.network)
        rows.append(predictor.predict(images, adapt=True))
    np.testing.assert_allclose(*(table["entropy"] for table in rows), rtol=1e-5)


TINY = VqVae(
    name="vqvae", hidden=8, residual=4, layers=1, codes=9, code_dim=2, input={"size": (24, 32)}
)


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (ReconstructSpec(), ()),
        (SegmentSpec(), CLASSES),
        (SegmentSpec(binary=True), CLASSES[:2]),
        (SegmentSpec(probabilities="sigmoid"), CLASSES),
    ],
)
def test_a_version_of_planes_is_rebuilt_with_the_layer_and_the_channels_of_its_task(
    tmp_path, images, task, names
):
    judge = build_task(task, names)
    image = task.target == "image"
    model = build_model(TINY, outputs=judge.outputs, of_image=image, seed=3)
    card = Card(
        experiment="try/one",
        task=task,
        model=TINY,
        method=EvaluateSpec(),
        main="evaluate",
        names=names,
        model_indices=None,
        preprocess=model.preprocess,
        seed=3,
        precision="32-true",
        weights_sha256=write_weights(model.network, tmp_path),
        data_digests=("d",),
        fingerprints=("f",),
    )
    write_bundle(tmp_path, card, records(5))
    predictor = load_predictor(tmp_path, device="cpu")
    plain = model.preprocess.normalise(
        torch.from_numpy(np.array(model.preprocess.geometry(images[0]))).permute(2, 0, 1)[None]
    )
    with torch.no_grad():
        answer = judge.answer(model.eval()(plain))[0]
    (row,) = predictor.predict(images[:1]).to_dict("records")
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(row["image" if image else "mask"]))))
    back = partial(model.preprocess.back, width=images[0].width, height=images[0].height)
    planes = np.rint(255 * answer.numpy()) if image else answer.argmax(0).numpy()[None]
    expected = np.stack([back(plane) for plane in planes], -1)
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)
    assert len(np.unique(found)) > 1


def test_views_and_seed_change_the_adaptation_alone(bundle, images):
    predictor = load_predictor(bundle())
    answers = {
        (views, seed): predictor.predict(images[:1], adapt=True, views=views, seed=seed)
        for views in (0, 4, 2)
        for seed in (0, 1)
    }
    values = {key: table["confidence"][0] for key, table in answers.items()}
    assert values[0, 0] == values[4, 0]  # the spec says 4
    assert len({values[4, 0], values[2, 0], values[4, 1]}) == 3
    assert predictor.predict(images, views=2, seed=1).equals(predictor.predict(images))


def test_settings_out_of_range(bundle, images):
    predictor = load_predictor(bundle())
    for settings in ({"top_k": 0}, {"views": -1}, {"seed": -1}, {"views": 5000}):
        with pytest.raises(RegistryError):
            predictor.predict(images, adapt=True, **settings)
    assert len(predictor.predict(images[:1], top_k=99)["top"][0]) == len(CLASSES)


def test_a_method_without_views_says_so(bundle, images):
    predictor = load_predictor(bundle(method=SourceSpec(), main="source"))
    assert predictor.predict(images, adapt=True)["label"].equals(predictor.predict(images)["label"])
    with pytest.raises(RegistryError, match="source of this version makes no views"):
        predictor.predict(images, adapt=True, views=4)


def test_a_card_of_another_layout_is_refused(bundle):
    folder = bundle()
    card = folder / "model.json"
    card.write_text(card.read_text().replace('"format": 2', '"format": 3'))
    with pytest.raises(RegistryError, match="format"):
        load_predictor(folder)
    card.write_text("{")
    with pytest.raises(RegistryError, match=r"model\.json"):
        load_predictor(folder)
    card.unlink()
    with pytest.raises(RegistryError, match="cannot be read"):
        load_predictor(folder)


def test_a_card_from_before_fit_and_input_is_read(bundle, images):
    folder = bundle()
    expected = load_predictor(folder).predict(images)
    card = json.loads((folder / "model.json").read_text())
    assert [card["preprocess"].pop(name) for name in ("fit", "fill")] == ["shorter_side", 0]
    assert card["model"].pop("input") is None
    (folder / "model.json").write_text(json.dumps(card))
    assert load_predictor(folder).predict(images).equals(expected)


def test_weights_that_do_not_fit_are_refused(bundle, model):
    folder = bundle(model=MODEL.model_copy(update={"name": "test_resnet.r160_in1k"}))
    with pytest.raises(WeightsError, match="does not fit"):
        load_predictor(folder)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(WeightsError, match="is absent"):
        load_predictor(folder)


def test_adapting_crops_at_the_grad_cam_point_where_the_views_say_so(bundle, images):
    def confidence(where):
        views = Operations(names=("crop",), crop=where, count=2)
        method = METHOD.model_copy(update={"views": views})
        table = load_predictor(bundle(method=method)).predict(images[:1], adapt=True)
        return table["confidence"][0]

    assert confidence("gradcam") == confidence("gradcam") != confidence("centre")


def test_adapting_acts_on_the_native_image_where_the_views_say_so(bundle, images):
    def confidence(act_on):
        views = Operations(names=("translation",), act_on=act_on, count=2)
        method = METHOD.model_copy(update={"views": views})
        table = load_predictor(bundle(method=method)).predict(images[1:2], adapt=True)
        return table["confidence"][0]

    assert confidence("native") == confidence("native") != confidence("input")


def test_an_answer_that_is_a_map_goes_back_to_the_images_size(bundle, images):
    predictor = load_predictor(bundle())
    predictor.task = Dense(DenseSpec(), ("grass", "sky", "tree"), void=9)
    predictor.model = torch.nn.Conv2d(3, 3, 1)
    table = predictor.predict(images, threshold=0.25)
    assert list(table) == list(Dense.returns)
    assert list(table["height"]) == [image.height for image in images]
    wide = [9 in labels for labels in table["labels"]]
    assert wide == [True, True, True]  # a centre crop sees none of them whole
    for params, reason in (({"top_k": 3}, "no parameter 'top_k'"), ({"threshold": "x"}, "is 'x'")):
        with pytest.raises(RegistryError, match=reason):
            predictor.predict(images, **params)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_there_is_told(bundle, device, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(RegistryError, match=f"to be {device}, which torch does not find"):
        load_predictor(bundle(), device=device)
