"""How a training went: its measures by epoch, as curves and as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from hardy.explain.figure import BLUE, DPI, ORANGE, render

Measures = Mapping[str, float]

_LOSSES = {"train/loss": (BLUE, "o", "training"), "validation/loss": (ORANGE, "D", "validation")}
_COLUMNS, _PANEL = 4, (3.9, 3.2)
_TITLE: Mapping[str, Any] = {"fontsize": 11, "fontweight": "bold"}


def curves(epochs: Sequence[Measures]) -> Image.Image:
    """Draw the losses by epoch, and each other validation measure, four panels a row.

    Args:
        epochs: Each epoch's measures, such as `train/loss` and `validation/accuracy`; the same in
            all.

    Returns:
        RGB, at most 1600 pixels wide.
    """
    others = [name for name in epochs[0] if name.startswith("validation/") and name not in _LOSSES]
    columns = min(_COLUMNS, 1 + len(others))
    rows = -(-(1 + len(others)) // columns)
    wide, high = _PANEL[0] * columns, _PANEL[1] * rows
    # Margins by hand, in inches: a layout engine draws all panels twice, which takes a second.
    places = {
        "left": 0.7 / wide,
        "right": 1 - 0.2 / wide,
        "bottom": 0.6 / high,
        "top": 1 - 0.4 / high,
        "wspace": 0.25,
        "hspace": 0.45,
    }
    figure = Figure(figsize=(wide, high), dpi=DPI)
    first, *rest = figure.subplots(rows, columns, squeeze=False, gridspec_kw=places).flat
    for name, (colour, marker, label) in _LOSSES.items():
        _curve(first, [epoch[name] for epoch in epochs], colour, marker, label)
    first.legend(frameon=False)
    first.set_title("loss", **_TITLE)
    for axes, name in zip(rest, others, strict=False):
        values = [epoch[name] for epoch in epochs]
        _curve(axes, values, ORANGE, "D", "validation")
        axes.set_title(f"validation {name.partition('/')[2]}, last {values[-1]:.3g}", **_TITLE)
    for axes in rest[len(others) :]:
        axes.remove()
    return render(figure, tight=False)


def _curve(axes: Axes, values: Sequence[float], colour: str, marker: str, label: str) -> None:
    steps = range(1, len(values) + 1)
    axes.plot(steps, values, color=colour, marker=marker, markersize=4, label=label)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def curves_csv(epochs: Sequence[Measures]) -> str:
    """Return the measures as CSV, a line an epoch."""
    table = pd.DataFrame([{"epoch": n, **dict(each)} for n, each in enumerate(epochs, start=1)])
    return str(table.to_csv(index=False, lineterminator="\n"))
