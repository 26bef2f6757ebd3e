"""Sweeps: the headline of a matrix's runs against each of its numeric axes, a line a setting.

Runs that differ in seeds alone are one point, the mean of their headlines, and its interval draws
photographs with the answers of all of them. So it tells how sure the samples make a point, not how
far trainings scatter. (Of shares of right answers on the same samples it is what all of them
together have; features of several networks are no set.)
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from hardy.explain.sweep import sweep_picture
from hardy.measure.bootstrap import resampled
from hardy.results.pooled import joined
from hardy.results.stored import StoredUnit, by_experiment
from hardy.results.table import board_of
from hardy.spec import Resolved
from hardy.spec.experiment import Experiment
from hardy.tasks.base import Content, Task
from hardy.tasks.report import as_csv

_FEWEST = 3
"""Values that an axis needs: two make no curve."""

_SEED = "seed"

Runs = Mapping[float, list[StoredUnit]]
"""Those of one line by the axis' value, rising; several of a value differ in their seeds."""


@dataclass(frozen=True)
class Sweep:
    """Curves over one axis.

    Attributes:
        axis: Its dotted path.
        about: What its values are, in words.
        task: What the answers are; its headline is what the curves show.
        mark: What tells the sweep's files from those of other tasks.
        table: A row a point: `line`, `answer`, `baseline` (whether the answer is what others are
            compared with), the axis' `value`, the headline's `level` with its 95 % interval `low`
            and `high`, `runs`, `samples`; and of its line as a whole `auc`, the area under the
            curve by the trapezoidal rule divided by the range of its values, in the headline's own
            unit, with `auc_low` and `auc_high`.
    """

    axis: str
    about: str
    task: Task
    mark: str
    table: pd.DataFrame


def sweeps(resolved: Resolved, units: Sequence[StoredUnit]) -> list[Sweep]:
    """Return a sweep for each numeric axis of at least three values, and each task.

    Args:
        resolved: The parent: a matrix, or a suite, whose members are lines of one picture.
        units: Its units, in order.
    """
    kinds = list(dict.fromkeys(unit.task.kind for unit in units))
    parts = list(by_experiment(resolved, units))
    axes = dict.fromkeys(axis for part, _ in parts for axis in _numeric(part))
    found = []
    for axis in axes:
        swept = [(part, own) for part, own in parts if axis in _numeric(part)]
        for kind in kinds:
            lines = {
                name: runs
                for name, runs in _lines(axis, swept, kind).items()
                if len(runs) >= _FEWEST
            }
            if lines:
                first = next(
                    unit for runs in lines.values() for own in runs.values() for unit in own
                )
                mark = "" if len(kinds) == 1 else f"-{kind}"
                table = pd.DataFrame(_rows(first.task, lines))
                found.append(Sweep(axis, _about(axis, first.experiment), first.task, mark, table))
    return found


def sweep_report(found: Sequence[Sweep]) -> Iterator[tuple[str, Content]]:
    """Yield each sweep's table and picture with their artifact paths."""
    for sweep in found:
        board = board_of(sweep.task)
        yield f"report/sweep-{sweep.axis}{sweep.mark}.csv", as_csv(sweep.table)
        picture = sweep_picture(sweep.table, sweep.about, board.headline, percent=board.binary)
        yield f"report/sweep-{sweep.axis}{sweep.mark}.png", picture


def sweep_metrics(found: Sequence[Sweep]) -> dict[str, float]:
    """Return the areas as metrics of the parent: `sweep/auc`, `sweep/auc.low`, `sweep/auc.high`.

    Several lines have their names before `auc`, several axes theirs before these; another answer's
    stands before `sweep`. What has no value is left out.
    """
    axes = {(sweep.axis, sweep.mark) for sweep in found}
    metrics = dict[str, float]()
    for sweep in found:
        own = sweep.table[~sweep.table["baseline"]]
        place = [f"{sweep.axis}{sweep.mark}"] if len(axes) > 1 else []
        for row in _areas(sweep):
            parts = [row["answer"]] if row["baseline"] else []
            parts += ["sweep", *place]
            parts += [row["line"]] if own["line"].nunique() > 1 and row["line"] else []
            name = "/".join(re.sub(r"[^\w./-]+", "-", part) for part in (*parts, "auc"))
            ends = {"": row["auc"], ".low": row["auc_low"], ".high": row["auc_high"]}
            metrics |= {f"{name}{end}": v for end, v in ends.items() if v is not None}
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def sweep_markdown(found: Sequence[Sweep]) -> str:
    """Return the areas as Markdown tables, a sweep each; empty without one."""
    texts = []
    for sweep in found:
        headline = sweep.task.headline
        lines = [f"| {sweep.axis} | answer | {headline}, mean over the axis |", "|---|---|---:|"]
        for row in _areas(sweep):
            low, high = row["auc_low"], row["auc_high"]
            ends = f" [{low:.4g}, {high:.4g}]" if math.isfinite(low) else ""
            lines.append(f"| {row['line']} | {row['answer']} | {row['auc']:.4g}{ends} |")
        texts.append("\n".join(lines))
    return "\n\n".join(texts)


