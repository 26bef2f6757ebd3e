"""Analyses of a unit: which samples they see, which answers, what is left out, on any device."""

import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from hardy.core.errors import SpecError
from hardy.data.open import open_dataset
from hardy.engine.analysed import lacks
from hardy.engine.analyses import analyse, check
from hardy.engine.answer import rows, table
from hardy.engine.examples import _plain
from hardy.engine.setup import set_up
from hardy.engine.smoke import smoke
from hardy.explain.layers import find_maps
from hardy.explain.pairs import Pairs
from hardy.models.weights import Located
from hardy.plan.tracker import PastRun
from hardy.spec import Unit
from hardy.spec.experiment import Experiment
from tests.plan.helpers import resolved

NOISE = {"kind": "gaussian_sigma", "sigma": 0.8, "space": "normalised"}
FOG = {"kind": "fog", "severity": 2}
ALL = {
    "similarity": {"samples": 12},
    "embedding": {"method": "pca", "samples": 10},
    "prediction_grid": {"pairs": 3},
}


def experiment(explain=None, *, shift=NOISE, **changes):
    shapes = {"dataset": "shapes", "split": "test", "shapes": {"count": 20, "size": 32}}
    given = {
        "name": "analysed",
        "data": {**shapes, "shift": shift},
        "model": {"kind": "hardy", "weights": "random", "classes": 6},
        "method": {"kind": "source"},
        "explain": ALL if explain is None else explain,
        "compute": {"device": "cpu"},
    }
    return Experiment.model_validate({**given, **changes})


def built(spec):
    paths = ["model.weights", *(f"method.{p}.weights" for p in spec.method.further_models)]
    located = {path: Located(None, "random") for path in paths}
    return set_up(spec, located, {"answer": open_dataset(spec.data)})


def found(spec, drop=0):
    """Return what is found, what is said, and the setup; the first samples have no records."""
    setup, said = built(spec), []
    frame = table(setup.task, [row for _, row in rows(setup, range(20), workers=0)])[drop:]
    return dict(analyse(setup, frame, said.append)), said, setup


@pytest.fixture(scope="module")
def whole():
    return found(experiment())


def test_each_has_numbers_a_table_and_a_picture(whole):
    entries, said, _ = whole
    assert said == []
    paths = {name for name, value in entries.items() if not isinstance(value, float)}
    assert paths == {
        *("similarity/similarity.csv", "similarity/similarity.png"),
        *("embedding/embedding.csv", "embedding/embedding.png"),
        *("prediction-grid/predictions.csv", "prediction-grid/predictions.png"),
    }
    layers = ("identity", "layer1", "layer2", "layer3")
    assert set(entries) - paths == {
        *(f"similarity/{kind}/{layer}" for kind in ("cosine", "cka") for layer in layers),
        *("embedding/trustworthiness", "embedding/own_twin"),
        *("prediction_grid/clean_right", "prediction_grid/shifted_right", "prediction_grid/pairs"),
    }


def numbers(entries):
    return {name: value for name, value in entries.items() if isinstance(value, float)}


@pytest.mark.parametrize("compute", [{"processes": 2}, {"processes": 1, "workers": 2}])
def test_they_are_the_same_however_many_share_the_work(whole, compute):
    spec = experiment(compute={"device": "cpu", **compute})
    assert numbers(found(spec)[0]) == numbers(whole[0])


def test_nothing_of_the_network_is_changed():
    setup = built(experiment())
    before = {name: tensor.clone() for name, tensor in setup.model.state_dict().items()}
    frame = table(setup.task, [row for _, row in rows(setup, range(20), workers=0)])
    setup.model.train()  # whoever left it so, analyses see it as answers do
    list(analyse(setup, frame, print))
    assert not setup.model.training
    after = setup.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def seen(monkeypatch, spec):
    """Return the batches that an entry sees, of all its samples."""
    given = []
    monkeypatch.setattr(
        "hardy.engine.analyses.similarity.draw",
        lambda _, pairs: given.append(pairs) or iter(()),
    )
    _, _, setup = found(spec, drop=4)
    (pairs,) = given
    assert isinstance(pairs, Pairs)
    return setup, pairs, list(pairs.batches(999))


def test_they_see_answered_samples_clean_and_as_they_were_answered(monkeypatch):
    setup, pairs, (batch,) = seen(monkeypatch, experiment({"similarity": {}}))
    ids = [sample.id for sample in setup.data["answer"].samples][4:]
    assert [item.id for item in batch.clean] == [item.id for item in batch.shifted] == ids
    answered = [setup.pipeline("answer")[place] for place in range(4, 20)]
    for item, other in zip(answered, batch.shifted, strict=True):
        assert torch.equal(item.pixels, other.pixels)
    for item in batch.clean:
        image = setup.data["answer"].read(setup.data["answer"].samples[item.index])
        assert np.array_equal(item.pixels[0].permute(1, 2, 0).numpy(), np.asarray(image))
    assert pairs.shift == "gaussian_sigma-0.8-normalised"
    few = [item.id for pair in pairs.batches(5) for item in pair.clean]
    assert len(few) == 5
    assert few != ids[:5]  # drawn, since manifests are sorted by class


