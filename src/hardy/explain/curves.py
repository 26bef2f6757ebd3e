"""How a training went: its measures by epoch, as curves and as a table."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import Image

from hardy.explain.figure import BLUE, DPI, GREY, ORANGE, headline, render

Measures = Mapping[str, float]

_COLUMNS = 2
# Okabe and Ito's, which the colour-blind tell apart, each with a marker of its own.
_LINES = (
    (ORANGE, "D"),
    (BLUE, "o"),
    ("#009E73", "s"),
    ("#CC79A7", "^"),
    ("#56B4E9", "v"),
    ("#E69F00", "P"),
)
_MOST_MARKERS = 60
_OF_STEPS = {"learning_rate": "learning rate", "train/gradient_norm": "gradient norm"}


def curves(epochs: Sequence[Measures], shown: Sequence[str], kept: int) -> Image.Image:
    """Draw a training by epoch: losses, validation metrics, and how its steps went.

    The epoch whose weights were kept is marked in every panel, and titles give its values. What an
    epoch does not have is left out.

    Args:
        epochs: Each epoch's measures, such as `train/loss` and `validation/accuracy`; the same in
            all.
        shown: Names of validation metrics, without `validation/`: the first gets a panel of its
            own, the others share one, so they have one range.
        kept: The epoch whose weights were kept, counted from 1.

    Returns:
        RGB, 1000 pixels wide at most.
    """
    known = [name for name in shown if f"validation/{name}" in epochs[0]]
    panels: list[Callable[[Axes], None]] = [partial(_losses, epochs=epochs, kept=kept)]
    if known:
        panels.append(partial(_headline, epochs=epochs, kept=kept, name=known[0]))
    if known[1:]:
        panels.append(partial(_others, epochs=epochs, kept=kept, names=known[1 : 1 + len(_LINES)]))
    for name, title in _OF_STEPS.items():
        if name in epochs[0]:
            panels.append(partial(_one, epochs=epochs, kept=kept, name=name, title=title))
    if "train/samples_per_second" in epochs[0]:
        panels.append(partial(_speed, epochs=epochs))
    rows = math.ceil(len(panels) / _COLUMNS)
    figure = Figure(figsize=(9.6, 0.6 + 3.4 * rows), dpi=DPI, layout="constrained")
    every = list(figure.subplots(rows, _COLUMNS, squeeze=False).flat)
    for axes, draw in zip(every, panels, strict=False):
        draw(axes)
        axes.axvline(kept, color=GREY, linestyle="--", linewidth=1.2)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.spines["top"].set_visible(False)
    for axes in every[len(panels) :]:
        axes.set_axis_off()
    text = f"the weights kept are those of epoch {kept} of {len(epochs)}: dashed, values in titles"
    figure.suptitle(text, fontsize=13)
    return render(figure)


def _losses(axes: Axes, epochs: Sequence[Measures], kept: int) -> None:
    """Draw the losses of training and of validation."""
    last = epochs[kept - 1]
    names = [n for n in ("validation/loss", "train/loss") if n in last]
    headline(axes, f"loss: {last[names[0]]:.3g}")
    for name, label, line in zip(names[::-1], ("training", "validation"), (1, 0), strict=False):
        _line(axes, epochs, name, line, label)
    _legend(axes)


def _headline(axes: Axes, epochs: Sequence[Measures], kept: int, name: str) -> None:
    """Draw the validation metric that tables show."""
    _one(axes, epochs, kept, f"validation/{name}", f"validation {name}", line=0)


def _others(axes: Axes, epochs: Sequence[Measures], kept: int, names: Sequence[str]) -> None:
    """Draw further validation metrics together."""
    headline(axes, "other validation metrics")
    for line, name in enumerate(names):
        key = f"validation/{name}"
        _line(axes, epochs, key, line, f"{name}: {epochs[kept - 1][key]:.3g}")
    _legend(axes)


def _one(
    axes: Axes, epochs: Sequence[Measures], kept: int, name: str, title: str, *, line: int = 1
) -> None:
    """Draw one measure."""
    headline(axes, f"{title}: {epochs[kept - 1][name]:.3g}")
    _line(axes, epochs, name, line)


def _speed(axes: Axes, epochs: Sequence[Measures]) -> None:
    """Draw samples a second, and the share of the time in which the steps waited for them."""
    headline(axes, "speed")
    _line(axes, epochs, "train/samples_per_second", 1)
    axes.set_ylabel("samples a second", color=BLUE)
    axes.set_ylim(bottom=0)
    if "train/waiting" in epochs[0]:
        waited = axes.twinx()
        _line(waited, epochs, "train/waiting", 0)
        waited.set_ylabel("time spent waiting for data", color=ORANGE)
        waited.set_ylim(0, 1)
        waited.yaxis.set_major_formatter(PercentFormatter(1.0))
        waited.spines["top"].set_visible(False)


def _line(axes: Axes, epochs: Sequence[Measures], name: str, line: int, label: str = "") -> None:
    colour, marker = _LINES[line]
    values = [epoch[name] if math.isfinite(epoch[name]) else math.nan for epoch in epochs]
    style = marker if len(values) <= _MOST_MARKERS else ""
    steps = range(1, len(values) + 1)
    axes.plot(steps, values, color=colour, marker=style, markersize=4, label=label)


def _legend(axes: Axes) -> None:
    """Name the lines that are drawn: of what is no number in any epoch there is none."""
    drawn = [line for line in axes.get_lines() if np.isfinite(line.get_ydata(orig=False)).any()]
    if drawn:
        axes.legend(handles=drawn, frameon=False)


def curves_csv(epochs: Sequence[Measures]) -> str:
    """Return the measures as CSV, a line an epoch."""
    table = pd.DataFrame([{"epoch": n, **dict(each)} for n, each in enumerate(epochs, start=1)])
    return str(table.to_csv(index=False, lineterminator="\n"))