def _areas(sweep: Sweep) -> list[dict[str, Any]]:
    """Return one row of each line."""
    rows = sweep.table.drop_duplicates(["line", "answer"])
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]


def _numeric(part: Resolved) -> list[str]:
    """Return an experiment's axes that are lines' abscissae: numbers, and no seeds."""
    return [
        axis
        for axis, values in part.matrix.items()
        if axis.rpartition(".")[2] != _SEED
        and len(set(map(str, values))) >= _FEWEST
        and all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)
    ]


def _lines(
    axis: str, swept: Sequence[tuple[Resolved, list[StoredUnit]]], kind: str
) -> dict[str, Runs]:
    """Group runs of a task by all that differs beside the axis and the seeds, then by its value."""
    found: dict[tuple[str, str], dict[float, list[StoredUnit]]] = {}
    names: dict[tuple[str, str], str] = {}
    for part, own in swept:
        for planned, unit in zip(part.units, own, strict=True):
            if unit.task.kind != kind:
                continue
            others = {
                path: value
                for path, value in planned.choices.items()
                if path != axis and path.rpartition(".")[2] != _SEED
            }
            key = (part.name, json.dumps(others, default=str))
            told = [part.name] if len(swept) > 1 else []
            names[key] = ", ".join([*told, *(_told(p, v) for p, v in others.items())])
            runs = found.setdefault(key, {})
            runs.setdefault(float(planned.choices[axis]), []).append(unit)
    counts = list(names.values())
    return {
        name if counts.count(name) == 1 else f"{name} ({number})": dict(sorted(found[key].items()))
        for number, (key, name) in enumerate(names.items(), start=1)
    }


def _told(path: str, value: Any) -> str:  # noqa: ANN401 - any value of a spec
    """Write a setting for a legend: a name alone, a number with what it is of."""
    if isinstance(value, Mapping):
        value = value.get("kind") or value.get("name") or value.get("from") or json.dumps(value)
    if isinstance(value, str):
        return value
    last = path.rpartition(".")[2]
    return f"{last} {value:g}" if isinstance(value, float) else f"{last} {value}".lower()


def _rows(task: Task, lines: Mapping[str, Runs]) -> list[dict[str, object]]:
    """Return the rows of all lines: their own answers, then what these are compared with."""
    rows, before = list[dict[str, object]](), list[list[dict[str, object]]]()
    for name, runs in lines.items():
        every = [unit for own in runs.values() for unit in own]
        rows += [{"line": name, **row} for row in _curve(task, runs, every[0].main, False)]
        baseline = every[0].baseline
        if baseline is not None and all(unit.compared for unit in every):
            before.append([{"line": name, **row} for row in _curve(task, runs, baseline, True)])
    # Several methods on one model begin with the same answers, which are drawn once.
    alike = len({str([{**row, "line": ""} for row in each]) for each in before}) == 1
    if alike and len(lines) > 1 and len(before) == len(lines):
        before = [[{**row, "line": ""} for row in before[0]]]
    return [*rows, *(row for each in before for row in each)]


def _curve(task: Task, runs: Runs, answer: str, baseline: bool) -> list[dict[str, object]]:
    """Return the rows of one line without its name."""
    values = np.array(list(runs))
    weights = trapezoid(values)
    levels = np.array([_level(task, own, answer) for own in runs.values()])
    every = [unit for own in runs.values() for unit in own]
    shares = [
        weight / len(own) for weight, own in zip(weights, runs.values(), strict=True) for _ in own
    ]
    ends = _drawn(task, every, answer, shares) or (math.nan, math.nan)
    rows: list[dict[str, object]] = []
    for value, level, own in zip(values, levels, runs.values(), strict=True):
        low, high = _ends(task, own, answer)
        rows.append(
            {
                "answer": answer,
                "baseline": baseline,
                "value": float(value),
                "level": float(level),
                "low": low,
                "high": high,
                "runs": len(own),
                "samples": sum(len(unit.frame) for unit in own),
                "auc": float(weights @ levels),
                "auc_low": ends[0],
                "auc_high": ends[1],
            }
        )
    return rows


