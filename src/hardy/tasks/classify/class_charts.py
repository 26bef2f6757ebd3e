"""Pictures of accuracies class by class: of one answer, of several, and what changed."""

import math
from collections.abc import Iterator, Mapping

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
_LOOKS = ((ORANGE, "o", 5), (BLUE, "D", 4), ("#009E73", "s", 4), ("#CC79A7", "^", 5))
"""Colour, marker and its size of each answer: Okabe and Ito's, told apart by the colour-blind."""


def class_panels(table: pd.DataFrame, shown: Mapping[str, str]) -> Iterator[Image.Image]:
    """Draw accuracy by class, in panels of 50 classes, four to a picture.

    Args:
        table: A row a class: `class`, and a column of accuracies in [0, 1] for each answer.
        shown: What is drawn: names for the legend by columns of the table, at most four.

    Yields:
        RGB pictures, at most 1000 pixels wide.
    """
    size = _PANEL * _PANELS
    for start in range(0, len(table), size):
        part = table.iloc[start : start + size]
        panels = math.ceil(len(part) / _PANEL)
        width = min(9.5, 3.5 + 0.24 * min(len(part), _PANEL))
        figure = Figure(figsize=(width, 0.8 + 4.8 * panels), dpi=DPI, layout="constrained")
        for index, axes in enumerate(np.atleast_1d(figure.subplots(panels, 1))):
            _class_panel(axes, part.iloc[index * _PANEL : (index + 1) * _PANEL], shown)
        text = f"Accuracy by class ({len(table)} classes)"
        figure.suptitle(text, fontsize=13, fontweight="bold")
        # Once, below all: inside a panel it would hide classes.
        handles, labels = figure.axes[0].get_legend_handles_labels()
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
        for text_ in legend.get_texts():
            text_.set_parse_math(False)
        yield render(figure)


def _class_panel(axes: Axes, part: pd.DataFrame, shown: Mapping[str, str]) -> None:
    places = np.arange(len(part))
    values = part[list(shown)].to_numpy()
    low = values.min(1) if len(shown) > 1 else 0
    axes.vlines(places, low, values.max(1), color=GREY, linewidth=1)
    looks = _LOOKS if len(shown) > 1 else _LOOKS[1:]
    for (column, label), (colour, mark, point) in zip(shown.items(), looks, strict=False):
        axes.plot(places, part[column], mark, color=colour, markersize=point, label=label)
    names = [short(name) for name in part["class"]]
    axes.set_xticks(places, names, rotation=90, fontsize=8, parse_math=False)
    axes.set(ylabel="accuracy", ylim=(-0.04, 1.04), xlim=(-0.8, max(1, len(part)) - 0.2))
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def class_deltas(table: pd.DataFrame) -> Image.Image:
    """Draw the classes whose accuracy changed most, at most 40, as bars.

    Args:
        table: As `changes.class_changes` gives it.

    Returns:
        RGB, at most 1000 pixels wide.
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
