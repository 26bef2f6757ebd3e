"""Which class took whose pixels, over a set: a table and a picture."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from hardy.explain.figure import DPI, INK, headline, render, short

_WRITTEN, _WHITE_FROM = 24, 0.55


def confusion_table(found: Mapping[str, np.ndarray], classes: Sequence[str]) -> pd.DataFrame:
    """Return one row a pair of classes that has pixels, by answer.

    Args:
        found: Pixels by true and predicted class (K, K), by answer.
        classes: Their names.
    """
    tables = []
    for name, cells in found.items():
        truth, said = np.nonzero(cells)
        pixels = cells[truth, said]
        tables.append(
            pd.DataFrame(
                {
                    "answer": name,
                    "truth": [classes[int(n)] for n in truth],
                    "said": [classes[int(n)] for n in said],
                    "pixels": pixels,
                    "share_of_truth": pixels / cells.sum(1)[truth],
                }
            )
        )
    return pd.concat(tables)


def confusion_grid(cells: np.ndarray, classes: Sequence[str], name: str) -> Image.Image:
    """Draw how each true class's pixels are divided among the classes that they are said to be.

    Args:
        cells: Pixels by true and predicted class (K, K), of which there are some.
        classes: Their names.
        name: The answer's.
    """
    there = np.flatnonzero(cells.sum(0) + cells.sum(1))
    cells = cells[np.ix_(there, there)]
    share = cells / np.maximum(cells.sum(1, keepdims=True), 1)
    names = [short(classes[int(n)]) for n in there]
    figure = Figure(figsize=(7.6, 8.2), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    drawn = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=10, parse_math=False)
    axes.set_yticks(range(len(names)), names, fontsize=10, parse_math=False)
    axes.set(xlabel=f"{short(name)} says", ylabel="truth")
    if len(names) <= _WRITTEN:
        for y, x in zip(*np.nonzero(cells), strict=True):
            ink = "white" if share[y, x] > _WHITE_FROM else INK
            text = f"{100 * share[y, x]:.0f}"
            axes.text(x, y, text, ha="center", va="center", color=ink, fontsize=9)
    right, total = int(np.trace(cells)), int(cells.sum())
    headline(axes, f"{100 * right / total:.1f} % of {total} pixels right")
    # Below, where it takes nothing of the cells' width.
    figure.colorbar(
        drawn,
        ax=axes,
        location="bottom",
        shrink=0.6,
        aspect=40,
        label="share of the class's pixels",
    )
    return render(figure)
