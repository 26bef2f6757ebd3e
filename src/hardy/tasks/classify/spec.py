"""Schema of the task `classify`."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from hardy.tasks.base_spec import Metric, TaskBase


class ClassifySpec(TaskBase):
    """Say which one of some classes an image shows."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "accuracy": Metric(
            "share of samples whose most probable class is right, 0 to 1",
            True,
            (0, 1),
            of_score=True,
        ),
        "error": Metric(
            "share of samples whose most probable class is wrong, 0 to 1",
            False,
            (0, 1),
            of_score=True,
        ),
        "top5": Metric(
            "share of samples whose class is among the five most probable",
            True,
            (0, 1),
            of_votes=False,
        ),
        "nll": Metric(
            "mean negative log-likelihood of the right class, in nats",
            False,
            (0, None),
            of_votes=False,
        ),
        "ece": Metric("expected calibration error, 0 to 1", False, (0, 1)),
        "entropy": Metric("mean entropy of the prediction, in nats", None, (0, None)),
        "confidence": Metric("mean probability of the predicted class, 0 to 1", None, (0, 1)),
    }
    target: ClassVar[Literal["label", "mask", "image"]] = "label"
    loss_options: ClassVar[frozenset[str]] = frozenset({"smoothing", "class_weights"})
    loss_terms: ClassVar[frozenset[str]] = frozenset({"cross_entropy"})
    joint: ClassVar[tuple[str, ...]] = (
        "mean/accuracy",
        "mean/error",
        "mean/source/accuracy",
        "mean/source/error",
        "mce",
        "source/mce",
    )

    kind: Literal["classify"] = "classify"
