"""How good an answer is over a table of records."""

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from hardy.measure.records import column
from hardy.tasks.classify.calibration import ece


def correct(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Return whether each prediction of an answer is right, (N,) of bool."""
    return np.asarray(column(frame, f"{name}.prediction") == column(frame, "label"))


def top_k(frame: pd.DataFrame, name: str, k: int = 5) -> float:
    """Return the share of samples whose label is among the k most probable classes, in [0, 1]."""
    return float((column(frame, f"{name}.label_rank") < k).mean())


def nll(frame: pd.DataFrame, name: str) -> float:
    """Return the mean negative log-probability of the label, in nats.

    A probability that underflowed to zero counts as the smallest normal number (708 nats), so one
    hopeless sample does not make the mean infinite.
    """
    probabilities = column(frame, f"{name}.label_probability").astype(np.float64)
    return float(-np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)).mean())


def answer_metrics(frame: pd.DataFrame, name: str) -> dict[str, float]:
    """Return every metric of one answer by its plain name.

    Raises:
        DataError: If the table is empty or lacks the answer.
    """
    right = correct(frame, name)
    confidence = column(frame, f"{name}.confidence")
    return {
        "accuracy": float(right.mean()),
        "error": float(1 - right.mean()),
        "top5": top_k(frame, name),
        "nll": nll(frame, name),
        "ece": ece(confidence, right),
        "entropy": float(column(frame, f"{name}.entropy").mean()),
        "confidence": float(confidence.mean()),
    }


def interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion, in [0, 1].

    Wilson, "Probable inference, the law of succession, and statistical inference", 1927: unlike
    the normal interval it keeps its level near 0 and 1, where ImageNet-A's accuracies lie.
    """
    bounds = binomtest(successes, n).proportion_ci(confidence_level=confidence, method="wilson")
    return float(bounds.low), float(bounds.high)


def per_class(frame: pd.DataFrame, name: str, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return one row a class that occurs as a label: label, class, samples, right, accuracy."""
    labels, right = column(frame, "label"), correct(frame, name)
    present = np.unique(labels)
    samples = [int(np.sum(labels == label)) for label in present]
    hits = [int(np.sum(right[labels == label])) for label in present]
    return pd.DataFrame(
        {
            "label": present,
            "class": [classes[label] for label in present],
            "samples": samples,
            "right": hits,
            "accuracy": np.divide(hits, samples),
        }
    )
