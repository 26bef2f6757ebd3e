"""What a served mask's row and files hold, against masks written out by hand."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from hardy.explain.drawing import GROUND
from hardy.explain.planes import label_colours
from hardy.tasks.segment import serving
from hardy.tasks.segment.runs import filled, runs

CLASSES, NOTHING = (("ground", 0), ("tree", 2), ("sky", 255), ("sea", 7)), 1
MASK = np.array([[0, 1, 255, 2], [2, 2, 255, 1], [255, 255, 1, 2]], np.uint8)


def row_of(mask, form):
    params = {"format": form, "window": "whole"}
    return serving.row_of(mask, CLASSES, NOTHING, entropy=0.25, params=params)


@pytest.mark.parametrize("form", ["png", "rle"])
def test_shares_are_of_what_is_of_a_class_the_largest_first(form):
    row = row_of(MASK, form)
    shares = [("tree", 2, 4 / 9), ("sky", 255, 4 / 9), ("ground", 0, 1 / 9), ("sea", 7, 0.0)]
    assert [(each["name"], each["label"], each["share"]) for each in row["shares"]] == shares
    assert (row["height"], row["width"], row["entropy"], row["window"]) == (3, 4, 0.25, "whole")
    assert set(row) == set(serving.RETURNS)


def test_runs_are_of_the_classes_that_are_there():
    row = row_of(MASK, "rle")
    assert row["mask"] == ""
    assert row["runs"] == [  # column by column, those that are not of the class first
        {"name": "tree", "label": 2, "size": [3, 4], "counts": [1, 1, 2, 1, 4, 1, 1, 1]},
        {"name": "sky", "label": 255, "size": [3, 4], "counts": [2, 1, 2, 3, 4]},
        {"name": "ground", "label": 0, "size": [3, 4], "counts": [0, 1, 11]},
    ]


def test_a_picture_of_the_mask_has_its_labels_and_colours():
    row = row_of(MASK, "png")
    image = Image.open(io.BytesIO(base64.b64decode(row["mask"])))
    np.testing.assert_array_equal(image, MASK)
    assert row["runs"] == []
    wanted = label_colours()[MASK]
    wanted[MASK == NOTHING] = GROUND
    np.testing.assert_array_equal(image.convert("RGB"), wanted)


@pytest.mark.parametrize("form", ["png", "rle"])
def test_the_overlay_is_of_the_mask_and_its_legend_of_what_is_there(monkeypatch, form):
    given = []

    def overlay(image, mask, named):
        given.append((np.array(mask), named))
        return image

    monkeypatch.setattr(serving, "overlay", overlay)
    serving.files_of(row_of(MASK, form), Image.new("RGB", (4, 3)), NOTHING)
    ((mask, named),) = given
    np.testing.assert_array_equal(mask, MASK)
    colours = label_colours()
    shares = [("tree  44.4 %", 2), ("sky  44.4 %", 255), ("ground  11.1 %", 0)]
    assert named == [(words, n, tuple(colours[n].tolist())) for words, n in shares]


@pytest.mark.parametrize("form", ["png", "rle"])
def test_where_nothing_was_seen_no_class_has_a_share(form):
    row = row_of(np.full((2, 3), NOTHING, np.uint8), form)
    assert [each["share"] for each in row["shares"]] == [0.0] * 4
    assert row["runs"] == []
    assert "overlay.png" in serving.files_of(row, Image.new("RGB", (3, 2)), NOTHING)


def test_a_single_pixel_is_all_of_its_class():
    row = row_of(np.array([[7, NOTHING]], np.uint8), "rle")
    assert [each["share"] for each in row["shares"]] == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("mask", "lengths"),
    [
        ([[0, 0], [0, 0]], [4]),
        ([[1, 1], [1, 1]], [0, 4]),
        ([[0, 1], [0, 1]], [2, 2]),
        ([[1, 0], [0, 0]], [0, 1, 3]),
        ([[0, 0], [0, 1]], [3, 1]),
        ([[1]], [0, 1]),
    ],
)
def test_runs_begin_with_what_is_not_of_the_class(mask, lengths):
    plane = np.array(mask, bool)
    assert runs(plane) == lengths
    np.testing.assert_array_equal(filled(lengths, *plane.shape), plane)
