"""Cosine and linear CKA against independent formulas; activations against a forward by hand."""

from io import StringIO

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from hardy.core.errors import SpecError
from hardy.explain import similarity as module
from hardy.explain.layers import find_layers
from hardy.explain.similarity import cosine, draw, linear_cka, similarity
from hardy.explain.spec import SimilaritySpec
from tests.contracts.device import another_device
from tests.explain.paired import MEAN, SIDE, STD, model, pairs, pixels, transformer


def cka_of_features(x, y):
    """Return linear CKA by the D by D products, where hardy's has N by N ones."""
    x, y = (np.asarray(each, np.float64) - np.asarray(each, np.float64).mean(0) for each in (x, y))
    between = np.linalg.norm(y.T @ x, "fro") ** 2
    return between / (np.linalg.norm(x.T @ x, "fro") * np.linalg.norm(y.T @ y, "fro"))


def cosines(x, y):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return (x * y).sum(1) / np.sqrt((x**2).sum(1) * (y**2).sum(1))


@pytest.mark.parametrize(("count", "width"), [(30, 7), (12, 40)])
def test_cka_and_cosine_are_the_formulas(count, width, monkeypatch):
    monkeypatch.setattr(module, "_COLUMNS", 3)  # so that products come in several parts
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, width)).astype(np.float32) + 5
    y = (x + rng.normal(size=x.shape)).astype(np.float32)
    one, other = torch.from_numpy(x), torch.from_numpy(y)
    assert linear_cka(one, other) == pytest.approx(cka_of_features(x, y), abs=1e-12)
    assert linear_cka(one, other[:, :5]) == pytest.approx(cka_of_features(x, y[:, :5]), abs=1e-12)
    np.testing.assert_allclose(cosine(one, other), cosines(x, y), rtol=1e-12)


def test_cka_does_not_see_rotations_scales_or_shifts_and_is_none_of_a_constant():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 6))
    turned = 3 * x @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 7
    assert linear_cka(*map(torch.from_numpy, (x, turned))) == pytest.approx(1, abs=1e-12)
    assert np.isnan(linear_cka(torch.from_numpy(x), torch.ones(20, 3)))


def by_hand(network, images):
    """Return all activations of a timm ViT by layer, positions and the last norm included."""
    found = {"patch_embed": network.patch_embed(images)}
    tokens = torch.cat([network.cls_token.expand(len(images), -1, -1), found["patch_embed"]], 1)
    tokens = tokens + network.pos_embed
    for place, block in enumerate(network.blocks):
        tokens = tokens + block.attn(block.norm1(tokens))
        tokens = tokens + block.mlp(block.norm2(tokens))
        found[f"blocks.{place}"] = tokens
    return found | {"norm": network.norm(tokens)}


def normalised(levels):
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
    return (levels / 255 - mean) / std


@pytest.mark.parametrize("tokens", ["all", "cls", "mean", "p4"])
@torch.no_grad()
def test_rows_are_those_of_a_forward_by_hand(tokens):
    network, count = transformer(), 40
    table = similarity(SimilaritySpec(tokens=tokens), pairs(network, count)).set_index("layer")
    hand = [by_hand(network, normalised(each)) for each in pixels(count)]
    names = ["patch_embed", "blocks.0", "blocks.1", "blocks.2", "norm"]
    assert list(table.index) == ["identity", *names]
    for name in names:
        how = {"all": "all", "mean": "mean"}.get(tokens)
        if tokens == "cls":
            how = "mean" if name == "patch_embed" else "cls"
        if tokens == "p4":  # all tokens below the last block
            how = "cls" if name in ("blocks.2", "norm") else "all"
        assert table.loc[name, "tokens"] == how
        take = {
            "all": lambda t: t.reshape(count, -1),
            "cls": lambda t: t[:, 0],
            "mean": lambda t: t.mean(1),
        }[how]
        x, y = (take(each[name]).numpy() for each in hand)
        assert table.loc[name, "width"] == x.shape[1]
        assert table.loc[name, "cosine"] == pytest.approx(cosines(x, y).mean(), abs=1e-6)
        assert table.loc[name, "cka"] == pytest.approx(cka_of_features(x, y), abs=1e-6)
    x, y = (normalised(each).reshape(count, -1).numpy() for each in pixels(count))
    assert table.loc["identity", "cosine"] == pytest.approx(cosines(x, y).mean(), abs=1e-6)
    assert (table["cosine_low"] < table["cosine"]).all()
    assert (table["cosine"] < table["cosine_high"]).all()
    assert (table["samples"] == count).all()


def test_memory_that_suffices_for_one_layer_gives_the_same(monkeypatch):
    network = transformer()
    whole = similarity(SimilaritySpec(samples=35), pairs(network))
    monkeypatch.setattr(module, "_BYTES", 1)
    pd.testing.assert_frame_equal(similarity(SimilaritySpec(samples=35), pairs(network)), whole)
    assert (whole["samples"] == 35).all()


def test_numbers_are_those_of_the_table_and_the_picture_has_the_readme_s_width():
    found = dict(draw(SimilaritySpec(layers=("blocks.*",)), pairs(transformer())))
    table = pd.read_csv(StringIO(found["similarity/similarity.csv"])).set_index("layer")
    assert list(table.index) == ["identity", "blocks.0", "blocks.1", "blocks.2"]
    for name, row in table.iterrows():
        assert found[f"similarity/cosine/{name}"] == pytest.approx(row["cosine"])
        assert found[f"similarity/cka/{name}"] == pytest.approx(row["cka"])
    assert 700 < found["similarity/similarity.png"].width < 1000


