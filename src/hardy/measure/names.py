"""The names of the metrics, light enough to check a spec with."""

METRICS = (
    "accuracy",
    "top5",
    "nll",
    "ece",
    "entropy",
    "confidence",
    "seconds_per_sample",
    "samples",
)
