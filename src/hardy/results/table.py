"""What came of units, as rows and as text: for the terminal, and for the parent's note."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hardy.measure.leaderboard import Board, leaderboard_row
from hardy.measure.records import shares
from hardy.results.pooled import pooled
from hardy.results.seeds import differing_in_seeds, of_metric
from hardy.results.stored import StoredUnit, by_experiment
from hardy.results.verdicts import aggregated
from hardy.spec import Resolved
from hardy.tasks.base import Task
from hardy.tasks.summary import all_measured

Group = tuple[Board, list[StoredUnit]]

_SKIPPED = "skipped"


@dataclass(frozen=True)
class Table:
    """A table for the terminal.

    Attributes:
        title: What it is of.
        caption: What its numbers are.
        headers: Names of the columns.
        rows: Cells as text.
        lines: What is said below it.
    """

    title: str
    caption: str
    headers: tuple[str, ...]
    rows: list[list[str]]
    lines: tuple[str, ...]


def tables(resolved: Resolved, units: Sequence[StoredUnit]) -> Iterator[Table]:
    """Yield a suite's tables by experiment, single runs together; several headlines, a table each.

    Args:
        resolved: What was run.
        units: Its units, in order.
    """
    for name, own in _parts(resolved, units):
        for board, alike in groups(own):
            yield _table(name, board, alike)


def _parts(
    resolved: Resolved, units: Sequence[StoredUnit]
) -> Iterator[tuple[str, list[StoredUnit]]]:
    single: list[StoredUnit] = []
    for experiment, own in by_experiment(resolved, units):
        if len(own) > 1:
            yield experiment.name, own
        else:
            single += own
    if single:
        yield resolved.name, single


def groups(units: Sequence[StoredUnit]) -> list[Group]:
    """Part units whose numbers cannot stand in one column: by task and headline, in order."""
    found: dict[tuple[str, str], list[StoredUnit]] = {}
    for unit in units:
        found.setdefault((unit.task.kind, unit.task.headline), []).append(unit)
    return [(board_of(alike[0].task), alike) for alike in found.values()]


def board_of(task: Task) -> Board:
    """Return how runs of a task are ranked and written."""
    headline = task.headline
    higher = task.spec.metrics[headline].higher_is_better is not False
    return Board(headline, higher_is_better=higher, binary=task.binary)


def row_of(unit: StoredUnit) -> dict[str, Any]:
    """Return one unit's row, before and after."""
    headline = unit.task.headline
    before = _before(unit, f"{unit.baseline}/{headline}")
    return leaderboard_row(unit.name, unit.shift, unit.metrics, headline=headline, before=before)


def _before(unit: StoredUnit, name: str) -> tuple[float, float, float] | None:
    """Return the baseline's headline with its interval; None where there is no baseline."""
    metrics = unit.metrics
    if unit.baseline is None or name not in metrics:
        return None
    if f"{name}.low" in metrics:
        return metrics[name], metrics[f"{name}.low"], metrics[f"{name}.high"]
    return (metrics[name], *unit.task.interval(unit.frame, unit.baseline))


def _table(name: str, board: Board, units: Sequence[StoredUnit]) -> Table:
    about = {
        f"{unit.main} on {unit.experiment.model.name}, {unit.experiment.data.dataset}"
        for unit in units
    }
    rows = [row_of(unit) for unit in units]
    rows = [{**row, "name": row["name"].removeprefix(f"{name}/")} for row in rows]
    # A single run is named in the title, a matrix over shifts by them: a narrow terminal has no
    # room to say it twice.
    start = int(len(rows) == 1 or all(row["shift"].startswith(row["name"]) for row in rows))
    reused = sum(unit.reused for unit in units)
    again = [f"{reused} of {len(units)} runs reused; --again runs them anew"] if reused else []
    return Table(
        title=f"{name}: {about.pop()}" if len(about) == 1 else name,
        caption=board.caption,
        headers=board.headers[start:],
        rows=[board.cells(row)[start:] for row in rows],
        lines=(*_seeds(name, board, units), *_all_answers(board, units), *_remarks(units), *again),
    )


def _seeds(name: str, board: Board, units: Sequence[StoredUnit]) -> Iterator[str]:
    """Say what runs that differ in their seeds alone come to together."""
    for alike in differing_in_seeds(units):
        found = of_metric(name, alike, board.headline)
        if found is not None:
            scale, unit = (100, " %") if board.binary else (1, "")
            mean, low, high = (f"{scale * v:.4g}" for v in (found.mean, found.low, found.high))
            which = f" ({alike[0].shift})" if len(alike) < len(units) else ""
            yield (
                f"{board.headline} over {found.runs} seeds{which}: mean {mean}{unit}, "
                f"95 % interval of the mean [{low}, {high}] by Student's t"
            )


