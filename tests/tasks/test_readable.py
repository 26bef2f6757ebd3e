"""Pictures can be read at the width at which they are shown, and explain what they draw."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from hardy.explain.bars import gain_bars, operation_bars
from hardy.explain.curves import curves
from hardy.explain.drawing import titled
from hardy.explain.figure import DPI, brief
from hardy.explain.mask_panel import mask_panel
from hardy.explain.panels import Heat, gradcam_panel, view_grid
from hardy.explain.planes import PlaneRow, plane_grid, plane_panel
from hardy.tasks.classify.charts import confusion_picture, reliability_diagram
from hardy.tasks.classify.class_charts import class_deltas, class_panels
from hardy.tasks.segment.confusion import confusion_grid
from hardy.tasks.segment.pictures import iou_bars, segment_planes

SHOWN, LEAST = 700, 9
RNG = np.random.default_rng(0)
PHOTO = RNG.integers(256, size=(32, 32, 3)).astype(np.uint8)
NAMES = [f"class {n}, of a long name" for n in range(60)]
TITLE = "suites/memo-plus/vit,seed=3 · memo_plus · gaussian_noise-3"


def confusion(count: int) -> Image.Image:
    pairs = [(y, p) for y in range(count) for p in {y, 0, count - 1}]
    rows = [{"label": y, "prediction": p, "count": 1 + (7919 * y + p) % 2000} for y, p in pairs]
    return confusion_picture(rows, NAMES)


def classes() -> pd.DataFrame:
    table = pd.DataFrame({"class": NAMES, "samples": 10})
    table["before"], table["after"] = RNG.random((2, len(NAMES)))
    return table.assign(delta=table["after"] - table["before"])


def planes(answers: int) -> PlaneRow:
    said = {f"answer {n}": RNG.integers(3, size=(16, 16)) for n in range(answers)}
    colours = RNG.integers(256, size=(3, 3)).astype(np.uint8)
    return segment_planes(PHOTO[:16, :16], next(iter(said.values())), said, NAMES[:3], colours)


def overlaps() -> pd.DataFrame:
    each = [
        pd.DataFrame({"answer": a, "class": NAMES[:9], "pixels": 5, "iou": RNG.random(9)})
        for a in ("source", "memo")
    ]
    return pd.concat(each)


def gains() -> pd.DataFrame:
    low = [-0.1, 0.0]
    return pd.DataFrame({"run": ["a", "b"], "gain": [0.0, 0.1], "gain_low": low, "gain_high": 0.2})


EPOCHS = [{"train/loss": 1.0 / n, "validation/accuracy": 0.1 * n} for n in range(1, 9)]
HEATS = {f"after {n}": Heat(np.eye(8, dtype=np.float32), "hen", 0.5, n > 1) for n in range(3)}
PICTURES: dict[str, Callable[[], Image.Image]] = {
    "a matrix of few classes": lambda: confusion(4),
    "a matrix of 25 classes": lambda: confusion(25),
    "pairs of classes": lambda: confusion(26),
    "reliability": lambda: reliability_diagram(RNG.random(99), RNG.random(99) > 0.5),
    "classes": lambda: next(class_panels(classes(), {"before": "source", "after": "memo"})),
    "changes of classes": lambda: class_deltas(classes()),
    "gains": lambda: gain_bars(gains(), "accuracy", percent=True),
    "curves": lambda: curves(EPOCHS, ["accuracy"], 3),
    "overlaps": lambda: iou_bars(overlaps()),
    "a matrix of pixels": lambda: confusion_grid(RNG.integers(99, size=(20, 20)), NAMES, "memo"),
    "grad-cam": lambda: gradcam_panel(PHOTO, HEATS, "hen", "a.jpg"),
    "grad-cam of one": lambda: gradcam_panel(PHOTO, {"memo": HEATS["after 0"]}, "hen", "a.jpg"),
    "64 views": lambda: view_grid(np.stack([PHOTO] * 64), ["rotate 3"] * 64, {0}),
    "masks": lambda: mask_panel(PHOTO, np.ones((3, 32, 32), bool), (3, 3), PHOTO[None], "a.jpg"),
    "planes": lambda: plane_panel(planes(2), "a.jpg"),
    "rows of planes": lambda: plane_grid({"a": planes(4), "b": planes(4)}, "2 of 2 samples"),
}


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return what is filled with the heights in pixels of all text, as it is shown."""
    found: list[float] = []
    text, save = ImageDraw.ImageDraw.text, Figure.savefig

    def write(pen: ImageDraw.ImageDraw, corner: object, words: str, *rest: object) -> None:
        found.append(rest[-1].size * min(1, SHOWN / pen.im.size[0]))  # type: ignore[attr-defined]
        text(pen, corner, words, *rest)  # type: ignore[arg-type]

    def written(figure: Figure, *given: object, **more: object) -> None:
        save(figure, *given, **more)  # type: ignore[arg-type]
        scale = DPI / 72 * min(1, SHOWN / (DPI * figure.get_figwidth()))
        words = (each for each in figure.findobj(lambda a: hasattr(a, "get_fontproperties")))
        found.extend(
            each.get_fontproperties().get_size_in_points() * scale  # type: ignore[attr-defined]
            for each in words
            if each.get_visible() and getattr(each, "get_text", str)()
        )

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", write)
    monkeypatch.setattr(Figure, "savefig", written)
    return found


