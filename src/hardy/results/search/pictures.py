"""A search in pictures: how it went, and what decided."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, combinations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image

from hardy.explain.figure import BLUE, DPI, GREY, INK, ORANGE, render
from hardy.results.search.importances import importances
from hardy.results.search.marks import (
    BEST,
    MARKS,
    OWN,
    PINK,
    groups,
    legend,
    place,
    title,
    wrapped,
)
from hardy.results.search.spaces import parallel, slices
from hardy.results.search.study import Direction, best, pareto
from hardy.results.search.trial import Trial
from hardy.results.search.words import interval
from hardy.spec.search.spec import SearchSpec, Wilcoxon
from hardy.tasks.base import Content

_MOST_STEPS = 400
_MOST_PAIRS = 6


def pictures(
    spec: SearchSpec, directions: Sequence[Direction], trials: Sequence[Trial]
) -> Iterator[tuple[str, Content]]:
    """Yield pictures with their artifact paths; those that would show nothing are left out.

    Args:
        spec: What was searched.
        directions: For each objective, which way is better.
        trials: All of them, in order.
    """
    if not trials:
        return
    yield "search/history.png", _history(spec, directions, trials)
    shares = [importances(spec, directions, trials, n) for n in range(len(directions))]
    if any(shares) and len(spec.space) > 1:
        yield "search/importances.png", _importances(spec, shares, trials)
    if any(trial.reports for trial in trials):
        yield "search/reports.png", _reports(spec, directions, trials)
    if not any(trial.state == "complete" for trial in trials):
        return
    yield "search/parallel.png", parallel(spec, directions, trials)
    for n in range(len(directions)):
        mark = f"-{n + 1}" if n else ""
        yield f"search/slices{mark}.png", slices(spec, directions, trials, n)
    if len(directions) > 1:
        yield "search/pareto.png", fronts(spec, directions, trials)


def _history(
    spec: SearchSpec, directions: Sequence[Direction], trials: Sequence[Trial]
) -> Image.Image:
    """Draw each objective by trial, with the best so far."""
    count = len(spec.objectives)
    figure = Figure(figsize=(12, 1.4 + 3.6 * count), dpi=DPI, layout="constrained")
    found = groups(trials, directions)
    for n, axes in enumerate(figure.subplots(count, squeeze=False)[:, 0]):
        for kind, own in found.items():
            place(axes, kind, [(t.index, t.objectives[n] if t.objectives else None) for t in own])
        for trial in trials:
            if bounds := interval(trial, n):
                axes.vlines(trial.index, *bounds, color=GREY, alpha=0.35, linewidth=1)
        _best_so_far(axes, trials, directions[n], n)
        for trial in found.get(OWN, ()):
            if trial.objectives:
                axes.axhline(trial.objectives[n], color=INK, linewidth=1, linestyle=":")
        _dress(axes, "trial", _axis(spec, directions, n))
        axes.set_xlim(-0.6, max(trial.index for trial in trials) + 0.6)
        if not any(trial.objectives for trial in trials):
            axes.set_yticks([])
    title(figure, "every trial, with its 95 % interval")
    line = Line2D([], [], color=ORANGE, linewidth=2, label="best so far")
    legend(figure, list(found), **({"line": line} if BEST in found else {}))
    return render(figure)


def _best_so_far(axes: Axes, trials: Sequence[Trial], direction: Direction, n: int) -> None:
    feasible = [trial for trial in trials if trial.feasible]
    values = list(
        accumulate((t.objectives[n] for t in feasible), max if direction == "max" else min)
    )
    if values:
        last = max(trial.index for trial in trials)
        places = [*(trial.index for trial in feasible), last]
        axes.step(places, [*values, values[-1]], where="post", color=ORANGE, linewidth=2, zorder=2)


def _importances(
    spec: SearchSpec, shares: Sequence[Mapping[str, float]], trials: Sequence[Trial]
) -> Image.Image:
    """Draw what decides about each objective."""
    height = 1.6 + 0.34 * max(3, len(spec.space))
    figure = Figure(figsize=(11, height * len(shares)), dpi=DPI, layout="constrained")
    for n, axes in enumerate(figure.subplots(len(shares), squeeze=False)[:, 0]):
        found = dict(reversed(list(shares[n].items())))
        axes.barh(range(len(found)), list(found.values()), color=BLUE)
        axes.set_yticks(
            range(len(found)), [wrapped(path, 50) for path in found], fontsize=9, parse_math=False
        )
        for y, share in enumerate(found.values()):
            text = f"{share:.2f}" if share >= 0.01 else "< 0.01"
            axes.text(share, y, f" {text}", va="center", fontsize=9)
        _dress(axes, f"share in being among the best tenth by {spec.objectives[n].metric}", "")
        axes.margins(x=0.1)
        axes.grid(visible=False, axis="y")
    done = sum(trial.state == "complete" for trial in trials)
    title(figure, f"importances, of {done} finished trials (PED-ANOVA)")
    return render(figure)


def shown_reports(spec: SearchSpec, trial: Trial) -> dict[int, float]:
    """Return what a trial reported as it is drawn: where samples' scores, their mean so far.

    At most some hundred steps, the last one included.
    """
    steps = sorted(trial.reports)
    values = [trial.reports[step] for step in steps]
    if isinstance(spec.pruner, Wilcoxon):
        values = [total / n for n, total in enumerate(accumulate(values), start=1)]
    every = -(-len(steps) // _MOST_STEPS) or 1
    kept = sorted({*range(0, len(steps), every), *([len(steps) - 1] if steps else [])})
    return {steps[n]: values[n] for n in kept}


def _reports(
    spec: SearchSpec, directions: Sequence[Direction], trials: Sequence[Trial]
) -> Image.Image:
    """Draw what trials reported on their way."""
    figure = Figure(figsize=(12, 5.5), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    chosen = best(trials, directions)
    styles = {"complete": (BLUE, "-"), "pruned": (PINK, "-"), "failed": (INK, ":")}
    seen = []
    for trial in trials:
        found = shown_reports(spec, trial)
        if not found:
            continue
        colour, line = styles.get(trial.state, (GREY, "-"))
        width, over = (1.6 if trial.state == "pruned" else 1.0), 2
        if trial.index == 0 or trial is chosen:
            colour, line, width, over = (
                (ORANGE, "-", 2.5, 5) if trial is chosen else (INK, "--", 2, 4)
            )
        axes.plot(
            list(found), list(found.values()), line, color=colour, linewidth=width, zorder=over
        )
        kind = BEST if trial is chosen else OWN if trial.index == 0 else _ends(trial)
        seen.append(kind)
        axes.plot(*list(found.items())[-1], zorder=over + 1, **MARKS[kind])
    means = isinstance(spec.pruner, Wilcoxon)
    _dress(axes, "samples" if means else "step", "mean score so far" if means else "reported value")
    title(figure, "what trials reported, to where each ended")
    legend(figure, [kind for kind in MARKS if kind in seen])
    return render(figure)


def _ends(trial: Trial) -> str:
    return {"complete": "finished", "running": "still running"}.get(trial.state, trial.state)


def fronts(
    spec: SearchSpec, directions: Sequence[Direction], trials: Sequence[Trial]
) -> Image.Image:
    """Draw the objectives in pairs, with the front."""
    pairs = list(combinations(range(len(directions)), 2))[:_MOST_PAIRS]
    columns = min(2, len(pairs))
    rows = -(-len(pairs) // columns)
    size = (9 if columns == 1 else 14, 1.4 + 5 * rows)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    every = list(figure.subplots(rows, columns, squeeze=False).flat)
    found = {k: own for k, own in groups(trials, directions).items() if own[0].objectives}
    front = pareto(trials, directions)
    for axes, (a, b) in zip(every, pairs, strict=False):
        for kind, own in found.items():
            place(axes, kind, [(t.objectives[a], t.objectives[b]) for t in own if t.objectives])
        points = sorted((trial.objectives[a], trial.objectives[b], trial.index) for trial in front)
        # With three objectives, what is no worse than the others need not be a line.
        line = "-" if len(directions) == 2 else "none"
        axes.plot(
            [x for x, _, _ in points],
            [y for _, y, _ in points],
            line,
            marker="o",
            markersize=9,
            markerfacecolor="none",
            color=ORANGE,
        )
        for x, y, index in points[:20]:
            axes.annotate(str(index), (x, y), xytext=(6, 6), textcoords="offset points", fontsize=8)
        _dress(axes, _axis(spec, directions, a), _axis(spec, directions, b))
    for axes in every[len(pairs) :]:
        axes.set_axis_off()
    title(figure, f"Pareto front: {len(front)} of {len(trials)} trials")
    ring = Line2D(
        [],
        [],
        linestyle="-" if len(directions) == 2 else "none",
        marker="o",
        markersize=9,
        markerfacecolor="none",
        color=ORANGE,
        label="Pareto front",
    )
    legend(figure, list(found), ring=ring)
    return render(figure)


def _axis(spec: SearchSpec, directions: Sequence[Direction], n: int) -> str:
    way = {"max": "higher", "min": "lower"}[directions[n]]
    return f"{spec.objectives[n].metric} ({way} is better)"


def _dress(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, parse_math=False)
    axes.set_ylabel(y, parse_math=False)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if x in ("trial", "step", "samples"):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
