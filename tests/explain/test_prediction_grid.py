"""The grid of predictions: what was seen, what was said, and whether it is right."""

from io import StringIO

import numpy as np
import pandas as pd

from hardy.explain import prediction_grid as module
from hardy.explain.prediction_grid import Said, draw
from hardy.explain.spec import PredictionGridSpec
from tests.explain.paired import pairs, pixels, transformer


def said(items):
    """Say `a` of all: right of every third sample."""
    return [Said("a", 0.5, item.index % 3 == 0, "abc"[item.index % 3]) for item in items]


def test_eight_pairs_are_a_grid_of_four_by_four(monkeypatch):
    drawn = []
    original = module.picture
    monkeypatch.setattr(
        module, "picture", lambda shown, shift: drawn.extend(shown) or original(shown, shift)
    )
    given = pairs(transformer())
    found = dict(draw(PredictionGridSpec(), given, said))
    table = pd.read_csv(StringIO(found["prediction-grid/predictions.csv"]))
    assert list(table) == [
        *("sample", "truth", "clean_prediction", "clean_confidence", "clean_right"),
        *("shifted_prediction", "shifted_confidence", "shifted_right"),
    ]
    places = sorted(given.order[:8])
    assert list(table["sample"]) == [f"s{place}" for place in places]
    right = sum(place % 3 == 0 for place in places)
    assert found["prediction_grid/clean_right"] == found["prediction_grid/shifted_right"] == right
    assert found["prediction_grid/pairs"] == 8
    # What is shown is what the network saw before the normalisation, within what a screen has.
    for place, shown in zip(places, drawn, strict=True):
        for levels, one in zip(pixels(), shown, strict=True):
            wanted = levels[place].numpy().round().clip(0, 255).transpose(1, 2, 0)
            assert np.array_equal(one.pixels, wanted)
    image = found["prediction-grid/predictions.png"]
    assert 700 < image.width < 900
    assert image.height > image.width


def test_one_pair_is_drawn_too():
    found = dict(draw(PredictionGridSpec(pairs=1), pairs(transformer()), said))
    assert found["prediction_grid/pairs"] == 1
