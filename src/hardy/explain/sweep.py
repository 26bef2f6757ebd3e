"""A sweep as a picture: a metric against a numeric axis, a line a setting, with intervals."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from hardy.explain.figure import DPI, GREY, headline, render

# Okabe and Ito's, which the colour-blind tell apart, each with a marker of its own.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
_STYLES = ("-", "-.", ":")
_MOST_MARKERS = 16
_LONGEST = 80
_BANDS = 8
"""Lines that have their intervals as bands; more would hide each other."""
_HALF = 30
"""Letters of a name that leave room for two columns of names."""
_MOST_LINES = 14
"""Where there are more lines, those of what others are compared with are left to the table."""


def sweep_picture(table: pd.DataFrame, about: str, what: str, *, percent: bool) -> Image.Image:
    """Draw a metric against an axis, its 95 % intervals as bands, baselines dashed.

    Args:
        table: As `results.sweep.Sweep` has it.
        about: What the axis' values are.
        what: The metric.
        percent: Whether it is a share, and so shown in %.

    Returns:
        RGB, 1000 pixels wide and more where names are long.
    """
    figure = Figure(figsize=(10, 5.6), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    scale = 100 if percent else 1
    names = list(dict.fromkeys(table["line"][~table["baseline"]]))
    if len(table[["line", "answer"]].drop_duplicates()) > _MOST_LINES:
        table = table[~table["baseline"]]
    groups = list(table.groupby(["line", "answer"], sort=False))
    for (name, answer), own in groups:
        _line(axes, own, _label(str(name), str(answer), own, scale), names, scale, len(groups))
    axes.set_xlabel(about, fontsize=11, parse_math=False)
    axes.set_ylabel(f"{what} (%)" if percent else what, fontsize=11)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    longest = max(len(str(name)) for (name, _), _ in groups)
    # Below the axes, where long names take nothing of their width.
    legend = figure.legend(
        loc="outside lower center",
        ncols=1 if len(groups) < 3 or longest > _HALF else 2,
        frameon=False,
        fontsize=10,
        title="mean over the axis (area / range), with its 95 % interval",
        title_fontsize=10,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    headline(axes, f"{what}, with its 95 % interval")
    return render(figure)


def _label(name: str, answer: str, own: pd.DataFrame, scale: float) -> str:
    baseline = bool(own["baseline"].iloc[0])
    name = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
    told = name if name and not baseline else ", ".join(filter(None, (name, answer)))
    area, low, high = (scale * own[key].iloc[0] for key in ("auc", "auc_low", "auc_high"))
    digits = ".1f" if scale == 100 else ".4g"
    ends = f" [{low:{digits}}, {high:{digits}}]" if np.isfinite(low) else ""
    return f"{told}: {area:{digits}}{ends}"


def _line(
    axes: Axes, own: pd.DataFrame, label: str, names: list[str], scale: float, lines: int
) -> None:
    name, baseline = own["line"].iloc[0], bool(own["baseline"].iloc[0])
    place = names.index(name) if name in names else None
    colour = GREY if place is None else _COLOURS[place % len(_COLOURS)]
    style = _STYLES[(place or 0) // len(_COLOURS) % len(_STYLES)]
    low, level, high = (scale * own[key] for key in ("low", "level", "high"))
    every = -(-len(own) // _MOST_MARKERS)
    axes.plot(
        own["value"],
        level,
        color=colour,
        linestyle="--" if baseline else style,
        marker=_MARKERS[(place or 0) % len(_MARKERS)],
        markerfacecolor="white" if baseline else colour,
        markevery=every,
        linewidth=1.8,
        label=label,
    )
    if lines <= _BANDS:
        axes.fill_between(own["value"], low, high, color=colour, alpha=0.13, linewidth=0)
