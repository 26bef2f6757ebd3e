"""A table of records as flat metrics with names that MLflow accepts, and their intervals."""

import numpy as np
import pandas as pd

from hardy.measure.paired import flips, mcnemar, paired_bootstrap
from hardy.measure.records import WALL
from hardy.tasks.base import Task

SCORE = "delta/score"
"""The mean gain of the score, where scores are more than right and wrong."""


def summarise(
    task: Task, frame: pd.DataFrame, main: str, baseline: str | None = None
) -> dict[str, float]:
    """Return all metrics of a run.

    Args:
        task: What the answers are.
        frame: Records, one row a sample.
        main: The answer that the run is about; its metrics bear their plain names.
        baseline: The answer that it is compared with; None, or the main answer itself, for no
            comparison.

    Returns:
        Also `NAME/METRIC` for the other answers, `HEADLINE.low` and `HEADLINE.high` (95 %),
        `samples`, and `seconds_per_sample` where the records hold wall times. The comparison is
        `flips/*`, `delta/HEADLINE` and `mcnemar/p` (two-sided) where scores are 0 or 1, else
        `delta/score`, and the baseline's interval.

    Raises:
        DataError: If the table is empty or lacks one of the two answers.
    """
    metrics = task.metrics(frame, main)
    low, high = task.interval(frame, main)
    metrics[f"{task.headline}.low"], metrics[f"{task.headline}.high"] = low, high
    for name in task.answers(frame):
        if name != main:
            metrics |= {f"{name}/{key}": v for key, v in task.metrics(frame, name).items()}
    if baseline is not None and baseline != main:
        metrics |= _comparison(task, frame, main, baseline)
    return metrics | {"samples": float(len(frame))} | _speed(frame)


def _comparison(task: Task, frame: pd.DataFrame, main: str, baseline: str) -> dict[str, float]:
    before, after = task.score(frame, baseline), task.score(frame, main)
    if not task.binary:
        low, high = task.interval(frame, baseline)  # kept, since drawing samples anew takes long
        ends = {f"{baseline}/{task.headline}.low": low, f"{baseline}/{task.headline}.high": high}
        return {SCORE: float(np.mean(after - before)), **ends}
    to_right, to_wrong = flips(before, after)
    return {
        "flips/to_right": float(to_right),
        "flips/to_wrong": float(to_wrong),
        f"delta/{task.headline}": (to_right - to_wrong) / len(after),
        "mcnemar/p": mcnemar(to_right, to_wrong).two_sided,
    }


def _speed(frame: pd.DataFrame) -> dict[str, float]:
    # Wall time, since views are prepared while the network computes: stages do not add up.
    if WALL not in frame.columns:
        return {}
    seconds = float(frame[WALL].mean()) / 1000
    return {"seconds_per_sample": seconds, "samples_per_second": 1 / seconds}


def bounds(
    task: Task, frame: pd.DataFrame, metric: str, main: str, baseline: str | None = None
) -> tuple[float, float] | None:
    """Return the 95 % interval of a metric that `summarise` gave; None where it has none.

    Args:
        task: What the answers are.
        frame: Records.
        metric: Its name: `METRIC`, `NAME/METRIC`, or the gain over the baseline.
        main: The answer that the run is about.
        baseline: The answer that it is compared with.
    """
    present = task.answers(frame)
    if metric in (SCORE, f"delta/{task.headline}"):
        if baseline is None or not {main, baseline} <= set(present):
            return None
        change = paired_bootstrap(task.score(frame, main), task.score(frame, baseline), seed=0)
        return change.low, change.high
    answer, _, name = metric.rpartition("/")
    if (answer or main) not in present or name not in task.spec.metrics:
        return None
    return task.interval(frame, answer or main, name)
