"""The map of features: the same each time, what it measures, and a page that asks for nothing."""

from io import StringIO

import numpy as np
import pandas as pd
import pytest
import torch

from hardy.explain.embedding import draw, embed, features, own_twin, trustworthiness
from hardy.explain.spec import EmbeddingSpec
from tests.contracts.device import another_device
from tests.explain.paired import pairs, transformer
from tests.results.search.test_page import Addresses


def rows(count=24, width=9):
    return np.random.default_rng(0).normal(size=(count, width))


@pytest.mark.parametrize("method", ["pca", "tsne"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_map_is_the_same_each_time(method, dimensions):
    spec = EmbeddingSpec(method=method, dimensions=dimensions, perplexity=5)
    points, axes = embed(spec, rows(), 3)
    again, _ = embed(spec, rows(), 3)
    assert np.array_equal(points, again)
    assert points.shape == (24, dimensions)
    assert len(axes) == dimensions


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_rows_that_are_all_the_same_are_one_point(method):
    # scikit-learn's t-SNE ends the process here: a fault of this test is a crash of pytest.
    points, axes = embed(EmbeddingSpec(method=method), np.full((6, 40), 0.3), 0)
    assert not points.any()
    assert "the same" in axes[0]


def test_pca_is_the_singular_value_decomposition_s():
    points, axes = embed(EmbeddingSpec(method="pca"), rows(), 0)
    centred = rows() - rows().mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(points), np.abs(left[:, :2] * sizes[:2]), atol=1e-9)
    share = 100 * sizes[0] ** 2 / (sizes**2).sum()
    assert axes[0] == f"component 1 ({share:.0f} % of variance)"


def test_neighbours_on_a_map_are_trusted_where_they_were_neighbours_before():
    flat = rows(40, 2)
    assert trustworthiness(flat, flat) == 1
    assert trustworthiness(flat, 3 * flat[:, ::-1] + 1) == pytest.approx(1)
    shuffled = np.random.default_rng(1).permutation(flat)
    assert trustworthiness(flat, shuffled) < 0.7


def test_twins_are_found():
    clean = np.array([[0.0, 0], [1, 0], [0, 1], [5, 5]])
    moved = np.array([[0.1, 0], [0.2, 0], [0, 0.9], [5, 4]])  # the second is nearer to the first
    assert own_twin(clean, moved) == 0.75
    assert own_twin(clean, clean) == 1
    assert own_twin(np.zeros((3, 2)), np.zeros((3, 2))) == 1  # as near as any other


@torch.no_grad()
def test_features_are_what_the_head_is_given():
    network, count = transformer(), 40
    given = pairs(network, count)
    found = features(EmbeddingSpec(), given)
    assert found.ids == [f"s{n}" for n in range(count)]
    assert found.labels == [n % 3 for n in range(count)]
    images = given.images(list(given.read(True, range(count))))
    wanted = network.forward_head(network.forward_features(images), pre_logits=True)
    np.testing.assert_allclose(found.shifted, wanted.numpy(), atol=1e-5)
    unit = features(EmbeddingSpec(normalise=True), given)
    np.testing.assert_allclose(np.linalg.norm(unit.clean, axis=1), 1)
    np.testing.assert_allclose(
        unit.clean, found.clean / np.linalg.norm(found.clean, axis=1, keepdims=True)
    )


@pytest.mark.parametrize("labels", [True, False])
def test_three_dimensions_have_a_page_that_asks_for_nothing(labels):
    spec = EmbeddingSpec(method="pca", dimensions=3, samples=20)
    found = dict(draw(spec, pairs(transformer(), labels=labels)))
    page = found["embedding/embedding.html"]
    assert [each for each in Addresses(page).found if each != "#0"] == []
    assert page.count("plotly.js v") == 1
    assert "default-src 'none'" in page
    assert ("a, shifted" in page) == labels
    table = pd.read_csv(StringIO(found["embedding/embedding.csv"]))
    assert list(table) == ["sample", "class", "shifted", "x", "y", "z"]
    assert len(table) == 40
    assert table["shifted"].sum() == 20
    assert 0 <= found["embedding/own_twin"] <= 1
    assert 0 <= found["embedding/trustworthiness"] <= 1
    assert found["embedding/embedding.png"].width < 1000


def test_two_dimensions_have_none_and_few_samples_lower_the_perplexity():
    found = dict(draw(EmbeddingSpec(samples=3), pairs(transformer())))
    assert set(found) == {
        *("embedding/embedding.csv", "embedding/embedding.png"),
        *("embedding/trustworthiness", "embedding/own_twin"),
    }


def test_many_classes_are_told_apart_by_clean_and_shifted_alone():
    many = tuple("abcdefghijkl")
    found = dict(
        draw(
            EmbeddingSpec(method="pca", dimensions=3),
            pairs(transformer(), 40, classes=many),
        )
    )
    page = found["embedding/embedding.html"]
    assert '"name":"shifted"' in page
    assert "l, shifted" not in page


def test_features_are_the_same_on_another_device():
    expected = features(EmbeddingSpec(normalise=True), pairs(transformer()))
    with another_device() as device:
        found = features(EmbeddingSpec(normalise=True), pairs(transformer(), device=device))
    np.testing.assert_allclose(found.shifted, expected.shifted, atol=1e-5)
