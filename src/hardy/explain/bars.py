"""Pictures of what an adaptation changed: by class, by operation, by run of a matrix."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from hardy.tasks.classify.charts import BLUE, DPI, INK, ORANGE, render, short

_PANEL = 50
_PANELS = 4
_BARS = 40
_GREY = "#868e96"
_SIZE, _WEIGHT = 13, "bold"


def class_panels(table: pd.DataFrame, before: str, after: str) -> Iterator[Image.Image]:
    """Draw accuracy by class, before and after, in panels of 50 classes, four to a picture.

    Args:
        table: As `measure.changes.class_changes` gives it.
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
            fontsize=_SIZE,
            fontweight=_WEIGHT,
        )
        yield render(figure)


def _class_panel(axes: Axes, part: pd.DataFrame, before: str, after: str) -> None:
    places = np.arange(len(part))
    axes.vlines(places, part["before"], part["after"], color=_GREY, linewidth=1)
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
        table: As `measure.changes.class_changes` gives it.

    Returns:
        RGB, at most 1600 pixels wide.
    """
    changed = table[table["delta"] != 0]
    largest = changed.reindex(changed["delta"].abs().sort_values(ascending=False).index)[:_BARS]
    shown = largest.sort_values("delta", ascending=False, kind="stable")
    figure, axes = _bars(len(shown))
    colours = [BLUE if delta > 0 else ORANGE for delta in shown["delta"]]
    bars = axes.barh(range(len(shown)), 100 * shown["delta"], color=colours)
    texts = [
        f"{100 * delta:+.1f}  (n = {n})"
        for delta, n in zip(shown["delta"], shown["samples"], strict=True)
    ]
    axes.bar_label(bars, texts, padding=4, fontsize=9)
    _finish(axes, [short(name) for name in shown["class"]], "change of accuracy (points)")
    title = f"Change by class: {len(shown)} of {len(changed)} that changed, {len(table)} in all"
    axes.set_title(title, fontsize=_SIZE, fontweight=_WEIGHT)
    return render(figure)


def operation_bars(table: pd.DataFrame) -> Image.Image:
    """Draw each operation's share of the views among improved and worsened samples.

    A stroke marks its share among all samples, which is what chance gives.

    Args:
        table: As `measure.operations.operation_rows` gives it.

    Returns:
        RGB, at most 1600 pixels wide.
    """
    order = table["improved_share"].fillna(0) - table["worsened_share"].fillna(0)
    shown = table.reindex(order.sort_values(ascending=False, kind="stable").index)
    places = np.arange(len(shown))
    figure, axes = _bars(len(shown), tall=0.42)
    for group, shift, colour in (("improved", -0.19, BLUE), ("worsened", 0.19, ORANGE)):
        shares = 100 * shown[f"{group}_share"].fillna(0)
        axes.barh(places + shift, shares, 0.36, color=colour, label=f"{group} samples")
    base = 100 * shown["share"]
    axes.vlines(base, places - 0.42, places + 0.42, color=INK, linewidth=2, label="all samples")
    _finish(axes, list(shown["operation"]), "share of the views (%)")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=9)
    axes.set_title(
        "Operations among improved and worsened samples", fontsize=_SIZE, fontweight=_WEIGHT
    )
    return render(figure)


def gain_bars(table: pd.DataFrame) -> Image.Image:
    """Draw what each run of a matrix gained, with its 95 % interval.

    Args:
        table: As `measure.gains.gain_rows` gives it.

    Returns:
        RGB, at most 1600 pixels wide.
    """
    figure, axes = _bars(len(table))
    gain = 100 * table["gain"].to_numpy()
    reach = 100 * np.stack([table["gain"] - table["gain_low"], table["gain_high"] - table["gain"]])
    colours = [BLUE if value >= 0 else ORANGE for value in gain]
    axes.barh(range(len(table)), gain, xerr=reach.clip(0), color=colours, ecolor=INK, capsize=3)
    _finish(axes, [short(name) for name in table["run"]], "gain in accuracy (points)")
    axes.set_title(
        "Gain over the source model, with its 95 % interval", fontsize=_SIZE, fontweight=_WEIGHT
    )
    return render(figure)


def _bars(count: int, *, tall: float = 0.32) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(11, 1.6 + tall * max(count, 3)), dpi=DPI, layout="constrained")
    return figure, figure.add_subplot()


def _finish(axes: Axes, names: list[str], label: str) -> None:
    axes.set_yticks(range(len(names)), names, fontsize=10, parse_math=False)
    axes.invert_yaxis()
    axes.axvline(0, color=INK, linewidth=1)
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(label)
