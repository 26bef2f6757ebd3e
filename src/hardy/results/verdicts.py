"""The numbers that specs expect, held against the runs that were made."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from hardy.data.spec import Corruption
from hardy.measure.expectations import (
    Verdict,
    joint_verdicts,
    verdict_line,
    verdict_metrics,
    verdict_summary,
    verdict_table,
    verdicts,
)
from hardy.plan.tracker import Run
from hardy.results.stored import StoredUnit, by_experiment
from hardy.spec.experiment import Experiment
from hardy.spec.resolved import Resolved
from hardy.tasks.base import Task
from hardy.tasks.summary import bounds

TAG = "hardy.expect"

Named = tuple[str, Verdict]


def judge(
    experiment: Experiment, task: Task, metrics: Mapping[str, float], frame: pd.DataFrame
) -> list[Named]:
    """Return the verdicts on one unit's numbers, each with the unit's name."""
    main, baseline = experiment.method.kind, experiment.method.baseline
    found = verdicts(
        experiment.expect, metrics, lambda name: bounds(task, frame, name, main, baseline)
    )
    return [(experiment.name, verdict) for verdict in found]


def unit_verdicts(unit: StoredUnit) -> list[Named]:
    """Return the verdicts on one unit, each with the unit's name."""
    if not unit.experiment.expect:
        return []  # its records need not be read
    return judge(unit.experiment, unit.task, unit.metrics, unit.frame)


def all_verdicts(resolved: Resolved, units: Sequence[StoredUnit]) -> list[Named]:
    """Return the verdicts on all units in order, a matrix's joint ones after those on its units."""
    found: list[Named] = []
    for whole, own in by_experiment(resolved, units):
        found += [named for unit in own for named in unit_verdicts(unit)]
        if len(own) > 1:
            joint = joint_verdicts(whole.units[0].experiment.expect, aggregated(own))
            found += [(whole.name, verdict) for verdict in joint]
    return found


def aggregated(units: Sequence[StoredUnit]) -> dict[str, float]:
    """Return the metrics that a matrix's units have together, if they share a method and a task."""
    if len({(unit.main, unit.task.kind) for unit in units}) > 1:
        return {}
    shifts = [_shift(unit.experiment) for unit in units]
    return units[0].task.joint([unit.metrics for unit in units], shifts)


def _shift(experiment: Experiment) -> tuple[str, int] | None:
    """Return the corruption that is put on the samples, or that they are stored with."""
    shift, (kind, slash, severity) = experiment.data.shift, experiment.data.part_name.partition("/")
    if shift is not None:
        return (shift.kind, shift.severity) if isinstance(shift, Corruption) else None
    return (kind, int(severity)) if slash and severity.isdigit() else None


def judged(
    run: Run,
    experiment: Experiment,
    task: Task,
    metrics: Mapping[str, float],
    frame: pd.DataFrame,
) -> dict[str, float]:
    """Write the verdicts on a unit's numbers to its run; return its metrics with the distances."""
    found = judge(experiment, task, metrics, frame)
    note_verdicts(run, found)
    return {**metrics, **verdict_metrics([verdict for _, verdict in found])}


def note_verdicts(run: Run, found: Sequence[Named], *, before: str = "") -> None:
    """Write verdicts to a run: a tag, and a table in its note.

    Args:
        run: The run.
        found: Verdicts on it, or on its children.
        before: Markdown that stands before the table in the note.
    """
    table = [verdict_table(found)] if found else []
    note = "\n\n".join([text for text in (before.rstrip(), *table) if text])
    if note:
        run.note(f"{note}\n")
    if found:
        run.tags({TAG: verdict_summary([verdict for _, verdict in found])})


def announce(resolved: Resolved, units: Sequence[StoredUnit], say: Callable[[str], None]) -> None:
    """Say what every expected value came to, a line each."""
    for name, verdict in all_verdicts(resolved, units):
        say(verdict_line(name, verdict))
