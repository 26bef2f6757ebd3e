"""Curves of a training: every measure has a panel that can be read."""

import io

import numpy as np
import pytest

from hardy.explain import curves as module
from hardy.explain.curves import curves, curves_csv
from hardy.explain.figure import render

MEASURES = ("accuracy", "error", "top5", "nll", "ece", "entropy", "confidence")


def epochs(count, measures):
    rng = np.random.default_rng(0)
    names = ["train/loss", "validation/loss", *(f"validation/{name}" for name in measures)]
    return [{name: float(rng.random()) for name in names} for _ in range(count)]


@pytest.mark.parametrize("measures", [(), MEASURES[:1], MEASURES[:4], MEASURES])
def test_each_measure_has_a_panel_and_no_text_lies_on_another(monkeypatch, measures):
    drawn = []
    monkeypatch.setattr(module, "render", lambda f, **how: drawn.append(f) or render(f, **how))
    picture = curves(epochs(12, measures))
    (figure,) = drawn
    titles = [axes.title for axes in figure.axes]
    assert [t.get_text().partition(",")[0] for t in titles] == [
        "loss",
        *(f"validation {name}" for name in measures),
    ]
    assert picture.width <= 1600
    texts = [t.get_window_extent() for t in titles]
    texts += [axes.xaxis.label.get_window_extent() for axes in figure.axes]
    assert all(t.x0 >= 0 and t.x1 <= picture.width and t.y0 >= 0 for t in texts)
    assert not any(a.overlaps(b) for n, a in enumerate(texts) for b in texts[:n])
    # The lines are drawn: both colours of the losses are there.
    colours = {tuple(c) for c in np.asarray(picture).reshape(-1, 3).tolist()}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= colours


def test_the_table_has_a_line_an_epoch():
    lines = io.StringIO(curves_csv(epochs(3, MEASURES[:1]))).readlines()
    assert [line.partition(",")[0] for line in lines] == ["epoch", "1", "2", "3"]
