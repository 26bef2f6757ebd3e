"""Where analyses put what they draw: all of it on the canvas, nothing over anything else."""

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest

from hardy.explain import codebook, drawing, feature_maps, latents
from hardy.explain.spec import FeatureMapsSpec, LatentsSpec
from tests.explain.coded import coded


class Laid:
    """What is drawn: texts by their words and tiles, each with its box."""

    def __init__(self):
        self.size, self.texts, self.tiles, self.colours = None, [], [], []

    def canvas(self, width, height):
        self.size = width, height
        drawn, pen = drawing.canvas(width, height)
        write, paste = pen.text, drawn.paste

        def text(at, words, ink, face):
            self.texts.append((words, pen.textbbox(at, words, font=face)))
            write(at, words, ink, face)

        def tile(image, at):
            self.tiles.append((*at, at[0] + image.width, at[1] + image.height))
            self.colours.append(np.asarray(image))
            paste(image, at)

        pen.text, drawn.paste = text, tile
        return drawn, pen

    def box(self, words):
        (found,) = [box for said, box in self.texts if said == words]
        return found

    def check(self):
        width, height = self.size
        boxes = [*self.tiles, *(box for _, box in self.texts)]
        for left, top, right, bottom in boxes:
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
        for one, other in combinations(boxes, 2):
            beside = one[2] <= other[0] or other[2] <= one[0]
            assert beside or one[3] <= other[1] or other[3] <= one[1], (one, other)


@pytest.fixture
def laid(monkeypatch):
    found = Laid()
    for module in (feature_maps, codebook):
        monkeypatch.setattr(module, "canvas", found.canvas)
    return found


