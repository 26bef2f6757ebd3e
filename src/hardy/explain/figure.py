"""What all figures share: colours, names that fit, bars, and the way to a picture."""

from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from hardy.explain.drawing import legible

DPI = 100
BLUE, ORANGE, INK, GREY = "#0072B2", "#D55E00", "#212529", "#868e96"
_NAME = 28


def short(name: str) -> str:
    """Return a name, cut with an ellipsis where it is long."""
    return name if len(name) <= _NAME else name[: _NAME - 1].rstrip(" ,") + "…"


def brief(count: int) -> str:
    """Return a count in at most four letters, for a cell: 12345 is `12k`."""
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if count >= 10 * size or (size > 1000 and count >= size):
            return f"{count // size}{letter}"
    return str(count)


def headline(axes: Axes, text: str) -> None:
    """Write a title above axes."""
    axes.set_title(text, fontsize=13, fontweight="bold")


def bar_figure(count: int, *, tall: float = 0.32) -> tuple[Figure, Axes]:
    """Return a figure for lying bars, `tall` inches for each of them."""
    figure = Figure(figsize=(9, 1.6 + tall * max(count, 3)), dpi=DPI, layout="constrained")
    return figure, figure.add_subplot()


def finish_bars(axes: Axes, names: list[str], label: str) -> None:
    """Name lying bars from the top down, with a line at 0 and the unit below."""
    axes.set_yticks(range(len(names)), names, fontsize=10, parse_math=False)
    axes.invert_yaxis()
    axes.axvline(0, color=INK, linewidth=1)
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(label)


def render(figure: Figure) -> Image.Image:
    """Return a figure as an RGB picture, whose text can be read where MLflow's pages show it."""
    _raise_text(figure)
    # Through the figure itself: pyplot would keep it, and choose a backend, for the whole process.
    buffer = BytesIO()
    # "tight" keeps long class names, which the layout engine may push over the edge.
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.15)
    return Image.open(buffer).convert("RGB")


def _raise_text(figure: Figure) -> None:
    """Raise all text that is too small once a picture is as narrow as it is shown."""
    least = legible(0, round(figure.get_figwidth() * DPI)) * 72 / DPI  # in points
    for axes in figure.axes:
        for axis in filter(None, (axes.xaxis, axes.yaxis, getattr(axes, "zaxis", None))):
            if axis.get_major_ticks(1)[0].label1.get_fontproperties().get_size_in_points() < least:
                axis.set_tick_params(labelsize=least)
    for text in figure.findobj(Text):
        if text.get_fontproperties().get_size_in_points() < least:
            text.set_fontsize(least)
