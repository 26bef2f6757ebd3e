"""Codes, latents and feature maps of a small network, against what its images are made of."""

import io

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from hardy.core.errors import SpecError
from hardy.explain import codebook, feature_maps, latents
from hardy.explain.spec import CodebookSpec, FeatureMapsSpec, LatentsSpec
from tests.contracts.device import another_device
from tests.explain.coded import CELL, CODES, COLOURS, cells, coded
from tests.explain.paired import pairs, transformer


def table(text):
    return pd.read_csv(io.StringIO(text))


@pytest.fixture(scope="module")
def codes():
    return dict(codebook.draw(CodebookSpec(), coded()))


def test_codes_are_counted_where_images_have_them(codes):
    counts = np.bincount(cells().ravel(), minlength=len(CODES))
    found = table(codes["codebook/codes.csv"])
    assert found["count"].tolist() == counts.tolist()
    np.testing.assert_allclose(found["share"], counts / counts.sum())
    assert codes["codebook/usage"] == 4 / 6
    p = counts[:4] / counts.sum()
    assert codes["codebook/perplexity"] == pytest.approx(np.prod(p**-p))
    assert codes["codebook/places"] == cells().size
    assert codebook.perplexity(np.array([7, 7, 7, 0])) == pytest.approx(3)


def test_the_nearest_codes_are_scipys(codes):
    between = cdist(CODES, CODES)
    np.fill_diagonal(between, np.inf)
    found = table(codes["codebook/codes.csv"])
    np.testing.assert_allclose(found["distance"], between.min(1))
    for code, near in enumerate(found["nearest"]):
        assert between[code, near] == between[code].min()
    assert codebook.nearest(np.ones((1, 3)))[0].tolist() == [-1]


def test_cut_outs_show_what_took_the_code(monkeypatch):
    given = []
    monkeypatch.setattr(codebook, "nearest_picture", lambda _, patches: given.append(patches))
    dict(codebook.draw(CodebookSpec(samples=20), coded()))
    (patches,) = given
    assert set(patches) == {0, 1, 2, 3}
    for code, kept in patches.items():
        assert len(kept) == 6
        for patch in kept:
            assert max(patch.shape[:2]) <= 3 * CELL
            assert (patch == COLOURS[code]).all(-1).sum() >= CELL * CELL


def test_fewer_samples_are_the_same_ones_each_time():
    few, again = (dict(codebook.draw(CodebookSpec(samples=5), coded())) for _ in range(2))
    assert few["codebook/places"] == 5 * 16
    assert few["codebook/codes.csv"] == again["codebook/codes.csv"]


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_latents_lie_by_what_images_are_made_of(method):
    found = dict(latents.draw(LatentsSpec(method=method), coded()))
    rows = CODES[torch.from_numpy(cells())].flatten(1).numpy()
    labels = np.arange(len(rows)) % 2
    near = NearestNeighbors(n_neighbors=2).fit(rows).kneighbors(rows)[1][:, 1]
    assert found["latents/same_class"] == pytest.approx((labels[near] == labels).mean())
    points = table(found["latents/latents.csv"])
    assert points["class"].tolist() == ["mixed", "red"] * 12
    assert 0.5 < found["latents/trustworthiness"] <= 1
    apart = [points.loc[labels == n, ["x", "y"]].mean().to_numpy() for n in (0, 1)]
    assert np.linalg.norm(apart[0] - apart[1]) > 0
    again = dict(latents.draw(LatentsSpec(method=method), coded()))
    assert again["latents/latents.csv"] == found["latents/latents.csv"]


def test_the_nearest_other_row_is_that_of_all_distances():
    rng = np.random.default_rng(2)
    rows, labels = rng.normal(3, 1, (60, 4)), rng.integers(0, 3, 60)
    rows *= rng.uniform(0.2, 3, (60, 1))  # of unlike lengths
    apart = cdist(rows, rows) + np.diag(np.full(60, np.inf))
    assert latents.same_class(rows, labels) == (labels[apart.argmin(1)] == labels).mean()


def test_latents_without_classes_have_a_map_alone():
    found = dict(latents.draw(LatentsSpec(method="pca"), coded(labels=False)))
    assert {n for n, v in found.items() if isinstance(v, float)} == {"latents/trustworthiness"}


def test_maps_are_those_of_the_networks_own_pass():
    whole, spec = coded(), FeatureMapsSpec(samples=3, layers=("blurred", "head"))
    with torch.no_grad():
        whole.model.network.head.weight[1] = 0
    found = dict(feature_maps.draw(spec, whole))
    facts = table(found["feature-maps/layers.csv"]).set_index("layer")
    (items,) = whole.answered(3)
    with torch.no_grad():
        images = whole.images(items)
        own = {
            "blurred": whole.model.network.blurred(images),
            "head": whole.model(images),
        }
    for name, maps in own.items():
        assert facts.loc[name, ["channels", "height", "width"]].tolist() == list(maps.shape[1:])
        assert facts.loc[name, "mean"] == pytest.approx(float(maps.mean()), abs=1e-6)
        deviation = float(maps.flatten(2).std(2, correction=0).mean())
        assert facts.loc[name, "deviation"] == pytest.approx(deviation, abs=1e-6)
    assert found["feature_maps/silent/head"] == pytest.approx(1 / 3)
    assert found["feature_maps/silent/blurred"] == 0
    pictures = {name: each for name, each in found.items() if name.endswith(".png")}
    assert list(pictures) == [f"feature-maps/{n:02}.png" for n in range(3)]


def test_a_picture_grows_by_rows_of_maps():
    maps = {"a": np.random.default_rng(0).normal(size=(20, 4, 4))}
    image = np.zeros((8, 8, 3), np.uint8)
    wide, tall, few = (
        feature_maps.picture(image, maps, "s", FeatureMapsSpec(columns=columns, channels=channels))
        for columns, channels in ((10, 64), (5, 64), (5, 5))
    )
    assert tall.height - wide.height == 2 * 60
    assert tall.height - few.height == 3 * 60


def test_layers_without_maps_are_refused():
    with pytest.raises(SpecError, match=r"explain.feature_maps.layers: no layer .* called 'haed'"):
        dict(feature_maps.draw(FeatureMapsSpec(layers=("haed",)), coded()))
    network = transformer()
    with pytest.raises(SpecError, match=r"blocks\.0 gives no maps"):
        dict(feature_maps.draw(FeatureMapsSpec(layers=("blocks.*",)), pairs(network)))


def test_numbers_are_the_same_on_another_device():
    here = {}
    for part, spec in ((codebook, CodebookSpec()), (latents, LatentsSpec(method="pca"))):
        here |= dict(part.draw(spec, coded()))
    here |= dict(feature_maps.draw(FeatureMapsSpec(), coded()))
    there = {}
    with another_device() as device:
        away = coded(device=device)
        for part, spec in ((codebook, CodebookSpec()), (latents, LatentsSpec(method="pca"))):
            there |= dict(part.draw(spec, away))
        there |= dict(feature_maps.draw(FeatureMapsSpec(), away))
    for name, value in here.items():
        if isinstance(value, float):
            assert there[name] == pytest.approx(value, abs=1e-6)
