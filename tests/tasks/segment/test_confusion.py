"""What is drawn of the confusion of pixels: shares, numbers and names, cell by cell."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from hardy.explain.figure import INK
from hardy.tasks.build import build_task
from hardy.tasks.segment import confusion
from hardy.tasks.segment.spec import SegmentSpec
from tests.tasks.segment.test_task import records

CELLS = np.array([[8, 2, 0, 0], [0, 0, 0, 0], [9, 0, 11, 0], [0, 0, 0, 0]])
NAMES = ("ground", "tree", "sky", "nowhere")


@pytest.fixture
def drawn(monkeypatch):
    """Return what draws: it gives the axes of the picture."""
    monkeypatch.setattr(confusion, "render", lambda figure: figure)
    return lambda cells, names: confusion.confusion_grid(cells, names, "memo").axes


def test_each_cell_has_its_share_of_the_true_class(drawn):
    axes, bar = drawn(CELLS, NAMES)
    (image,) = axes.images
    # What is neither true nor said anywhere is left out; what is only said has no shares.
    wanted = [[0.8, 0.2, 0], [0, 0, 0], [0.45, 0, 0.55]]
    np.testing.assert_allclose(image.get_array(), wanted)
    assert image.get_clim() == (0, 1)
    for axis in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in axis] == list(NAMES[:3])
    assert [label.get_position()[0] for label in axes.get_xticklabels()] == [0, 1, 2]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("memo says", "truth")
    assert axes.get_title() == "63.3 % of 30 pixels right"
    assert bar.get_xlabel() == "share of the class's pixels"


def test_cells_with_pixels_have_numbers_that_can_be_read(drawn):
    axes, _ = drawn(CELLS, NAMES)
    found = {t.get_position(): (t.get_text(), to_hex(t.get_color())) for t in axes.texts}
    ink = INK.lower()
    assert found == {  # by column and row
        (0, 0): ("80", "#ffffff"),
        (1, 0): ("20", ink),
        (0, 2): ("45", ink),
        (2, 2): ("55", ink),
    }


@pytest.mark.parametrize(("count", "written"), [(24, 24), (25, 0)])
def test_many_classes_have_no_room_for_numbers(drawn, count, written):
    names = [f"class {n}" for n in range(count)]
    axes, _ = drawn(3 * np.eye(count, dtype=int), names)
    assert len(axes.texts) == written


@pytest.mark.parametrize("count", [2, 12, 24])
def test_numbers_fit_into_their_cells(monkeypatch, count):
    figures = []
    monkeypatch.setattr(confusion, "render", figures.append)
    confusion.confusion_grid(3 * np.eye(count, dtype=int), [f"c{n}" for n in range(count)], "memo")
    (figure,) = figures
    figure.draw_without_rendering()
    axes = figure.axes[0]
    cell = axes.transData.transform([[0, 0], [1, 1]])
    across, down = np.abs(cell[1] - cell[0])
    boxes = [text.get_window_extent() for text in axes.texts]
    assert all(box.width < across and box.height < down for box in boxes)
    assert across == pytest.approx(down)
    assert across * count > 0.6 * axes.figure.get_size_inches().max() * 100
    assert axes.figure.get_size_inches().max() <= 8.2  # so that the pages show it hardly reduced


def test_where_no_pixel_counts_there_is_no_confusion():
    task = build_task(SegmentSpec(), ("ground", "void", "tree"), void=1)
    frame = records(np.ones((2, 6, 6), int), task.answer(torch.randn(2, 2, 6, 6)), task=task)
    report = dict(task.report(frame, "source", None))
    assert {"report/classes.csv", "report/iou.png", "report/metrics.csv"} == set(report)


def test_a_table_has_a_row_for_each_pair_with_pixels_of_each_answer():
    table = confusion.confusion_table({"source": CELLS, "memo": CELLS.T}, NAMES)
    assert [tuple(row) for row in table.itertuples(index=False)] == [
        ("source", "ground", "ground", 8, 0.8),
        ("source", "ground", "tree", 2, 0.2),
        ("source", "sky", "ground", 9, 0.45),
        ("source", "sky", "sky", 11, 0.55),
        ("memo", "ground", "ground", 8, 8 / 17),
        ("memo", "ground", "sky", 9, 9 / 17),
        ("memo", "tree", "ground", 2, 1.0),
        ("memo", "sky", "sky", 11, 1.0),
    ]
