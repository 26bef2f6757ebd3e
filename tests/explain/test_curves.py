import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from hardy.explain import curves as module
from hardy.explain.curves import curves

EPOCH = {
    "train/loss": 0.9,
    "train/gradient_norm": 2.0,
    "train/samples_per_second": 100.0,
    "train/waiting": 0.25,
    "learning_rate": 1e-3,
    "validation/loss": 0.8,
    "validation/accuracy": 0.5,
    "validation/top5": 0.75,
    "validation/nll": 0.8,
    "validation/ece": 0.125,
    "validation/entropy": 1.0,
    "validation/confidence": 0.5,
}
SHOWN = ("accuracy", "top5", "ece")


@pytest.fixture
def drawn(monkeypatch):
    """Return the panels of a training: their titles, and the lines in each."""

    def draw(epochs, kept):
        figures: list[Figure] = []
        monkeypatch.setattr(module, "render", figures.append)
        curves(epochs, SHOWN, kept)
        (figure,) = figures
        return figure

    return draw


def panels(figure):
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def lines(axes):
    """Return the curves by their labels, without the mark of the epoch."""
    found = [line for line in axes.lines if line.get_linestyle() == "-"]
    return {line.get_label(): list(line.get_ydata()) for line in found}


def test_a_panel_a_question_and_not_a_panel_a_measure(drawn):
    epochs = [{name: value / n for name, value in EPOCH.items()} for n in (1, 2, 4)]
    figure = drawn(epochs, 2)
    found = panels(figure)
    assert list(found) == [
        "loss: 0.4",
        "validation accuracy: 0.25",
        "other validation metrics",
        "learning rate: 0.0005",
        "gradient norm: 1",
        "speed",
    ]
    loss, accuracy, others, _, _, speed = found.values()
    assert lines(loss) == {"training": [0.9, 0.45, 0.225], "validation": [0.8, 0.4, 0.2]}
    assert list(*lines(accuracy).values()) == [0.5, 0.25, 0.125]
    assert list(lines(others)) == ["top5: 0.375", "ece: 0.0625"]
    (waiting,) = (axes for axes in figure.axes if axes not in found.values())
    assert list(*lines(waiting).values()) == [0.25, 0.125, 0.0625]
    assert list(*lines(speed).values()) == [100, 50, 25]
    # The epoch that was kept is marked in each, and told.
    for axes in found.values():
        (mark,) = (line for line in axes.lines if line.get_linestyle() == "--")
        assert list(mark.get_xdata()) == [2, 2]
    assert "epoch 2 of 3" in figure.get_suptitle()


def test_what_an_epoch_has_not_is_left_out(drawn):
    figure = drawn([{"train/loss": math.inf, "learning_rate": 0.1}], 1)
    assert list(panels(figure)) == ["loss: inf", "learning rate: 0.1"]
    assert math.isnan(*lines(figure.axes[0])["training"])


@pytest.mark.parametrize("count", [1, 500])
def test_it_is_a_picture_that_a_browser_shows_whole(count):
    picture = curves([EPOCH] * count, SHOWN, count)
    assert picture.width <= 1000
    assert picture.height * 700 / picture.width <= 850
    pixels = np.asarray(picture)
    assert (pixels[:, :5] == 255).all()
    assert (pixels[:, -5:] == 255).all()
