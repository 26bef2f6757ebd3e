"""A search's trials as a table: whole as CSV, the best of them for the terminal."""

import csv
from collections.abc import Sequence
from io import StringIO

from hardy.results.search.study import Direction, best, ranked
from hardy.results.search.trial import Trial
from hardy.results.search.words import (
    constraint_name,
    counts,
    number,
    objective_text,
    saving,
    short_paths,
    value_cell,
    value_text,
)
from hardy.results.table import Table
from hardy.spec.search.spec import SearchSpec

TRIALS = "search/trials.csv"

_SHOWN = 10
_WIDTH = 80
_NAMED = 6


def trials_csv(spec: SearchSpec, trials: Sequence[Trial]) -> str:
    """Return a line a trial: its values as a spec has them, what came of it, what it took.

    A cell is empty where there is nothing: a path whose conditions do not hold, an objective of a
    trial that did not finish, an interval that a metric does not have. By `missed: ...` a
    constraint is missed; it is held at 0 and below.
    """
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    metrics = [objective.metric for objective in spec.objectives]
    writer.writerow(
        [
            "index",
            "state",
            *spec.space,
            *(f"{metric}{end}" for metric in metrics for end in ("", ".low", ".high")),
            *(f"missed: {constraint_name(each)}" for each in spec.constraints),
            *("feasible", "samples", "seconds", "runs", "reason"),
        ]
    )
    for trial in trials:
        writer.writerow([*_values(spec, trial), *_results(spec, trial)])
    return out.getvalue()


def _values(spec: SearchSpec, trial: Trial) -> list[str]:
    texts = [
        value_text(spec, path, trial.values[path]) if path in trial.values else ""
        for path in spec.space
    ]
    return [str(trial.index), trial.state, *texts]


def _results(spec: SearchSpec, trial: Trial) -> list[str]:
    numbers: list[str] = []
    for place in range(len(spec.objectives)):
        known = place < len(trial.objectives)
        bounds = trial.intervals[place] if place < len(trial.intervals) else ()
        numbers.append(number(trial.objectives[place]) if known else "")
        numbers += [number(bound) for bound in bounds] or ["", ""]
    missed = [number(each) for each in trial.constraints]
    return [
        *numbers,
        *(missed or [""] * len(spec.constraints)),
        "true" if trial.feasible else "false",
        str(trial.samples),
        number(trial.seconds),
        " ".join(trial.runs),
        " ".join(trial.reason.split()),
    ]


def table(
    name: str, spec: SearchSpec, directions: Sequence[Direction], trials: Sequence[Trial]
) -> Table:
    """Return the ten best trials and trial 0 for a terminal of 80 columns.

    Trials that miss a constraint come after those that hold all. Paths stand in the spec's order
    as long as there is room; the others are named below.

    Args:
        name: The search's.
        spec: What was searched.
        directions: For each objective, which way is better.
        trials: All of them, in order.
    """
    columns = _columns(spec, directions, trials)
    paths = _paths(spec, _rows(spec, directions, trials))
    room = _WIDTH - 1 - sum(map(_width, columns))
    shown = 0
    while shown < len(paths) and (room := room - _width(paths[shown])) >= 0:
        shown += 1
    columns += paths[:shown]
    left_out = list(spec.space)[shown:]
    return Table(
        title=f"{name}: the best of {len(trials)} trials",
        caption=_caption(spec, directions),
        headers=tuple(column[0] for column in columns),
        rows=[list(row) for row in zip(*(column[1:] for column in columns), strict=True)],
        lines=(counts(trials), *_lines(directions, trials, left_out)),
    )


def _rows(
    spec: SearchSpec, directions: Sequence[Direction], trials: Sequence[Trial]
) -> list[Trial]:
    missing = [trial for trial in trials if trial.state == "complete" and not trial.feasible]
    missing.sort(key=lambda trial: (sum(max(0, each) for each in trial.constraints), trial.index))
    shown = [*ranked(trials, directions), *missing][:_SHOWN]
    return shown + [trial for trial in trials if trial.index == 0 and trial not in shown]


def _columns(
    spec: SearchSpec, directions: Sequence[Direction], trials: Sequence[Trial]
) -> list[list[str]]:
    """Return the columns that are always there, each with its header."""
    rows = _rows(spec, directions, trials)
    columns = [["trial", *(f"{each.index}{' (spec)' * (each.index == 0)}" for each in rows)]]
    bounds = len(spec.objectives) <= 2
    for place, objective in enumerate(spec.objectives):
        texts = [objective_text(trial, place, bounds=bounds) for trial in rows]
        columns.append([objective.metric, *texts])
    if spec.constraints:
        columns.append(["held", *("yes" if trial.feasible else "no" for trial in rows)])
    return columns


def _paths(spec: SearchSpec, rows: Sequence[Trial]) -> list[list[str]]:
    return [
        [
            short,
            *(
                value_cell(spec, path, trial.values[path]) if path in trial.values else "–"
                for trial in rows
            ),
        ]
        for path, short in short_paths(spec.space).items()
    ]


def _width(column: Sequence[str]) -> int:
    """Return the characters that a column takes, with its padding and what parts it from others."""
    return max(map(len, column)) + 2


def _caption(spec: SearchSpec, directions: Sequence[Direction]) -> str:
    ways = {"max": "higher is better", "min": "lower is better"}
    told = [
        f"{objective.metric}: {ways[direction]}"
        for objective, direction in zip(spec.objectives, directions, strict=True)
    ]
    return "; ".join([*told, "[95 % interval]"])


def _lines(
    directions: Sequence[Direction], trials: Sequence[Trial], left_out: Sequence[str]
) -> list[str]:
    lines = []
    chosen = best(trials, directions)
    if chosen is None:
        lines.append("no trial finished and held every constraint")
    elif chosen.index == 0:
        lines.append("nothing better was found than trial 0, the spec's own values")
    if found := saving(trials):
        lines.append(str(found))
    if left_out:
        more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        lines.append(f"no room for {', '.join(left_out[:_NAMED])}{more}: see {TRIALS}")
    return lines