def test_an_entry_s_own_shift_takes_the_experiment_s_place(monkeypatch):
    _, pairs, (batch,) = seen(monkeypatch, experiment({"similarity": {"shift": FOG}}))
    answered = built(experiment(shift=FOG)).pipeline("answer")
    assert torch.equal(batch.shifted[0].pixels, answered[4].pixels)
    assert pairs.shift == "fog-2"


def test_the_grid_has_the_answers_of_the_records():
    entries, _, setup = found(experiment({"prediction_grid": {"pairs": 20}}))
    frame = table(setup.task, [row for _, row in rows(setup, range(20), workers=0)])
    right = frame["source.prediction"] == frame["label"]
    assert entries["prediction_grid/shifted_right"] == right.sum()


def test_a_method_that_adapts_is_seen_before_it_does():
    memo = {"kind": "memo", "views": {"kind": "cut", "count": 2}}
    spec = experiment({"prediction_grid": {"pairs": 20}}, shift=FOG, method=memo)
    plain = experiment({"prediction_grid": {"pairs": 20}}, shift=FOG)
    assert numbers(found(spec)[0]) == numbers(found(plain)[0])


def test_without_a_shift_all_are_left_out_and_it_is_said():
    entries, said, _ = found(experiment(shift=None))
    assert entries == {}
    assert [line.partition(" is left out")[0] for line in said] == [
        *("explain.similarity", "explain.embedding", "explain.prediction_grid")
    ]


def test_planes_have_layers_and_neither_a_map_nor_a_grid():
    model = {"kind": "segmenter", "width": 8, "input": {"size": 32}}
    entries, said, _ = found(experiment(shift=FOG, task={"kind": "segment"}, model=model))
    assert "similarity/cka/stem" in entries
    assert "similarity/cosine/up.0" in entries
    assert not [name for name in entries if not name.startswith("similarity/")]
    assert ["embedding" in said[0], "prediction_grid" in said[1]] == [True, True]


def test_what_cannot_be_is_refused_before_anything_is_learned():
    with pytest.raises(SpecError, match="no layer of the network is called 'layr1'") as caught:
        check(built(experiment({"similarity": {"layers": ["layr1"]}})))
    assert "layer1" in caught.value.hint
    check(built(experiment()))


def test_a_run_lacks_what_it_was_not_asked_for():
    spec, past = experiment(), PastRun("run", "analysed", finished=True)
    assert lacks(spec, past)
    assert not lacks(experiment({}), past)


def test_they_are_no_part_of_the_numbers_and_off_unless_stated():
    explain = experiment({}).explain
    assert (explain.similarity, explain.embedding, explain.prediction_grid) == (None, None, None)
    assert explain.identity().keys() == {"VERSION", "gradcam", "view_grids"}


def test_one_sample_alone_has_no_map():
    (small,) = smoke(resolved(Unit(experiment()))).units
    assert small.experiment.explain.embedding is None
    setup = built(experiment())
    frame = table(setup.task, [row for _, row in rows(setup, range(2), workers=0)])
    said = []
    entries = dict(analyse(setup, frame, said.append))
    assert "embedding/own_twin" not in entries
    assert said == ["explain.embedding is left out: 2 samples are too few"]


VQVAE = {
    "kind": "segmenter",
    "name": "vqvae",
    **{"hidden": 16, "residual": 8, "layers": 1, "codes": 16, "code_dim": 4},
    "input": {"size": 32},
}
SEGMENTER = {"kind": "segmenter", "width": 8, "input": {"size": 32}}


def planes(explain, kind="segment", **changes):
    given = {"task": {"kind": kind}, "model": SEGMENTER}
    return experiment(explain, shift=FOG, **{**given, **changes})


