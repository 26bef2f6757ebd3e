"""What a run is told of its training: each epoch's measures, their curves, the speed."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from hardy.engine.checkpoint import Measures
from hardy.explain.curves import curves, curves_csv
from hardy.explain.drawing import titled
from hardy.plan.tracker import Run
from hardy.tasks.base import Task

SECONDS = "seconds"
"""Among an epoch's measures, the time that it took."""
EPOCHS, MERIT = "training/epochs.csv", "merit"


def logged(measures: Mapping[str, float]) -> Measures:
    """Return what the tracker takes; a time is no number that comes again."""
    return {name: value for name, value in measures.items() if name != SECONDS}


def log_curves(
    run: Run,
    task: Task,
    epochs: Sequence[Measures],
    merits: Sequence[float],
    kept: int,
    title: str,
) -> None:
    """Log the measures of all epochs as a table and as curves.

    Args:
        run: Takes them.
        task: Names the metrics to draw.
        epochs: Of the whole training.
        merits: How good each epoch was, higher is better: what weights are kept by, and what a
            pruner goes by.
        kept: The epoch whose weights were kept, counted from 1.
        title: Says what the curves are of.
    """
    table = [logged(measures) for measures in epochs]
    with tempfile.TemporaryDirectory(prefix="hardy-") as scratch:
        picture = Path(scratch) / "curves.png"
        titled(curves(table, _shown(task), kept), title).save(picture)
        run.artifact(picture, "training/curves.png")
    merited = [{**each, MERIT: merit} for each, merit in zip(table, merits, strict=True)]
    run.text(curves_csv(merited), EPOCHS)


def _shown(task: Task) -> list[str]:
    """Return the metrics to draw: the headline, then other shares that are good or bad news."""
    others = [
        name
        for name, metric in task.spec.metrics.items()
        if metric.higher_is_better is not None and metric.range == (0, 1) and not metric.of_score
    ]
    return [task.headline, *(name for name in others if name != task.headline)]


def speed(epochs: Sequence[Measures], samples: int) -> Measures:
    """Return what a training sample took over all epochs, for plans of such trainings."""
    seconds = sum(measures[SECONDS] for measures in epochs) / samples
    return {"seconds_per_sample": seconds, "samples_per_second": 1 / seconds}
