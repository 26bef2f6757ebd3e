"""The columns of one answer: five numbers from which every metric can be computed again."""

import numpy as np

from hardy.core.errors import DataError, MethodError

FIELDS = ("prediction", "confidence", "entropy", "label_probability", "label_rank")

# log-softmax in float32 over 1,000 classes sums to one within 1e-5; raw logits never do.
_SUM_TOLERANCE = 1e-3


def answer_fields(name: str, log_probabilities: np.ndarray, label: int) -> dict[str, int | float]:
    """Return the columns of one answer for one sample, by field.

    Args:
        name: Name of the answer, for messages.
        log_probabilities: (C,), natural logarithms; minus infinity stands for zero.
        label: True class, in [0, C).

    Returns:
        Prediction, confidence in [0, 1], entropy in nats, probability of the label in [0, 1], and
        rank of the label (0 is the top). Equal probabilities rank by the lower index.

    Raises:
        MethodError: If the values are not the logarithms of a distribution.
        DataError: If there is no such class.
    """
    values = _normalised(name, log_probabilities)
    if not 0 <= label < len(values):
        message = f"label {label} lies outside the {len(values)} classes of answer {name!r}"
        raise DataError(message, hint="Check the dataset's class map against the model's outputs.")
    probabilities = np.exp(values)
    before = np.arange(len(values)) < label
    rank = np.sum(values > values[label]) + np.sum((values == values[label]) & before)
    prediction = int(np.argmax(values))
    return {
        "prediction": prediction,
        "confidence": float(probabilities[prediction]),
        "entropy": _entropy(values, probabilities),
        "label_probability": float(probabilities[label]),
        "label_rank": int(rank),
    }


def _normalised(name: str, log_probabilities: np.ndarray) -> np.ndarray:
    values = np.asarray(log_probabilities, dtype=np.float64)
    total = float(np.exp(values).sum()) if values.ndim == 1 else float("nan")
    if not abs(total - 1) <= _SUM_TOLERANCE:
        message = (
            f"answer {name!r} of shape {values.shape} is not a vector of log-probabilities: "
            f"the probabilities sum to {total:g}"
        )
        hint = "Apply a log-softmax; a NaN here means that the adaptation diverged."
        raise MethodError(message, hint=hint)
    return np.asarray(values - np.log(total))


def _entropy(values: np.ndarray, probabilities: np.ndarray) -> float:
    # 0 · log 0 is 0 in the limit, and NaN in floating point.
    held = probabilities > 0
    return max(0.0, float(-np.sum(probabilities[held] * values[held])))