@pytest.mark.parametrize("name", PICTURES)
def test_text_is_large_enough_where_pictures_are_shown(name: str, sizes: list[float]) -> None:
    picture = PICTURES[name]()
    assert min(sizes) >= LEAST - 0.01
    sizes.clear()
    whole = titled(picture, TITLE)
    assert min(sizes) >= LEAST
    assert whole.width == picture.width
    assert (np.asarray(whole)[-picture.height :] == np.asarray(picture)).all()
    # Nothing is cut off at the right.
    assert (np.asarray(whole)[:, -3:] == 255).all()


def test_a_title_is_broken_and_stays_inside() -> None:
    title = " · ".join(["suites/a/very-long-name/of-a-member"] * 6)
    narrow = titled(Image.new("RGB", (300, 20), "red"), title)
    words = np.asarray(narrow)[: narrow.height - 20]
    assert words.min() < 200
    assert (words[:, -16:] == 255).all()
    assert narrow.height > titled(Image.new("RGB", (300, 20), "red"), "short").height


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (9999, "9999"), (10_000, "10k"), (999_999, "999k"), (12_345_678, "12M")],
)
def test_a_count_fits_a_cell(count: int, text: str) -> None:
    assert brief(count) == text


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Figure]]:
    """Return what is filled with the figures that are drawn, for a look at their parts."""
    figures: list[Figure] = []

    def keep(figure: Figure) -> Image.Image:
        figures.append(figure)
        return Image.new("RGB", (4, 4))

    for room in ("tasks.classify.charts", "explain.bars", "explain.curves"):
        monkeypatch.setattr(f"hardy.{room}.render", keep)
    return figures


def bars(figure: Figure, label: str) -> list[SimpleNamespace]:
    """Return the bars of a label that have a height."""
    found = [each for axes in figure.axes for each in axes.containers if each.get_label() == label]
    return [
        SimpleNamespace(bottom=p.get_y(), top=p.get_y() + p.get_height())
        for each in found
        for p in each.patches
        if p.get_height()
    ]


def test_pictures_name_the_answer_that_they_are_of(drawn: list[Figure]) -> None:
    reliability_diagram(np.array([0.75] * 4), np.array([True] * 4), "source")
    for count in (3, 26):
        rows = [{"label": n, "prediction": 0, "count": 1} for n in range(count)]
        confusion_picture(rows, NAMES, "memo")
    titles = [figure.axes[0].get_title() for figure in drawn]
    assert [title.partition(": ")[0] for title in titles] == ["source", "memo", "memo"]


def legend_of(figure: Figure) -> set[str]:
    (legend,) = figure.legends
    return {text.get_text().split(":")[0] for text in legend.get_texts()}


UNDER, OVER = "accuracy above confidence", "confidence above accuracy"


def test_an_under_confident_bin_shows_its_whole_accuracy(drawn: list[Figure]) -> None:
    confidence = np.array([0.5] * 4)
    reliability_diagram(confidence, np.array([True] * 3 + [False]))
    (figure,) = drawn
    (bar,) = bars(figure, "accuracy")
    assert (bar.bottom, bar.top) == (0, 0.75)
    (gap,) = bars(figure, f"{UNDER}:\nunder-confident by")
    assert (gap.bottom, gap.top) == pytest.approx((0.5, 0.75))
    assert legend_of(figure) == {"accuracy", UNDER, "mean confidence", "calibrated", "samples"}


def test_an_over_confident_bin_has_its_gap_above(drawn: list[Figure]) -> None:
    reliability_diagram(np.array([0.75] * 4), np.array([True, False, False, False]))
    (figure,) = drawn
    (gap,) = bars(figure, f"{OVER}:\nover-confident by")
    assert (gap.bottom, gap.top) == pytest.approx((0.25, 0.75))
    assert legend_of(figure) == {"accuracy", OVER, "mean confidence", "calibrated", "samples"}


def test_the_legend_is_beside_the_bars() -> None:
    figures: list[Figure] = []
    save = Figure.savefig
    with pytest.MonkeyPatch.context() as patched:

        def written(figure: Figure, *given: object, **more: object) -> None:
            figures.append(figure)
            save(figure, *given, **more)  # type: ignore[arg-type]

        patched.setattr(Figure, "savefig", written)
        reliability_diagram(RNG.random(99), RNG.random(99) > 0.5)
    (figure,) = figures
    (legend,) = figure.legends
    left = legend.get_window_extent().x0
    assert all(left >= axes.get_window_extent().x1 for axes in figure.axes)


def test_no_legend_names_what_is_not_drawn(drawn: list[Figure]) -> None:
    shares = {"operation": ["a", "b"], "share": [0.5, 0.5], "improved_share": [0.4, 0.6]}
    operation_bars(pd.DataFrame({**shares, "worsened_share": [0.0, 0.0]}))
    reliability_diagram(np.array([0.9, 0.9]), np.array([False, False]))
    curves([{"train/loss": 1.0, "validation/loss": float("nan")}], [], 1)
    operations, reliability, losses = drawn
    legend = operations.axes[0].get_legend()
    assert {t.get_text() for t in legend.get_texts()} == {"improved samples", "all samples"}
    assert "accuracy" not in legend_of(reliability)
    assert [t.get_text() for t in losses.axes[0].get_legend().get_texts()] == ["training"]


def test_a_mask_without_an_error_has_no_legend_for_one() -> None:
    mask = np.zeros((4, 4), int)
    found = segment_planes(PHOTO[:4, :4], mask, {"memo": mask}, ["pet"], np.zeros((1, 3), int))
    assert [name for name, _ in found.marks] == ["right"]
    wrong = segment_planes(PHOTO[:4, :4], mask, {"memo": mask + 1}, ["a", "b"], np.eye(2, 3) * 9)
    assert [name for name, _ in wrong.marks] == ["wrong"]
