"""A map of clean and shifted samples as a picture, and as a page that turns."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from hardy.explain.figure import BLUE, DPI, GREY, INK, ORANGE, headline, render, short
from hardy.explain.html import document

# Okabe and Ito's, black last, and two that the colour-blind tell from these by their lightness.
_COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#000000",
    "#882255",
    "#999999",
)


class _Group(NamedTuple):
    """Points that look alike."""

    name: str
    shifted: bool
    colour: str
    points: pd.DataFrame


def picture(
    table: pd.DataFrame,
    axes_names: Sequence[str],
    classes: Sequence[str],
    shift: str,
    note: str,
    *,
    title: str | None = None,
) -> Image.Image:
    """Draw the map.

    Args:
        table: Columns `class`, `shifted`, `x`, `y` and for three dimensions `z`.
        axes_names: What the axes are called.
        classes: Names of all classes: up to ten have colours.
        shift: The shift's label.
        note: What is measured, in a line.
        title: Headline in place of that of clean and shifted features.
    """
    deep = "z" in table
    figure = Figure(figsize=(9, 6.6), dpi=DPI, layout="constrained")
    axes = figure.add_subplot(projection="3d" if deep else None)
    for group in _groups(table, classes):
        look: dict[str, Any] = {"c": group.colour, "alpha": 0.8, "marker": ".", "s": 90}
        look |= {"marker": "x", "s": 26} if group.shifted else {"linewidths": 0}
        look |= {"depthshade": False} if deep else {}  # which would hide what lies behind
        axes.scatter(*(group.points[axis] for axis in "xyz"[: len(axes_names)]), **look)
    for label, name in zip(("xlabel", "ylabel", "zlabel"), axes_names, strict=False):
        axes.set(**{label: name})
    if not deep:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    handles = _legend(table, classes, shift)
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=10)
    headline(axes, title or f"Features, clean and under {shift}")
    figure.supxlabel(note, fontsize=10, color=INK)
    return render(figure)


def page(
    table: pd.DataFrame, axes_names: Sequence[str], classes: Sequence[str], shift: str, note: str
) -> str:
    """Return a page whose map in three dimensions turns by dragging; see `picture`."""
    import plotly.graph_objects as go  # not before: it would take its time at each start

    traces = [
        go.Scatter3d(
            x=group.points["x"],
            y=group.points["y"],
            z=group.points["z"],
            mode="markers",
            name=group.name,
            text=group.points["sample"],
            hovertemplate="%{text}<extra>%{fullData.name}</extra>",
            marker={
                "size": 5 if group.shifted else 3,
                "color": group.colour,
                "symbol": "cross" if group.shifted else "circle",  # as fonts have them
            },
        )
        for group in _groups(table, classes)
    ]
    named = {f"{axis}axis": {"title": name} for axis, name in zip("xyz", axes_names, strict=True)}
    figure = go.Figure(traces)
    figure.update_layout(scene=named, height=760, legend={"itemsizing": "constant"})
    return document(
        f"Features, clean and under {shift}", note, [("drag to turn, scroll to zoom", figure)]
    )


def _coloured(table: pd.DataFrame, classes: Sequence[str]) -> list[str]:
    """Return the classes that have colours; none where there are too many to tell apart."""
    present = [name for name in dict.fromkeys(classes) if (table["class"] == name).any()]
    return present if len(present) <= len(_COLOURS) else []


def _groups(table: pd.DataFrame, classes: Sequence[str]) -> Iterator[_Group]:
    coloured = _coloured(table, classes)
    for shifted, kind in ((False, "clean"), (True, "shifted")):
        points = table[table["shifted"] == shifted]
        if not coloured:
            yield _Group(kind, shifted, ORANGE if shifted else BLUE, points)
        for name, colour in zip(coloured, _COLOURS, strict=False):
            yield _Group(f"{name}, {kind}", shifted, colour, points[points["class"] == name])


def _legend(table: pd.DataFrame, classes: Sequence[str], shift: str) -> list[Line2D]:
    coloured = _coloured(table, classes)
    plain = (GREY, GREY) if coloured else (BLUE, ORANGE)
    kinds = [("clean", "o", plain[0]), (short(shift), "x", plain[1])]
    kinds = [
        kind
        for kind, there in zip(kinds, (False, True), strict=True)
        if (table["shifted"] == there).any()
    ]
    marks = [
        Line2D([], [], marker=mark, color=colour, linestyle="", markersize=6, label=name)
        for name, mark, colour in kinds
    ]
    named = zip(coloured, _COLOURS, strict=False)
    return marks + [
        Line2D([], [], marker="s", color=colour, linestyle="", markersize=7, label=short(name))
        for name, colour in named
    ]
