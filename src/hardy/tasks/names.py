"""The names of the metrics, light enough to check a spec with."""

MEANINGS = {
    "accuracy": "share of samples whose most probable class is right, 0 to 1",
    "error": "share of samples whose most probable class is wrong, 0 to 1",
    "top5": "share of samples whose class is among the five most probable, 0 to 1",
    "nll": "mean negative log-likelihood of the right class, in nats",
    "ece": "expected calibration error, 0 to 1",
    "entropy": "mean entropy of the prediction, in nats",
    "confidence": "mean probability of the predicted class, 0 to 1",
    "seconds_per_sample": "mean time that a sample took, in seconds",
    "samples": "number of samples",
}
METRICS: tuple[str, ...] = tuple(MEANINGS)

# Answers that methods give beside their own.
_ANSWERS = ("source", "view_ensemble", "majority_vote", "zero_shot", "simple_ensemble")

EXPECTABLE: tuple[str, ...] = (
    *METRICS,
    *(f"{answer}/{metric}" for answer in _ANSWERS for metric in ("accuracy", "error")),
    "delta/accuracy",
    "mean/accuracy",
    "mean/error",
    "mean/source/accuracy",
    "mean/source/error",
    "mce",
    "source/mce",
)
"""What a spec may expect: a run's metrics, and those that a matrix's runs have together."""
