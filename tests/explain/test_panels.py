import numpy as np
import pytest
from PIL import Image

from hardy.explain.drawing import ACCENT, GAP, GROUND, RIGHT, WRONG, fit, font, tile, wrap
from hardy.explain.panels import Heat, gradcam_panel, overlay, view_grid

S = 32
TILE, TOP = 300, 84


def photograph() -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(S, S, 3)).astype(np.uint8)


def heat(correct: bool, *, name: str = "hen", corner: int = 0) -> Heat:
    cam = np.zeros((S, S), np.float32)
    cam[corner : corner + 8, corner : corner + 8] = 1
    return Heat(cam, name, 0.25, correct)


def holds(picture: Image.Image, colour: tuple[int, int, int], box: tuple[int, ...]) -> bool:
    return bool((np.asarray(picture.crop(box)) == colour).all(axis=-1).any())


def under(column: int) -> tuple[int, int, int, int]:
    left = GAP + column * (TILE + GAP)
    return left, TOP + TILE, left + TILE, TOP + TILE + 40


def test_verdicts_are_coloured_under_their_own_tile() -> None:
    heats = {"before": heat(False), "after memo": heat(True), "after memo_plus": heat(False)}
    picture = gradcam_panel(photograph(), heats, "hen", "a.jpg")
    assert picture.size == (1280, 456)
    for column, colours in enumerate([set(), {WRONG}, {RIGHT}, {WRONG}]):
        found = {c for c in (RIGHT, WRONG) if holds(picture, c, under(column))}
        assert found == colours


def test_the_original_is_shown_unchanged() -> None:
    image = photograph()
    picture = gradcam_panel(image, {"before": heat(False), "after": heat(True)}, "hen", "a.jpg")
    shown = picture.crop((GAP, TOP, GAP + TILE, TOP + TILE)).resize((S, S), Image.NEAREST)
    assert (np.asarray(shown) == image).all()


def test_long_texts_stay_inside_the_picture() -> None:
    long = "sulphur-crested cockatoo, Kakatoe galerita, Cacatua galerita " * 4
    heats = {"before": heat(True, name=long), "after": heat(True, name=long)}
    picture = gradcam_panel(photograph(), heats, long, long)
    pixels = np.asarray(picture)
    assert (pixels[:, -GAP:] == 255).all()
    gaps = pixels[TOP + TILE : TOP + TILE + 40, GAP + TILE : 2 * GAP + TILE]
    assert (gaps == 255).all()


def test_the_overlay_is_brightest_where_the_evidence_is() -> None:
    grey = np.full((S, S, 3), 128, np.uint8)
    lit = np.asarray(overlay(grey, heat(True, corner=24).map, 128).convert("L"), int)
    row, column = np.unravel_index(lit.argmax(), lit.shape)
    assert min(row, column) >= 96
    # The map of another resolution is scaled alike.
    small = overlay(grey, heat(True, corner=24).map[::4, ::4], 128)
    assert np.asarray(small).shape == (128, 128, 3)


def test_without_evidence_a_third_of_an_overlay_is_dark_blue() -> None:
    """0.35 of the lowest colour of viridis, (68, 1, 84), and the rest of the grey."""
    picture = overlay(np.full((S, S, 3), 200, np.uint8), np.zeros((S, S)), S)
    expected = 0.65 * 200 + 0.35 * np.array([68, 1, 84])
    assert np.abs(np.asarray(picture) - expected).max() <= 1


@pytest.mark.parametrize("count", [1, 2, 17, 64, 128])
def test_view_grids_fit_and_frame_the_selected(count: int) -> None:
    views = np.full((count, S, S, 3), 128, np.uint8)
    chosen = {count - 1}
    picture = view_grid(views, ["posterize 3 → rotate −12"] * count, chosen)
    assert picture.width <= 1000
    assert (np.asarray(picture)[:, -GAP + 4 :] == 255).all()
    framed = (np.asarray(picture) == ACCENT).all(axis=-1)
    rows, columns = framed.any(axis=1).nonzero()[0], framed.any(axis=0).nonzero()[0]
    # One square frame, with the last view's grey inside its four pixels.
    assert np.ptp(rows) == np.ptp(columns) == len(rows) - 1
    inside = np.asarray(picture)[rows[0] + 4 : rows[-1] - 3, columns[0] + 4 : columns[-1] - 3]
    assert (inside == 128).all()


def test_no_selection_frames_nothing() -> None:
    picture = view_grid(np.full((4, S, S, 3), 128, np.uint8), ["a"] * 4, set())
    assert not (np.asarray(picture) == ACCENT).all(axis=-1).any()


def test_fit_cuts_only_what_is_too_wide() -> None:
    face = font(13)
    assert fit("short", face, 100) == "short"
    cut = fit("a text that is much too wide", face, 100)
    assert cut.endswith("…")
    assert face.getlength(cut) <= 100 < face.getlength(cut[:-1] + "xx…")


def test_wrap_breaks_at_blanks_and_cuts_the_rest() -> None:
    face = font(13)
    lines = wrap("posterize three rotate twelve shear two", face, 110, 2)
    assert lines[0] == "posterize three"
    assert lines[1].startswith("rotate twelve")
    assert lines[1].endswith("…")
    assert all(face.getlength(line) <= 110 for line in lines)
    assert wrap("one", face, 110, 2) == ["one"]
    assert wrap("", face, 110, 2) == []


def test_an_oblong_sample_keeps_its_ratio_on_a_ground() -> None:
    black, cam = np.zeros((S // 2, S, 3), np.uint8), np.zeros((S // 2, S), np.float32)
    cam[:, S // 2 :] = 1
    for picture in (tile(black, 64), overlay(black, cam, 64)):
        pixels = np.asarray(picture)
        assert pixels.shape == (64, 64, 3)
        ground = (pixels == GROUND).all(-1)
        assert ground[:16].all()
        assert ground[48:].all()
        assert not ground[16:48].any()
    left, right = np.asarray(overlay(black, cam, 64))[16:48].reshape(32, 2, 32, 3).mean((0, 2, 3))
    assert right > left + 20


def test_the_scale_fits_beside_one_answer_too() -> None:
    for count in (1, 2):
        heats = {str(n): heat(True) for n in range(count)}
        picture = gradcam_panel(photograph(), heats, "hen", "a.jpg")
        scale = np.asarray(picture)[TOP + TILE + 40 :]
        assert (scale[:, -GAP:] == 255).all()
        assert (scale[..., 0].astype(int) - scale[..., 2] > 100).any()  # up to its bright end
