"""Pictures of what an adaptation changed: by operation, by run of a matrix."""

import numpy as np
import pandas as pd
from PIL import Image

from hardy.explain.figure import (
    BLUE,
    INK,
    ORANGE,
    bar_figure,
    finish_bars,
    headline,
    render,
    short,
)


def operation_bars(table: pd.DataFrame) -> Image.Image:
    """Draw each operation's share of the views among improved and worsened samples.

    A stroke marks its share among all samples, which is what chance gives.

    Args:
        table: As `measure.operations.operation_rows` gives it.

    Returns:
        RGB, at most 1000 pixels wide.
    """
    order = table["improved_share"].fillna(0) - table["worsened_share"].fillna(0)
    shown = table.reindex(order.sort_values(ascending=False, kind="stable").index)
    places = np.arange(len(shown))
    figure, axes = bar_figure(len(shown), tall=0.42)
    for group, shift, colour in (("improved", -0.19, BLUE), ("worsened", 0.19, ORANGE)):
        shares = 100 * shown[f"{group}_share"].fillna(0)
        if shares.any():
            axes.barh(places + shift, shares, 0.36, color=colour, label=f"{group} samples")
    base = 100 * shown["share"]
    axes.vlines(base, places - 0.42, places + 0.42, color=INK, linewidth=2, label="all samples")
    finish_bars(axes, list(shown["operation"]), "share of the views (%)")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=9)
    headline(axes, "Operations among improved and worsened samples")
    return render(figure)


def gain_bars(table: pd.DataFrame, what: str, *, percent: bool) -> Image.Image:
    """Draw what each run of a matrix gained, with its 95 % interval.

    Args:
        table: As `measure.gains.gain_rows` gives it.
        what: What the scores' means are, such as `accuracy`.
        percent: Whether they are shares, and so shown in points of a hundred.

    Returns:
        RGB, at most 1000 pixels wide.
    """
    figure, axes = bar_figure(len(table))
    scale, unit = (100, " (points)") if percent else (1, "")
    gain = scale * table["gain"].to_numpy()
    ends = [table["gain"] - table["gain_low"], table["gain_high"] - table["gain"]]
    reach = scale * np.stack(ends)
    colours = [BLUE if value >= 0 else ORANGE for value in gain]
    axes.barh(range(len(table)), gain, xerr=reach.clip(0), color=colours, ecolor=INK, capsize=3)
    finish_bars(axes, [short(name) for name in table["run"]], f"gain in {what}{unit}")
    headline(axes, "Gain over the baseline, with its 95 % interval")
    return render(figure)