def table_of(names, cosine, cka, hows):
    ends = {"cosine_low": np.subtract(cosine, 0.02), "cosine_high": np.add(cosine, 0.01)}
    given = {"layer": names, "tokens": hows, "cosine": cosine, "cka": cka, "samples": 9}
    return pd.DataFrame(given | ends)


@pytest.fixture
def axes_of(monkeypatch):
    monkeypatch.setattr(module, "render", lambda figure: figure)
    return lambda table: module.picture(table, "fog-2").axes[0]


@pytest.mark.parametrize(
    ("cosine", "cka", "lowest"),
    [
        ([0.9, 0.7, -0.2], [0.8, 0.5, 0.3], -0.22),
        ([0.99, 0.7, 0.6], [0.9, 0.5, 0.1], 0.1),
        ([1.0, 0.99, 0.98], [np.nan] * 3, 0.9),
    ],
)
def test_curves_and_band_lie_inside_the_axes_and_fill_them(cosine, cka, lowest, axes_of):
    axes = axes_of(table_of(["identity", "a", "b"], cosine, cka, ["all"] * 3))
    (own, other, one), (band,) = axes.lines, axes.collections
    np.testing.assert_allclose(own.get_ydata(), cosine)
    np.testing.assert_allclose(other.get_ydata(), cka)
    assert set(one.get_ydata()) == {1}
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((min(cosine) - 0.02, max(cosine) + 0.01))
    bottom, top = axes.get_ylim()
    room = 0.1 * (1 - lowest)
    assert lowest - room < bottom < lowest
    assert 1 < top < 1 + room


def test_layers_are_named_with_what_is_taken_where_that_differs(axes_of):
    names, values = ["identity", "a", "b$c$"], [0.9, 0.8, 0.7]

    def ticks(*hows):
        labels = axes_of(table_of(names, values, values, hows)).get_xticklabels()
        assert not any(label.get_parse_math() for label in labels)
        return [label.get_text() for label in labels]

    assert ticks("all", "all", "cls") == ["identity", "a", "b$c$ (CLS)"]
    assert ticks("all", "cls", "cls") == names  # all of them, and the pixels have none
    assert ticks("all", "mean", "mean") == names


@pytest.mark.parametrize(("count", "wide"), [(3, 8), (40, 20)])
def test_each_layer_has_room_for_its_name(count, wide, axes_of):
    """0.45 inches a layer and 2 for the axis; 8 at least."""
    values = [0.9] * count
    table = table_of([f"blocks.{n}" for n in range(count)], values, values, ["all"] * count)
    axes = axes_of(table)
    assert axes.figure.get_size_inches()[0] == pytest.approx(wide)
    assert axes.get_title() == "Activations, clean against fog-2 (9 samples)"
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {
        *("cosine, mean over samples (band: 95 %)", "linear CKA")
    }
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        *("layer, from the pixels on", "similarity (1: the same)"),
    )


def test_one_sample_has_a_cosine_and_no_cka():
    found = dict(draw(SimilaritySpec(), pairs(transformer(), 1)))
    assert "similarity/cosine/norm" in found
    assert not [name for name in found if "/cka/" in name]


@pytest.mark.parametrize(
    ("stated", "hint"),
    [("block.*", "blocks"), ("nothing", "They begin with"), ("idle", "idle.*")],
)
def test_a_layer_that_is_none_is_refused(stated, hint):
    network = transformer()
    network.idle = nn.Linear(1, 1)  # which nothing asks
    with pytest.raises(SpecError) as caught:
        find_layers(model(network), (stated,), "all")
    assert hint in caught.value.hint


def test_a_network_without_a_class_token_has_none_to_take():
    network = transformer(tokens=False)
    for tokens in ("cls", "p4"):
        with pytest.raises(SpecError, match="no class token"):
            find_layers(model(network), None, tokens)
    assert [layer.name for layer in find_layers(model(network), None, "mean")][-1] == "norm"


def test_a_cnn_has_its_stages_and_means_are_over_places():
    import timm

    found = find_layers(model(timm.create_model("resnet18", num_classes=3)), None, "mean")
    assert [(each.name, each.width) for each in found] == [
        *(("layer1", 64), ("layer2", 128), ("layer3", 256), ("layer4", 512))
    ]


def test_torchvision_s_transformers_have_theirs():
    from torchvision.models import VisionTransformer

    network = VisionTransformer(SIDE, 8, 2, 2, 12, 24, num_classes=3)
    found = find_layers(model(network), None, "p4")
    assert [(each.name, each.how) for each in found] == [
        ("conv_proj", "all"),
        ("encoder.layers.encoder_layer_0", "all"),
        ("encoder.layers.encoder_layer_1", "cls"),
        ("encoder.ln", "cls"),
    ]


def test_a_plain_network_has_its_parts():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 5), nn.Linear(5, 3))
    assert [each.name for each in find_layers(model(network), None, "all")] == ["0", "1", "2"]


def test_hooks_are_gone_afterwards():
    network = transformer()
    similarity(SimilaritySpec(), pairs(network))
    assert not any(module._forward_hooks for module in network.modules())


@torch.no_grad()
def test_a_layer_is_seen_before_the_next_one_writes_over_it():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten())
    table = similarity(SimilaritySpec(layers=("0",)), pairs(network)).set_index("layer")
    x, y = (network[0](normalised(each)).flatten(1).numpy() for each in pixels())
    assert table.loc["0", "cosine"] == pytest.approx(cosines(x, y).mean(), abs=1e-6)


@pytest.mark.parametrize("tokens", ["mean", "p4"])
def test_numbers_are_the_same_on_another_device(tokens):
    spec = SimilaritySpec(tokens=tokens)
    expected = similarity(spec, pairs(transformer()))
    with another_device() as device:
        found = similarity(spec, pairs(transformer(), device=device))
    pd.testing.assert_frame_equal(found, expected, atol=1e-5)