def trapezoid(values: np.ndarray) -> np.ndarray:
    """Return what levels at rising values (P,) count for in their mean over the range; sum 1."""
    steps = np.diff(values)
    return np.asarray((np.append(steps, 0) + np.append(0, steps)) / (2 * steps.sum()))


def _level(task: Task, own: Sequence[StoredUnit], answer: str) -> float:
    found = [task.metrics(unit.frame, answer)[task.headline] for unit in own]
    return float(np.mean(found))


def _ends(task: Task, own: Sequence[StoredUnit], answer: str) -> tuple[float, float]:
    """Return the 95 % interval of a point; the run's own where there is one run."""
    if len(own) == 1:
        name = task.headline if answer == own[0].main else f"{answer}/{task.headline}"
        low, high = (own[0].metrics.get(f"{name}.{end}") for end in ("low", "high"))
        kept = low is not None and high is not None
        return (low, high) if kept else task.interval(own[0].frame, answer)  # type: ignore[return-value]
    shares = [1 / len(own)] * len(own)
    return _drawn(task, own, answer, shares) or _drawn_apart(task, own, answer)


def _drawn(
    task: Task, runs: Sequence[StoredUnit], answer: str, shares: Sequence[float]
) -> tuple[float, float] | None:
    """Return the 95 % interval of a weighted sum of runs' headlines, their photographs drawn whole.

    None where a run has other samples than another.
    """
    orders = [np.argsort(unit.frame["sample"].to_numpy().astype(str)) for unit in runs]
    names = [u.frame["sample"].to_numpy()[o] for u, o in zip(runs, orders, strict=True)]
    if not all(np.array_equal(names[0], other) for other in names):
        return None
    if task.binary:  # the headline is the mean of the scores, and so is the sum: soon computed
        scores = [task.score(unit.frame, answer).astype(float) for unit in runs]
        own = np.array(shares) @ np.stack([s[o] for s, o in zip(scores, orders, strict=True)])
        return resampled(lambda drawn: float(own[drawn].mean()), len(own))
    metrics = [task.metric_at(unit.frame, answer, task.headline) for unit in runs]

    def total(drawn: np.ndarray) -> float:
        levels = [metric(order[drawn]) for metric, order in zip(metrics, orders, strict=True)]
        return float(np.dot(shares, levels))

    return resampled(total, len(orders[0]))


def _measure(task: Task, frame: pd.DataFrame, answer: str) -> Callable[[np.ndarray], float]:
    """Return what computes the headline of the samples at some places of a table."""
    if not task.binary:
        return task.metric_at(frame, answer, task.headline)
    scores = task.score(frame, answer).astype(float)
    return lambda places: float(scores[places].mean())


def _drawn_apart(task: Task, runs: Sequence[StoredUnit], answer: str) -> tuple[float, float]:
    """Return the 95 % interval of the mean headline of runs, some of whose photographs differ."""
    metrics = [_measure(task, unit.frame, answer) for unit in runs]
    starts = np.cumsum([0, *(len(unit.frame) for unit in runs)])

    def mean(places: np.ndarray) -> float:
        own = [places[(places >= a) & (places < b)] - a for a, b in pairwise(starts)]
        found = [metric(at) for metric, at in zip(metrics, own, strict=True) if len(at)]
        return float(np.mean(found))

    return resampled(mean, int(starts[-1]), joined(runs)["sample"].to_numpy())


def _about(axis: str, experiment: Experiment) -> str:
    """Return an axis' path and, where its schema tells in a few words, what its values are."""
    part: Any = experiment
    *above, last = axis.split(".")
    for key in above:
        part = part[int(key)] if isinstance(part, tuple) else getattr(part, key, None)
    field = getattr(type(part), "model_fields", {}).get(last)
    text = (field.description or "").partition(". ")[0].removesuffix(".") if field else ""
    # What a description leaves to another field: the units of `space`.
    text = re.sub(r"`(\w+)`", lambda found: f"{found[1]}: {getattr(part, found[1], '')}", text)
    return f"{axis}: {text[0].lower()}{text[1:]}" if 0 < len(text) <= 70 else axis
