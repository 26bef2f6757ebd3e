import numpy as np
import pytest

from hardy.explain.drawing import WHITE
from hardy.explain.mask_panel import mask_panel, outlined

GREY = np.full((40, 60, 3), 128, np.uint8)


def mask(left, top, right, bottom):
    found = np.zeros((40, 60), bool)
    found[top:bottom, left:right] = True
    return found


def test_outlines_run_inside_the_masks_edges():
    masks = mask(10, 10, 40, 30)[None]
    pixels = np.asarray(outlined(GREY, masks, None, 60))[10:50].astype(int)  # 60 x 40, centred
    coloured = np.ptp(pixels, axis=-1) > 50
    expected = mask(10, 10, 40, 30) & ~mask(13, 13, 37, 27)
    assert (coloured == expected).all()


def test_a_mask_at_the_images_side_is_closed_there():
    pixels = np.asarray(outlined(GREY, mask(0, 0, 60, 40)[None], None, 60))[10:50].astype(int)
    coloured = np.ptp(pixels, axis=-1) > 50
    assert (coloured == (mask(0, 0, 60, 40) & ~mask(3, 3, 57, 37))).all()


def test_the_point_stands_at_its_place():
    # Twice as large, with 40 rows of background above.
    picture = np.asarray(outlined(GREY, np.zeros((0, 40, 60), bool), (40, 10), 120))
    rows, columns = (picture == WHITE).all(axis=-1).nonzero()
    assert columns.mean() == pytest.approx(81, abs=1)
    assert rows.mean() == pytest.approx(20 + 21, abs=1)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 10])
def test_panels_hold_every_masked_image(count):
    masks = np.repeat(mask(5, 5, 30, 30)[None], count, axis=0)
    images = np.full((count, 16, 16, 3), 77, np.uint8)
    picture = np.asarray(mask_panel(GREY, masks, (3, 4), images, "a.jpg"))
    assert picture.shape[1] <= 1232
    assert (picture[:, -8:] == 255).all()
    side, band = 288, 5  # a band of the outline's colour lies over each
    assert (picture == 77).all(axis=-1).sum() == count * side * (side - band)


def test_images_of_other_views_are_drawn_without_a_mask_of_their_own():
    images = np.full((3, 16, 16, 3), 77, np.uint8)
    picture = np.asarray(mask_panel(GREY, mask(5, 5, 30, 30)[None], None, images, "a.jpg"))
    assert (picture == 77).all(axis=-1).sum() == 288 * (3 * 288 - 5)
