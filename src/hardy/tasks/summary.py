"""A table of records as flat metrics with names that MLflow accepts, and their intervals."""

from collections.abc import Container

import numpy as np
import pandas as pd

from hardy.measure.paired import flips, mcnemar, paired_bootstrap
from hardy.measure.records import WALL
from hardy.tasks.base import Task

SCORE = "delta/score"
"""The mean gain of the score, where scores are more than right and wrong."""


def summarise(
    task: Task,
    frame: pd.DataFrame,
    main: str,
    baseline: str | None = None,
    votes: Container[str] = (),
) -> dict[str, float]:
    """Return all metrics of a run.

    Args:
        task: What the answers are.
        frame: Records, one row a sample.
        main: The answer that the run is about; its metrics bear their plain names.
        baseline: The answer that it is compared with; None, or the main answer itself, for no
            comparison.
        votes: The answers that are shares of votes: what has no meaning of them is left out.

    Returns:
        Also `NAME/METRIC` for the other answers, `HEADLINE.low` and `HEADLINE.high` (95 %),
        `samples`, and `seconds_per_sample` where the records hold wall times. The comparison is
        `flips/*`, `delta/HEADLINE` and `mcnemar/p` (two-sided) where scores are 0 or 1, else
        `delta/score`, and the baseline's interval.

    Raises:
        DataError: If the table is empty or lacks one of the two answers.
    """
    metrics = all_measured(task, frame, main, votes)
    low, high = task.interval(frame, main)
    metrics[f"{task.headline}.low"], metrics[f"{task.headline}.high"] = low, high
    if baseline is not None and baseline != main:
        metrics |= _comparison(task, frame, main, baseline)
    return metrics | {"samples": float(len(frame))} | _speed(frame)


def all_measured(
    task: Task, frame: pd.DataFrame, main: str, votes: Container[str] = ()
) -> dict[str, float]:
    """Return the metrics of all answers: the main one's by their plain names, then `NAME/METRIC`.

    Raises:
        DataError: If the table is empty or lacks the main answer.
    """
    metrics = measured(task, frame, main, votes)
    for name in task.answers(frame):
        if name != main:
            found = measured(task, frame, name, votes)
            metrics |= {f"{name}/{key}": value for key, value in found.items()}
    return metrics


def measured(
    task: Task, frame: pd.DataFrame, name: str, votes: Container[str] = ()
) -> dict[str, float]:
    """Return the metrics of an answer by their plain names, but those without a meaning.

    Args:
        task: What the answers are.
        frame: Records.
        name: The answer.
        votes: The answers that are shares of votes.
    """
    found = task.metrics(frame, name)
    return {key: v for key, v in found.items() if not meaningless(task, key, name, votes)}


def meaningless(task: Task, metric: str, main: str, votes: Container[str]) -> str:
    """Say why a metric of some answer has no meaning; empty where it has one.

    Args:
        task: What the answers are.
        metric: Its name: `METRIC`, or `NAME/METRIC`.
        main: The answer whose metrics bear their plain names.
        votes: The answers that are shares of votes.
    """
    answer, _, name = metric.rpartition("/")
    of = task.spec.metrics.get(name.partition(".")[0])
    if of is None or of.of_votes or (answer or main) not in votes:
        return ""
    return f"{metric} is left out: {answer or main} is shares of votes, which are no probabilities"


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