@pytest.mark.parametrize("columns", [5, 12])
def test_maps_lie_in_rows_below_their_layers_name(laid, columns):
    rng = np.random.default_rng(0)
    maps = {"stem": rng.normal(size=(7, 4, 6)), "down.0": rng.normal(size=(20, 2, 3))}
    spec = FeatureMapsSpec(columns=columns, channels=12)
    feature_maps.picture(np.zeros((8, 8, 3), np.uint8), maps, "sample a", spec)
    laid.check()
    words = [said for said, _ in laid.texts]
    names = ["stem: 7 maps of 4 x 6", "down.0: 20 maps of 2 x 3, the first 12"]
    assert words[0] == "sample a"
    assert words[-2:] == names
    assert len(words) == 8  # five lines say how to read it
    (image, *tiles), (upper, lower) = laid.tiles, (laid.box(name) for name in names)
    assert image[3] <= upper[1]
    for own, count in ((tiles[:7], 7), (tiles[7:], 12)):
        lefts, tops = sorted({t[0] for t in own}), sorted({t[1] for t in own})
        assert (len(lefts), len(tops)) == (min(columns, count), -(-count // columns))
        wanted = [(lefts[n % columns], tops[n // columns]) for n in range(count)]
        assert [tile[:2] for tile in own] == wanted  # row by row
        assert len({b - a for a, b in pairwise(lefts)}) == 1
    assert upper[3] <= min(t[1] for t in tiles[:7])
    assert max(t[3] for t in tiles[:7]) <= lower[1]
    assert lower[3] <= min(t[1] for t in tiles[7:])


def test_a_map_is_dark_where_it_is_least_and_grey_where_it_is_flat(laid):
    plane = np.array([[-3.0, 1.0], [0.0, 5.0]])
    maps = {"a": np.stack([plane, 100 * plane + 7, np.full((2, 2), 4.0)])}
    feature_maps.picture(np.zeros((8, 8, 3), np.uint8), maps, "s", FeatureMapsSpec())
    _, first, second, flat = laid.colours
    np.testing.assert_array_equal(first, second)  # each has its own scale
    corners = first[[0, 0, -1, -1], [0, -1, 0, -1]].tolist()
    # The ends of viridis, and what lies at 1/2 and 3/8 between.
    assert corners[0] == [68, 1, 84]
    assert corners[3] == [253, 231, 37]
    assert sum(corners[0]) < sum(corners[2]) < sum(corners[1]) < sum(corners[3])
    assert (flat == drawing.GROUND).all()


def test_codes_have_their_cut_outs_beside_them_and_the_nearest_code_in_the_same_row(laid):
    counts, near = [1, 0, 10, 9], [1, 0, 3, 2]
    table = pd.DataFrame(
        {
            "code": range(4),
            "count": counts,
            "share": np.array(counts) / 20,
            "nearest": near,
            "distance": [0.5, 0.5, 2.25, 2.25],
        }
    )
    patch = np.zeros((6, 6, 3), np.uint8)
    codebook.nearest_picture(table, {0: [patch] * 2, 2: [patch] * 6, 3: [patch]})
    laid.check()
    words = [said for said, _ in laid.texts]
    assert words.count("never used") == 1
    assert {"code", "nearest code in the codebook", "Codes and the nearest to them"} <= set(words)
    assert words[1].startswith("the 3 most used of 4 codes: share of the places")
    # Codes 2, 3 and 0, and beside them 3, 2 and 1.
    rows = sorted({tile[1] for tile in laid.tiles})
    assert [sum(t[1] == row for t in laid.tiles) for row in rows] == [7, 7, 2]
    heads = [laid.box("code"), laid.box("nearest code in the codebook")]
    said = [
        [("code 2", "50.00 %"), ("code 3", "45.00 %, at 2.25")],
        [("code 3", "45.00 %"), ("code 2", "50.00 %, at 2.25")],
        [("code 0", "5.00 %"), ("code 1", "0.00 %, at 0.5")],
    ]
    for row, halves in zip(rows, said, strict=True):
        within = [(w, box) for w, box in laid.texts if row <= (box[1] + box[3]) / 2 <= row + 56]
        for head, half in zip(heads, halves, strict=True):
            own = [w for w, box in within if box[0] - head[0] in range(-1, 3)]
            assert own == list(half)
    unused = laid.box("never used")
    assert rows[2] <= unused[1]
    assert unused[3] <= rows[2] + 56
    assert unused[0] > heads[1][0]


def test_the_bars_are_the_codes_shares_of_all_places(monkeypatch):
    monkeypatch.setattr(codebook, "render", lambda figure: figure)
    (axes,) = codebook.usage_picture(np.array([1, 0, 6, 3])).axes
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([60, 30, 10, 0])
    middles = [bar.get_x() + bar.get_width() / 2 for bar in axes.patches]
    assert middles == pytest.approx([1, 2, 3, 4])
    assert axes.get_xlim() == (0.5, 4.5)
    (line,) = axes.lines
    assert set(line.get_ydata()) == {25.0}
    p = np.array([0.6, 0.3, 0.1])
    spread = f"{np.exp(-(p * np.log(p)).sum()):.1f}"
    title = f"3 of 4 codes used (75.0 %), perplexity {spread}, 10 places"
    assert axes.get_title() == title
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["all alike"]


@pytest.mark.parametrize(("shift", "shifted"), [("none", False), ("fog-3", True)])
def test_the_map_of_latents_says_under_which_shift_they_were_seen(monkeypatch, shift, shifted):
    given = []
    monkeypatch.setattr(latents, "picture", lambda *a, **k: given.append((a, k)))
    found = dict(latents.draw(LatentsSpec(method="pca"), replace(coded(), shift=shift)))
    (((table, _, classes, label, note), options),) = given
    assert table["shifted"].tolist() == [shifted] * 24
    assert (classes, label) == (("mixed", "red"), shift)
    assert options == {"title": "Quantised latents of 24 samples"}
    same = f"{100 * found['latents/same_class']:.1f} %"
    kept = f"{found['latents/trustworthiness']:.3f}"
    assert note == f"trustworthiness {kept}; nearest other sample is of the same class: {same}"
    assert found["latents/latents.csv"].splitlines()[0] == "sample,class,x,y"
