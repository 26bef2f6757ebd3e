"""Several runs of one matrix as one number: the mean, and the mean corruption error."""

from collections.abc import Mapping, Sequence

import numpy as np

MEANS = ("accuracy", "error", "source/accuracy", "source/error")
"""Metrics whose mean over a matrix is a number that papers print."""

# Top-1 errors of AlexNet on ImageNet-C, means over the five severities: Hendrycks & Dietterich
# 2019 (arXiv:1903.12261), repository hendrycks/robustness, ImageNet-C/test.py.
ALEXNET_ERROR: Mapping[str, float] = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
SEVERITIES = range(1, 6)

Shift = tuple[str, int]


def aggregate(
    runs: Sequence[Mapping[str, float]], shifts: Sequence[Shift | None]
) -> dict[str, float]:
    """Return the metrics that only several runs have together.

    Args:
        runs: Each run's metrics by name.
        shifts: Each run's corruption and severity, in the same order; None for another shift.

    Returns:
        `mean/NAME` of the metrics that all runs have, and `mce` and `source/mce` where the runs
        are the 15 corruptions of ImageNet-C at all five severities, each once.
    """
    found = {
        f"mean/{name}": float(np.mean([run[name] for run in runs]))
        for name in MEANS
        if runs and all(name in run for run in runs)
    }
    for prefix in ("", "source/"):
        errors = {
            shift: run[f"{prefix}error"]
            for run, shift in zip(runs, shifts, strict=True)
            if shift is not None and f"{prefix}error" in run
        }
        if len(errors) == len(runs) and set(errors) == _ALL:
            found[f"{prefix}mce"] = mean_corruption_error(errors)
    return found


_ALL = {(kind, severity) for kind in ALEXNET_ERROR for severity in SEVERITIES}


def mean_corruption_error(errors: Mapping[Shift, float]) -> float:
    """Return ImageNet-C's mCE: the mean over corruptions of the error relative to AlexNet's.

    Args:
        errors: Error in [0, 1] at each of the 15 corruptions and five severities.
    """
    ratios = [
        np.mean([errors[kind, severity] for severity in SEVERITIES]) / reference
        for kind, reference in ALEXNET_ERROR.items()
    ]
    return float(np.mean(ratios))