def _all_answers(board: Board, units: Sequence[StoredUnit]) -> list[str]:
    """Say how the answers fared that a method gives beside its own and the baseline's."""
    shown = {(unit.main, unit.baseline) for unit in units}
    if len(shown) > 1:
        return []
    names = [name for name in units[0].answers if all(name in unit.answers for unit in units)]
    if set(names) <= set(shown.pop()):
        return []
    frame, percent = pooled(units), ", in %" if board.binary else ""
    if frame is not None:
        values = [units[0].task.metrics(frame, name)[board.headline] for name in names]
        what = "" if board.binary else f", {board.headline}"
        title = f"all answers on the same {len(frame)} samples{what}{percent}"
    else:
        values = [_mean(units, board.headline, name) for name in names]
        title = f"all answers, mean {board.headline} of {len(units)} runs{percent}"
    texts = [f"{100 * value:.1f}" if board.binary else f"{value:.4g}" for value in values]
    told = (f"{name} {text}" for name, text in zip(names, texts, strict=True))
    return [f"{title}: {', '.join(told)}"]


def _mean(units: Sequence[StoredUnit], headline: str, name: str) -> float:
    """Return the mean over units of an answer's headline."""
    own = (headline, f"{name}/{headline}")
    return sum(unit.metrics[own[name != unit.main]] for unit in units) / len(units)


def _remarks(units: Sequence[StoredUnit]) -> list[str]:
    """Say which rows show another experiment's run, and how many samples were left out."""
    lines = [f"{unit.name} = run {unit.other} ({unit.run_id[:8]})" for unit in units if unit.other]
    skipped = {unit.name: int(count) for unit in units if (count := unit.metrics.get(_SKIPPED, 0))}
    if skipped:
        told = ", ".join(f"{name} {count}" for name, count in skipped.items())
        lines.append(
            f"warning: broken samples were left out and do not count in n: {told}; "
            "data/skipped.csv of these runs names them"
        )
    return lines


def best(units: Sequence[StoredUnit]) -> Iterator[tuple[str, StoredUnit]]:
    """Yield the best unit by each headline, with what it is called."""
    found = groups(units)
    for board, alike in found:
        pick = max if board.higher_is_better else min
        chosen = pick(alike, key=lambda unit: unit.metrics[unit.task.headline])
        yield "the best unit" if len(found) == 1 else f"the best unit by {board.headline}", chosen


def markdown(units: Sequence[StoredUnit]) -> str:
    """Return the leaderboard of units as Markdown, a table for each headline, then remarks."""
    boards = [board.markdown([row_of(unit) for unit in alike]) for board, alike in groups(units)]
    return "\n".join([*boards, *(f"- {line}" for line in _remarks(units))])


def parent_metrics(resolved: Resolved, units: Sequence[StoredUnit]) -> dict[str, float]:
    """Return the metrics of a run that stands above units.

    By their plain names, those of all samples of a matrix together, where these are one model's
    (`pooled`); then those that only its runs have together, how many units there are, and as
    `mean/NAME` means over the units of what tables show, where they share one method and task.
    """
    found = {}
    if len(resolved.experiments) == 1:
        found = _pooled_metrics(units) | aggregated(units)
    count = len(units)
    found |= {"units": float(count), "units/reused": float(sum(unit.reused for unit in units))}
    found[_SKIPPED] = sum(unit.metrics.get(_SKIPPED, 0.0) for unit in units)
    if len({(unit.main, unit.task.kind) for unit in units}) > 1:
        return found  # a mean over several methods is nobody's number
    first = units[0]
    names = [*first.task.tabled, f"{first.baseline}/{first.task.headline}", "seconds_per_sample"]
    for name in names:
        values = [unit.metrics[name] for unit in units if name in unit.metrics]
        if len(values) == count:
            found[f"mean/{name}"] = sum(values) / count
    return found


def _pooled_metrics(units: Sequence[StoredUnit]) -> dict[str, float]:
    frame, first = pooled(units), units[0]
    if frame is None:
        return {}
    found = all_measured(first.task, frame, first.main, first.experiment.method.votes())
    found |= shares(frame, first.experiment.method.warnings)
    return found | {"samples": float(len(frame))}
