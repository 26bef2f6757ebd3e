"""How a training went: its measures by epoch, as curves and as a table."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from hardy.explain.figure import BLUE, DPI, ORANGE, render

Measures = Mapping[str, float]

_LOSSES = {"train/loss": (BLUE, "o", "training"), "validation/loss": (ORANGE, "D", "validation")}


def curves(epochs: Sequence[Measures]) -> Image.Image:
    """Draw the losses by epoch; beside them, each other validation measure.

    Args:
        epochs: Each epoch's measures, such as `train/loss` and `validation/accuracy`; the same in
            all.

    Returns:
        RGB, at most 1600 pixels wide.
    """
    others = [name for name in epochs[0] if name.startswith("validation/") and name not in _LOSSES]
    panels = 1 + len(others)
    figure = Figure(figsize=(min(15.0, 5.5 * panels), 4.2), dpi=DPI, layout="constrained")
    first, *rest = figure.subplots(1, panels, squeeze=False)[0]
    for name, (colour, marker, label) in _LOSSES.items():
        _curve(first, [epoch[name] for epoch in epochs], colour, marker, label)
    first.legend(frameon=False)
    first.set_title("loss", fontsize=13, fontweight="bold")
    for axes, name in zip(rest, others, strict=True):
        values = [epoch[name] for epoch in epochs]
        _curve(axes, values, ORANGE, "D", "validation")
        title = f"validation {name.partition('/')[2]}, last {values[-1]:.3g}"
        axes.set_title(title, fontsize=13, fontweight="bold")
    return render(figure)


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
