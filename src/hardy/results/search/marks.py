"""How a search's pictures show trials: a colour and a shape for what became of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hardy.explain.figure import BLUE, GREY, INK, ORANGE
from hardy.results.search.study import Direction, best
from hardy.results.search.trial import Trial

PINK = "#CC79A7"

# Each has a shape of its own: colours are not the only sign.
MARKS: Mapping[str, Mapping[str, Any]] = {
    "finished": {"marker": "o", "color": BLUE, "markersize": 5, "alpha": 0.75},
    "misses a constraint": {
        "marker": "o",
        "color": GREY,
        "markersize": 5,
        "markerfacecolor": "none",
    },
    "pruned": {"marker": "|", "color": PINK, "markersize": 9, "markeredgewidth": 1.5},
    "failed": {"marker": "x", "color": INK, "markersize": 6},
    "still running": {"marker": ".", "color": GREY, "markersize": 6},
    "trial 0: the spec's own values": {"marker": "D", "color": INK, "markersize": 8},
    "best": {"marker": "*", "color": ORANGE, "markersize": 15, "markeredgecolor": INK},
}
OWN, BEST = "trial 0: the spec's own values", "best"
_STATES = {"pruned": "pruned", "failed": "failed", "running": "still running"}


def kind_of(trial: Trial) -> str:
    """Return what a trial is shown as, by its state alone."""
    if trial.state == "complete":
        return "finished" if trial.feasible else "misses a constraint"
    return _STATES[trial.state]


def groups(trials: Sequence[Trial], directions: Sequence[Direction]) -> dict[str, list[Trial]]:
    """Return the trials by what they are shown as; trial 0 and the best stand there once more."""
    chosen = best(trials, directions)
    found = {
        kind: [trial for trial in trials if kind_of(trial) == kind] for kind in list(MARKS)[:5]
    }
    found[OWN] = [trial for trial in trials if trial.index == 0]
    found[BEST] = [chosen] if chosen else []
    return {kind: own for kind, own in found.items() if own}


def place(axes: Axes, kind: str, at: Sequence[tuple[float, float | None]]) -> None:
    """Mark trials at their places; those without a height at the lower edge."""
    for known in (True, False):
        points = [(x, y) for x, y in at if (y is not None) == known]
        if points:
            axes.plot(
                [x for x, _ in points],
                [y if y is not None else 0.02 for _, y in points],
                linestyle="none",
                transform=axes.transData if known else axes.get_xaxis_transform(),
                zorder=3 + list(MARKS).index(kind),
                **MARKS[kind],
            )


def legend(figure: Figure, kinds: Sequence[str], **further: Line2D) -> None:
    """Say below a figure what its marks mean."""
    handles = [Line2D([], [], linestyle="none", label=kind, **MARKS[kind]) for kind in kinds]
    handles += further.values()
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(5, len(handles)),
        frameon=False,
        fontsize=9,
    )


def title(figure: Figure, text: str) -> None:
    """Write what is seen above a figure."""
    figure.suptitle(text, fontsize=13, fontweight="bold", parse_math=False)


def wrapped(path: str, width: int) -> str:
    """Break a path after dots into lines of some characters, where it has dots."""
    lines = [""]
    for part in path.replace(".", ".\0").split("\0"):
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
