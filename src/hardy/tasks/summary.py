"""A table of records as flat metrics with names that MLflow accepts."""

import numpy as np
import pandas as pd

from hardy.measure.paired import flips, mcnemar
from hardy.measure.records import WALL, answers
from hardy.tasks.classify.metrics import answer_metrics, correct, interval


def summarise(frame: pd.DataFrame, main: str, baseline: str | None = "source") -> dict[str, float]:
    """Return all metrics of a run.

    Args:
        frame: Records, one row a sample.
        main: The answer that the run is about; its metrics bear their plain names (`accuracy`).
        baseline: The answer it is compared with by `flips/*`, `delta/accuracy` and `mcnemar/p`
            (two-sided); None, or the main answer itself, for no comparison.

    Returns:
        Also `NAME/accuracy` and so on for the other answers, `accuracy.low` and `accuracy.high`
        (95 %, Wilson), `samples`, and `seconds_per_sample` where the records hold wall times.

    Raises:
        DataError: If the table is empty or lacks one of the two answers.
    """
    metrics = answer_metrics(frame, main)
    right = correct(frame, main)
    metrics["accuracy.low"], metrics["accuracy.high"] = interval(int(right.sum()), len(right))
    for name in answers(frame):
        if name != main:
            metrics |= {f"{name}/{key}": v for key, v in answer_metrics(frame, name).items()}
    if baseline is not None and baseline != main:
        metrics |= _comparison(correct(frame, baseline), right)
    return metrics | {"samples": float(len(frame))} | _speed(frame)


def _comparison(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    to_right, to_wrong = flips(before, after)
    return {
        "flips/to_right": float(to_right),
        "flips/to_wrong": float(to_wrong),
        "delta/accuracy": (to_right - to_wrong) / len(after),
        "mcnemar/p": mcnemar(to_right, to_wrong).two_sided,
    }


def _speed(frame: pd.DataFrame) -> dict[str, float]:
    # Wall time, since views are prepared while the network computes: stages do not add up.
    if WALL not in frame.columns:
        return {}
    seconds = float(frame[WALL].mean()) / 1000
    return {"seconds_per_sample": seconds, "samples_per_second": 1 / seconds}
