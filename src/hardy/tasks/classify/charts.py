"""Pictures of whole runs: the confusion of classes and the reliability of confidences."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from hardy.explain.figure import BLUE, DPI, GREY, INK, ORANGE, brief, render, short
from hardy.tasks.classify.calibration import BINS, Reliability, reliability
from hardy.tasks.classify.confusion import most_confused

_MATRIX_CLASSES = 25
_PAIRS = 20
_SKY = "#56B4E9"  # Okabe and Ito's, over blue

Row = Mapping[str, int | str]


def confusion_picture(rows: Sequence[Row], classes: Sequence[str], answer: str = "") -> Image.Image:
    """Draw the confusion of the classes that occur, as labels or as predictions.

    Up to 25 classes give a matrix of counts, coloured by their share of the label's samples; more
    give bars of the most confused pairs.

    Args:
        rows: Counts by label and prediction, as `confusion.confusion_rows` gives them.
        classes: Class names by index.
        answer: The answer's name, for the title.

    Returns:
        RGB, at most 1000 pixels wide.
    """
    present = sorted({int(row[key]) for row in rows for key in ("label", "prediction")})
    if len(present) > _MATRIX_CLASSES:
        return _pair_bars(rows, classes, len(present), answer)
    return _matrix(rows, classes, present, answer)


def _matrix(
    rows: Sequence[Row], classes: Sequence[str], present: list[int], answer: str
) -> Image.Image:
    place = {label: position for position, label in enumerate(present)}
    counts = np.zeros((len(present), len(present)), int)
    for row in rows:
        counts[place[int(row["label"])], place[int(row["prediction"])]] = int(row["count"])
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [short(classes[label]) for label in present]

    figure = Figure(figsize=(7.6, 8.2), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    drawn = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=10, parse_math=False)
    axes.set_yticks(range(len(names)), names, fontsize=10, parse_math=False)
    axes.set(xlabel="prediction", ylabel="label")
    size = 11 if len(names) <= 12 else 7
    for y, x in zip(*np.nonzero(counts), strict=True):
        ink = "white" if share[y, x] > 0.55 else INK
        text = brief(counts[y, x])
        axes.text(x, y, text, ha="center", va="center", color=ink, fontsize=size)
    right, total = int(np.trace(counts)), int(counts.sum())
    axes.set_title(_of(answer, f"{right} of {total} right"), fontsize=13, fontweight="bold")
    # Below, where it takes nothing of the cells' width.
    figure.colorbar(
        drawn,
        ax=axes,
        location="bottom",
        shrink=0.6,
        aspect=40,
        label="share of the label's samples",
    )
    return render(figure)


def _pair_bars(
    rows: Sequence[Row], classes: Sequence[str], present: int, answer: str
) -> Image.Image:
    pairs = most_confused([dict(row) for row in rows], _PAIRS)
    counts = [int(row["count"]) for row in pairs]
    names = [
        f"{short(classes[int(row['label'])])} → {short(classes[int(row['prediction'])])}"
        for row in pairs
    ]
    figure = Figure(figsize=(9, 1.6 + 0.32 * max(len(pairs), 3)), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(range(len(pairs)), counts, color=BLUE)
    axes.bar_label(bars, padding=4, fontsize=10)
    axes.set_yticks(range(len(pairs)), names, fontsize=10, parse_math=False)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.08)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("samples (label → prediction)")
    wrong = sum(int(row["count"]) for row in rows if row["label"] != row["prediction"])
    title = _of(answer, f"{sum(counts)} of {wrong} errors are these pairs, {present} classes")
    axes.set_title(title, fontsize=13, fontweight="bold")
    return render(figure)


def reliability_diagram(
    confidence: np.ndarray, correct: np.ndarray, answer: str = "", bins: int = BINS
) -> Image.Image:
    """Draw accuracy against confidence by bin, above the number of samples in each.

    Args:
        confidence: Largest probabilities (N,), in [0, 1].
        correct: Whether each prediction is right (N,).
        answer: The answer's name, for the title.
        bins: Number of equal-width bins.

    Raises:
        DataError: If there is no sample or a confidence is outside [0, 1].
    """
    binned = reliability(confidence, correct, bins)
    figure = Figure(figsize=(8.6, 6.4), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    _accuracy_bars(upper, binned)
    lower.bar(binned.edges[:-1], binned.counts, 1 / bins, align="edge", color=GREY, label="samples")
    lower.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    lower.set(xlabel="confidence", ylabel="samples", xlim=(0, 1))
    handles = [each for axes in (upper, lower) for each in axes.get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="outside right upper", frameon=False)
    text = f"expected calibration error {100 * binned.ece:.1f} %, {len(correct)} samples"
    upper.set_title(_of(answer, text), fontsize=13, fontweight="bold")
    return render(figure)


def _accuracy_bars(axes: Axes, binned: Reliability) -> None:
    """Draw each bin's whole accuracy, and over it how far it is from the mean confidence."""
    width = 1 / len(binned.counts)
    held = binned.counts > 0
    left, accuracy, mean = (
        each[held] for each in (binned.edges[:-1], binned.accuracy, binned.confidence)
    )
    bar: dict[str, Any] = {"width": width, "align": "edge"}
    if accuracy.any():
        axes.bar(left, accuracy, color=BLUE, label="accuracy", **bar)
    gaps = (
        (mean > accuracy, ORANGE, "//", "confidence above accuracy:\nover-confident by"),
        (mean < accuracy, _SKY, "\\\\", "accuracy above confidence:\nunder-confident by"),
    )
    for there, colour, hatch, label in gaps:
        if there.any():
            low, high = np.minimum(mean, accuracy)[there], np.maximum(mean, accuracy)[there]
            look: dict[str, Any] = {
                "color": colour,
                "hatch": hatch,
                "edgecolor": "white",
                "linewidth": 0,
            }
            axes.bar(left[there], high - low, bottom=low, label=label, **look, **bar)
    axes.bar(left, accuracy, facecolor="none", edgecolor="white", **bar)
    axes.hlines(mean, left, left + width, colors=INK, linewidth=2.5, label="mean confidence")
    axes.plot([0, 1], [0, 1], color=INK, linestyle="--", linewidth=1, label="calibrated")
    axes.set(ylabel="accuracy", ylim=(0, 1))


def _of(answer: str, text: str) -> str:
    """Return a title that begins with the answer's name, where it has one."""
    return f"{answer}: {text}" if answer else text
