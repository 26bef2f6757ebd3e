"""The numbers that specs expect, held against the runs that were made."""

from collections.abc import Sequence
from dataclasses import replace

from hardy.data.spec import Corruption
from hardy.engine.progress import Reporter
from hardy.measure.aggregate import Shift, aggregate
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
from hardy.results.stored import UnitResult
from hardy.spec.experiment import Experiment
from hardy.spec.resolved import Resolved

TAG = "hardy.expect"

Named = tuple[str, Verdict]


def unit_verdicts(result: UnitResult) -> list[Named]:
    """Return the verdicts on one unit, each with the unit's name."""
    experiment = result.planned.unit.experiment
    found = verdicts(experiment.expect, result.metrics, result.frame, experiment.method.kind)
    return [(experiment.name, verdict) for verdict in found]


def all_verdicts(resolved: Resolved, results: Sequence[UnitResult]) -> list[Named]:
    """Return the verdicts on all units in order, a matrix's joint ones after those on its units."""
    found: list[Named] = []
    rest = list(results)
    for whole in resolved.experiments:
        own, rest = rest[: len(whole.units)], rest[len(whole.units) :]
        found += [named for result in own for named in unit_verdicts(result)]
        if len(own) > 1:
            joint = joint_verdicts(whole.units[0].experiment.expect, aggregated(own))
            found += [(whole.name, verdict) for verdict in joint]
    return found


def aggregated(results: Sequence[UnitResult]) -> dict[str, float]:
    """Return the metrics that the units of one matrix have together, if they share a method."""
    if len({result.planned.unit.experiment.method.kind for result in results}) > 1:
        return {}
    shifts = [_shift(result.planned.unit.experiment) for result in results]
    return aggregate([result.metrics for result in results], shifts)


def _shift(experiment: Experiment) -> Shift | None:
    """Return the corruption that is put on the samples, or that they are stored with."""
    shift, (kind, slash, severity) = experiment.data.shift, experiment.data.part_name.partition("/")
    if shift is not None:
        return (shift.kind, shift.severity) if isinstance(shift, Corruption) else None
    return (kind, int(severity)) if slash and severity.isdigit() else None


def judged(result: UnitResult, run: Run) -> UnitResult:
    """Write the verdicts on a unit to its run; return the unit with them among its metrics."""
    found = unit_verdicts(result)
    note_verdicts(run, found)
    distances = verdict_metrics([verdict for _, verdict in found])
    return replace(result, metrics={**result.metrics, **distances})


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


def announce(resolved: Resolved, results: Sequence[UnitResult], reporter: Reporter) -> None:
    """Say what every expected value came to, a line each."""
    for name, verdict in all_verdicts(resolved, results):
        reporter.say(verdict_line(name, verdict))
