"""Pictures of what an adaptation changed, class by class."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from hardy.explain.figure import (
    BLUE,
    DPI,
    GREY,
    ORANGE,
    bar_figure,
    finish_bars,
    headline,
    render,
    short,
)

_PANEL = 50
_PANELS = 4
_BARS = 40


def class_panels(table: pd.DataFrame, before: str, after: str) -> Iterator[Image.Image]:
    """Draw accuracy by class, before and after, in panels of 50 classes, four to a picture.

    Args:
        table: As `changes.class_changes` gives it.
        before: Name of the first answer, for the legend.
        after: Name of the second answer.

    Yields:
        RGB pictures, at most 1600 pixels wide.
    """
    size = _PANEL * _PANELS
    for start in range(0, len(table), size):
        part = table.iloc[start : start + size]
        panels = math.ceil(len(part) / _PANEL)
        width = min(15.0, 3.5 + 0.24 * min(len(part), _PANEL))
        figure = Figure(figsize=(width, 0.4 + 4.4 * panels), dpi=DPI, layout="constrained")
        for index, axes in enumerate(np.atleast_1d(figure.subplots(panels, 1))):
            _class_panel(axes, part.iloc[index * _PANEL : (index + 1) * _PANEL], before, after)
        figure.suptitle(
            f"Accuracy by class, before and after ({len(table)} classes)",
            fontsize=13,
            fontweight="bold",
        )
        yield render(figure)


def _class_panel(axes: Axes, part: pd.DataFrame, before: str, after: str) -> None:
    places = np.arange(len(part))
    axes.vlines(places, part["before"], part["after"], color=GREY, linewidth=1)
    axes.plot(places, part["before"], "o", color=ORANGE, markersize=5, label=before)
    axes.plot(places, part["after"], "D", color=BLUE, markersize=4, label=after)
    names = [short(name) for name in part["class"]]
    axes.set_xticks(places, names, rotation=90, fontsize=8, parse_math=False)
    axes.set(ylabel="accuracy", ylim=(-0.04, 1.04), xlim=(-0.8, max(1, len(part)) - 0.2))
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    # Above the panel: inside it, it would hide classes.
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize=8, ncols=2)


def class_deltas(table: pd.DataFrame) -> Image.Image:
    """Draw the classes whose accuracy changed most, at most 40, as bars.

    Args:
        table: As `changes.class_changes` gives it.

    Returns:
        RGB, at most 1600 pixels wide.
    """
    changed = table[table["delta"] != 0]
    largest = changed.reindex(changed["delta"].abs().sort_values(ascending=False).index)[:_BARS]
    shown = largest.sort_values("delta", ascending=False, kind="stable")
    figure, axes = bar_figure(len(shown))
    colours = [BLUE if delta > 0 else ORANGE for delta in shown["delta"]]
    bars = axes.barh(range(len(shown)), 100 * shown["delta"], color=colours)
    texts = [
        f"{100 * delta:+.1f}  (n = {n})"
        for delta, n in zip(shown["delta"], shown["samples"], strict=True)
    ]
    axes.bar_label(bars, texts, padding=4, fontsize=9)
    finish_bars(axes, [short(name) for name in shown["class"]], "change of accuracy (points)")
    title = f"Change by class: {len(shown)} of {len(changed)} that changed, {len(table)} in all"
    headline(axes, title)
    return render(figure)
