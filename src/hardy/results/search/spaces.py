"""Where in its space a search looked: each path by itself, and all of them side by side."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image

from hardy.explain.figure import DPI, GREY, INK, ORANGE, render
from hardy.results.search.marks import groups, legend, place, title, wrapped
from hardy.results.search.study import Direction, best
from hardy.results.search.trial import Trial
from hardy.results.search.words import value_cell
from hardy.spec.search.spec import Categorical, IntRange, Scalar, SearchSpec

_COLUMNS = 4
_UNUSED = -0.1


@dataclass(frozen=True)
class Range:
    """A path's or an objective's values along an axis.

    Attributes:
        low: Smallest number; 0 of labels.
        high: Largest number; the last place of labels.
        log: Whether orders of magnitude count alike.
        labels: What stands in a list; empty of numbers.
    """

    low: float
    high: float
    log: bool = False
    labels: tuple[Scalar, ...] = ()

    def number(self, value: Scalar) -> float:
        """Return where a value is along its own axis."""
        if self.labels:
            return float(self.labels.index(value)) if value in self.labels else -1.0
        return float(value) if isinstance(value, int | float) else self.low

    def share(self, value: Scalar) -> float:
        """Return where a value is between the lowest (0) and the highest (1)."""
        low, high, here = (
            math.log(each) if self.log else each
            for each in (self.low, self.high, self.number(value))
        )
        return (here - low) / (high - low) if high > low else 0.5


def _range(spec: SearchSpec, path: str, trials: Sequence[Trial]) -> Range:
    """Return a path's range; trial 0's own value may lie outside the space."""
    each = spec.space[path]
    values = [trial.values[path] for trial in trials if path in trial.values]
    if isinstance(each, Categorical):
        labels = tuple(dict.fromkeys([*each.labels, *values]))
        return Range(0, len(labels) - 1, labels=labels)
    numbers = [float(v) for v in values if isinstance(v, int | float)]
    log = each.log and min(numbers, default=each.low) > 0
    return Range(min([each.low, *numbers]), max([each.high, *numbers]), log=log)


def slices(
    spec: SearchSpec, directions: Sequence[Direction], trials: Sequence[Trial], n: int
) -> Image.Image:
    """Draw an objective by each path's value."""
    columns = min(_COLUMNS, len(spec.space))
    rows = -(-len(spec.space) // columns)
    figure = Figure(
        figsize=(max(8, 3.8 * columns), 1.4 + 3.2 * rows), dpi=DPI, layout="constrained"
    )
    every = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    found = groups(trials, directions)
    for axes, path in zip(every, spec.space, strict=False):
        range_ = _range(spec, path, trials)
        for kind, own in found.items():
            place(
                axes,
                kind,
                [_point(range_, path, trial, n) for trial in own if path in trial.values],
            )
        _scale(axes, spec, path, range_)
        have = sum(path in trial.values for trial in trials)
        some = f"\n({have} of {len(trials)} trials have it)" if have < len(trials) else ""
        axes.set_xlabel(wrapped(path, 36) + some, fontsize=9, parse_math=False)
        axes.margins(y=0.12)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in every[len(spec.space) :]:
        axes.set_axis_off()
    metric = spec.objectives[n].metric
    for axes in every[::columns]:
        axes.set_ylabel(metric, parse_math=False)
    title(figure, f"{metric} by each searched value")
    legend(figure, list(found))
    return render(figure)


def _point(range_: Range, path: str, trial: Trial, n: int) -> tuple[float, float | None]:
    at = range_.number(trial.values[path])
    if range_.labels:
        # Side by side, by the golden ratio: many trials have the same label.
        at += 0.4 * ((trial.index * 0.618) % 1 - 0.5)
    return at, trial.objectives[n] if trial.objectives else None


def _scale(axes: Axes, spec: SearchSpec, path: str, range_: Range) -> None:
    if range_.labels:
        texts = [value_cell(spec, path, label, 16) for label in range_.labels]
        slanted = sum(map(len, texts)) > 36
        axes.set_xticks(
            range(len(texts)),
            texts,
            fontsize=8,
            parse_math=False,
            rotation=30 if slanted else 0,
            ha="right" if slanted else "center",
        )
        axes.set_xlim(-0.6, len(texts) - 0.4)
        return
    if range_.log:
        axes.set_xscale("log")
        edge = (range_.high / range_.low) ** 0.04
        axes.set_xlim(range_.low / edge, range_.high * edge)
        return
    edge = 0.04 * (range_.high - range_.low)
    axes.set_xlim(range_.low - edge, range_.high + edge)
    if isinstance(spec.space[path], IntRange):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def parallel(
    spec: SearchSpec, directions: Sequence[Direction], trials: Sequence[Trial]
) -> Image.Image:
    """Draw every trial as a line through its values and its objectives."""
    paths, metrics = list(spec.space), [objective.metric for objective in spec.objectives]
    count = len(paths) + len(metrics)
    figure = Figure(figsize=(max(10, 0.9 * count), 6.2), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    ranges = [_range(spec, path, trials) for path in paths]
    ranges += [_reached(trials, n) for n in range(len(metrics))]
    norm = Normalize(ranges[len(paths)].low, ranges[len(paths)].high)
    colours = mpl.colormaps["viridis" if directions[0] == "max" else "viridis_r"]
    chosen = best(trials, directions)
    for trial in trials:
        places = [
            range_.share(trial.values[path]) if path in trial.values else _UNUSED
            for path, range_ in zip(paths, ranges, strict=False)
        ]
        places += [
            range_.share(value)
            for value, range_ in zip(trial.objectives, ranges[len(paths) :], strict=False)
        ]
        colour = colours(norm(trial.objectives[0])) if trial.objectives else GREY
        style = "-" if trial.feasible else "--" if trial.objectives else ":"
        width, over, alpha = 1.2, 2 + bool(trial.objectives), 0.7
        if trial.index == 0 or trial is chosen:
            colour, width, over, alpha = (
                (INK, 2.2, 5, 1.0) if trial is not chosen else (ORANGE, 3, 6, 1.0)
            )
        axes.plot(places, style, color=colour, linewidth=width, zorder=over, alpha=alpha)
    for x, range_ in enumerate(ranges):
        _upright(axes, spec, x, range_, paths[x] if x < len(paths) else None)
    if any(path not in trial.values for trial in trials for path in paths):
        axes.text(-0.1, _UNUSED, "not used", fontsize=8, ha="right", va="center", color=INK)
    axes.set_ylim(_UNUSED - 0.05, 1.05)
    axes.set_xlim(-0.1, count - 1 + 0.35)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.xaxis.tick_top()
    axes.set_xticks(
        range(count),
        [*paths, *metrics],
        rotation=25,
        ha="left",
        rotation_mode="anchor",
        fontsize=9,
        parse_math=False,
    )
    axes.tick_params(axis="x", length=0)
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, shrink=0.8, pad=0.01)
    bar.set_label(metrics[0], parse_math=False)
    title(figure, "the values of every trial")
    kinds = groups(trials, directions)
    lines = {
        "best": Line2D([], [], color=ORANGE, linewidth=3, label="best"),
        "own": Line2D([], [], color=INK, linewidth=2.2, label="trial 0: the spec's own values"),
        "missing": Line2D([], [], color=GREY, linestyle="--", label="misses a constraint"),
        "stopped": Line2D([], [], color=GREY, linestyle=":", label="pruned, failed or running"),
    }
    shown = {
        "best": chosen is not None,
        "own": any(trial.index == 0 for trial in trials),
        "missing": "misses a constraint" in kinds,
        "stopped": any(not trial.objectives for trial in trials),
    }
    legend(figure, [], **{key: line for key, line in lines.items() if shown[key]})
    return render(figure)


def _reached(trials: Sequence[Trial], n: int) -> Range:
    values = [trial.objectives[n] for trial in trials if trial.objectives]
    return Range(min(values), max(values))


def _upright(axes: Axes, spec: SearchSpec, x: int, range_: Range, path: str | None) -> None:
    """Draw one axis with its ends, or its labels."""
    axes.vlines(x, 0, 1, color=INK, linewidth=1, zorder=4)
    values = range_.labels or dict.fromkeys((range_.low, range_.high))
    for value in values:
        text = value_cell(spec, path, value, 12) if path else f"{value:.4g}"
        axes.text(
            x + 0.04,
            range_.share(value),
            text,
            fontsize=8,
            va="center",
            zorder=7,
            parse_math=False,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.5},
        )