@pytest.mark.parametrize(
    ("kind", "captions"),
    [
        ("segment", ["input", "truth", "source", "errors of source"]),
        ("reconstruct", ["clean", "input", "rebuilt by source", "4 x |source - clean|"]),
    ],
)
def test_examples_show_samples_with_their_truth_and_errors(kind, captions, monkeypatch):
    drawn = []
    grid = "hardy.engine.examples.plane_grid"
    monkeypatch.setattr(grid, lambda samples, _: drawn.append(samples) or Image.new("RGB", (1, 1)))
    entries, _, setup = found(planes({"examples": {"samples": 4, "files": True}}, kind))
    frame = table(setup.task, [row for _, row in rows(setup, range(20), workers=0)])
    own = dict(zip(frame["sample"], setup.task.score(frame, "source"), strict=True))
    (samples,) = drawn
    shown = pd.read_csv(io.StringIO(entries["examples/examples.csv"]))
    assert list(samples) == shown["sample"].tolist()
    assert len(set(samples)) == 4
    assert list(samples) != frame["sample"].tolist()[:4]
    np.testing.assert_allclose(shown["score"], [own[name] for name in samples])
    assert entries["examples/score"] == pytest.approx(shown["score"].mean())
    assert all(list(planes.tiles) == captions for planes in samples.values())
    files = [name for name in entries if name.count("/") == 2]
    assert len(files) == 4 * len(captions)
    first = next(iter(samples.values()))
    for path, pixels in zip(files[:4], first.tiles.values(), strict=True):
        with Image.open(io.BytesIO(entries[path])) as shown_as_it_is:
            np.testing.assert_array_equal(np.asarray(shown_as_it_is), pixels)


@pytest.mark.parametrize(
    ("caption", "name"),
    [
        ("4 x |source - clean|", "4-x-source-clean"),
        ("errors of memo", "errors-of-memo"),
        ("../café\\x", "caf-x"),
    ],
)
def test_a_captions_file_has_plain_letters_alone(caption, name):
    assert _plain(caption) == name


def test_the_worst_examples_come_first():
    entries, _, setup = found(planes({"examples": {"samples": 3, "choose": "worst"}}))
    frame = table(setup.task, [row for _, row in rows(setup, range(20), workers=0)])
    shown = pd.read_csv(io.StringIO(entries["examples/examples.csv"]))
    np.testing.assert_allclose(shown["score"], np.sort(setup.task.score(frame, "source"))[:3])


def test_chosen_examples_come_in_their_own_order():
    setup = built(planes({"examples": {}}))
    ids = [setup.data["answer"].samples[place].id for place in (4, 1)]
    entries, _, _ = found(planes({"examples": {"choose": {"ids": ids}}}))
    shown = pd.read_csv(io.StringIO(entries["examples/examples.csv"]))
    assert shown["sample"].astype(str).tolist() == ids


def test_classes_have_no_examples():
    setup = built(experiment({"examples": {}}))
    frame = table(setup.task, [row for _, row in rows(setup, range(20), workers=0)])
    said = []
    assert dict(analyse(setup, frame, said.append)) == {}
    assert said == ["explain.examples is left out: answers are no planes"]


def test_feature_maps_are_of_the_stages_and_need_no_shift():
    explain = {"feature_maps": {"samples": 2, "channels": 8}}
    entries, said, _ = found(experiment(explain, shift=None))
    assert said == []
    assert {"feature-maps/00.png", "feature-maps/01.png", "feature-maps/layers.csv"} <= set(entries)
    assert {name for name in entries if name.startswith("feature_maps/")} == {
        f"feature_maps/silent/{layer}" for layer in ("layer1", "layer2", "layer3")
    }


@pytest.mark.parametrize(
    ("model", "first", "last"),
    [
        (SEGMENTER, "stem", "up.2"),
        (VQVAE, "encoder.down.0", "decoder.up.0"),
        (
            {"kind": "segmenter", "name": "segnet", "width": 4},
            "encoder.levels.0",
            "decoder.levels.3",
        ),
        ({"kind": "segmenter", "name": "linknet-seed"}, "encoder.layer1", "decoder1"),
        ({"kind": "segmenter", "name": "unet"}, "encoder.model.blocks.0", "decoder.blocks.4"),
    ],
)
def test_stages_of_segmenters_are_found(model, first, last):
    spec = planes({}, model={"weights": "random", "input": {"size": 32}, **model})
    layers = find_maps(built(spec).model, None)
    assert (layers[0], layers[-1]) == (first, last)


def test_a_codebook_is_looked_at_where_there_is_one():
    explain = {"codebook": {}, "latents": {"method": "pca", "samples": 10}}
    with pytest.raises(ValidationError, match=r"explain.latents looks .* unet-small has none"):
        planes(explain)
    check(built(planes(explain, model=VQVAE)))
    entries, _, _ = found(planes(explain, model=VQVAE))
    assert entries["codebook/places"] == 20 * 8 * 8
    assert 0 < entries["codebook/usage"] <= 1
    assert len(pd.read_csv(io.StringIO(entries["codebook/codes.csv"]))) == 16
    assert len(pd.read_csv(io.StringIO(entries["latents/latents.csv"]))) == 10
    again = planes(explain, model=VQVAE, compute={"device": "cpu", "processes": 2})
    assert numbers(found(again)[0]) == numbers(entries)
