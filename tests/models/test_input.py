"""`model.input`: what a spec states of a network's input wins over the weights' own record."""

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from hardy.core.errors import SpecError
from hardy.data.open import open_dataset
from hardy.data.preprocess import Preprocess
from hardy.engine.answer import rows
from hardy.engine.setup import set_up
from hardy.models.build import build_model, build_network
from hardy.models.input_spec import InputSpec
from hardy.models.spec import ModelSpec
from hardy.models.weights import Located
from hardy.registry.bundle import Card, write_bundle, write_weights
from hardy.registry.predictor import load_predictor
from hardy.spec.experiment import Experiment

TINY = "test_efficientnet.r160_in1k"
SQUEEZED = {
    "size": 96,
    "fit": "squeeze",
    "interpolation": "bilinear",
    "mean": [0.4, 0.5, 0.6],
    "std": [0.2, 0.25, 0.3],
}


def spec(stated=None, kind="timm", name=TINY, **fields):
    given = {"kind": kind, "name": name, "weights": "random", "input": stated, **fields}
    return TypeAdapter(ModelSpec).validate_python(given)


def preprocess(stated=None, **fields):
    return build_network(spec(stated, **fields))[1]


RECORD = Preprocess(160, 168, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("stated", "changed"),
    [
        (None, {}),
        ({}, {}),
        ({"fit": "shorter_side"}, {}),
        ({"size": 96, "resize": 128}, {"size": 96, "resize": 128}),
        ({"size": [96, 96], "resize": 128}, {"size": 96, "resize": 128}),
        ({"size": [64, 96], "resize": 96}, {"size": (64, 96), "resize": 96}),
        ({"fit": "squeeze"}, {"fit": "squeeze", "resize": None}),
        ({"fit": "pad", "fill": 114}, {"fit": "pad", "fill": 114, "resize": None}),
        ({"interpolation": "nearest"}, {"interpolation": "nearest"}),
        ({"mean": [0.5] * 3}, {"mean": (0.5,) * 3}),
        ({"std": [0.5] * 3}, {"std": (0.5,) * 3}),
    ],
)
def test_what_is_stated_wins_and_the_rest_is_the_record(stated, changed):
    assert preprocess(stated) == Preprocess(**{**vars(RECORD), **changed})


@pytest.mark.parametrize(
    ("kind", "name"), [("torchvision", "resnet18"), ("hardy", "resnet26-gn8"), ("timm", TINY)]
)
def test_every_kind_of_model_takes_it(kind, name):
    found = preprocess(SQUEEZED, kind=kind, name=name)
    assert (found.size, found.fit, found.mean) == (96, "squeeze", (0.4, 0.5, 0.6))


def test_an_input_that_states_nothing_is_none():
    assert spec({}).input is None
    assert spec({}).identity() == spec().identity()
    assert "input" not in spec().identity()
    assert spec({"size": [96, 96], "resize": 96}) == spec({"size": 96, "resize": 96})


def test_what_is_stated_is_part_of_the_identity_and_nothing_else_is():
    plain, stated = spec().identity(), spec({"fit": "squeeze"}).identity()
    assert stated == plain | {"input": {"VERSION": 1, "fit": "squeeze"}}
    every = {"size": 96, "fit": "pad", "fill": 1, "interpolation": "nearest"}
    every |= {"mean": [0.5] * 3, "std": [0.5] * 3}
    marks = [str(spec({**every, name: None}).identity()) for name in ("size", "mean", "std")]
    assert len({*marks, str(spec(every).identity())}) == 4
    assert set(InputSpec.model_fields) == {*every, "resize"}


def experiment(model, images, **fields):
    given = {
        "name": "try/input",
        "data": {"dataset": "imagenet-sample", "subset": {"count": images}},
        "model": model.model_dump(),
        "method": {"kind": "source"},
        "compute": {"device": "cpu", "processes": 1},
        **fields,
    }
    return Experiment.model_validate(given)


def setup_of(asked):
    located = {"model.weights": Located(None, "random")}
    return set_up(asked, located, {"answer": open_dataset(asked.data)})


@pytest.mark.parametrize("name", ["mixer_s32_224"])
def test_a_size_that_the_network_does_not_take_is_refused(name):
    asked = experiment(spec({"size": 96, "fit": "squeeze"}, name=name), 1)
    with pytest.raises(SpecError, match=r"size: mixer_s\S+ does not take 96") as fault:
        setup_of(asked)
    assert "position embeddings" in fault.value.hint
    assert setup_of(experiment(spec({"fit": "squeeze"}, name=name), 1)).model.outputs() == 1000


@pytest.mark.parametrize(
    "stated", [SQUEEZED, {"size": [64, 96], "resize": 112}, {"fit": "pad", "fill": 128}]
)
def test_a_registered_model_answers_as_its_run_recorded(stated, tmp_path):
    asked = experiment(spec(stated), 4, seed=3)
    setup = setup_of(asked)
    recorded = [row for _, row in sorted(rows(setup, range(4), workers=0))]
    card = Card(
        experiment=asked.name,
        model=asked.model,
        method=asked.method,
        main="source",
        names=setup.task.names,
        model_indices=setup.data["answer"].model_indices,
        preprocess=setup.model.preprocess,
        seed=asked.seed,
        precision=asked.precision,
        weights_sha256=write_weights(setup.model.network, tmp_path),
        data_digests=("d",),
        fingerprints=("f",),
    )
    write_bundle(tmp_path, card, pd.DataFrame({"sample": ["a"]}))
    dataset = setup.data["answer"]
    images = [dataset.read(sample) for sample in dataset.samples]
    predictor = load_predictor(tmp_path, device="cpu")
    assert predictor.card.preprocess == setup.model.preprocess
    table = predictor.predict(images)
    assert list(table["class_index"]) == [row["source.prediction"] for row in recorded]
    np.testing.assert_allclose(
        table["confidence"], [row["source.confidence"] for row in recorded], rtol=1e-5
    )
    other = build_model(spec(), seed=3).preprocess
    assert other != setup.model.preprocess
