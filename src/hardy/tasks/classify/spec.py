"""Schema of the task `classify`: which of the dataset's classes an image shows."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

from hardy.tasks.base_spec import Metric, TaskBase


class ClassifySpec(TaskBase):
    """Name the class of an image."""

    metrics: ClassVar[Mapping[str, Metric]] = MappingProxyType(
        {
            "accuracy": Metric(
                "share of samples whose most probable class is right, 0 to 1", higher_is_better=True
            ),
            "error": Metric(
                "share of samples whose most probable class is wrong, 0 to 1",
                higher_is_better=False,
            ),
            "top5": Metric(
                "share of samples whose class is among the five most probable, 0 to 1",
                higher_is_better=True,
            ),
            "nll": Metric(
                "mean negative log-likelihood of the right class, in nats", higher_is_better=False
            ),
            "ece": Metric("expected calibration error, 0 to 1", higher_is_better=False),
            "entropy": Metric("mean entropy of the prediction, in nats", higher_is_better=None),
            "confidence": Metric(
                "mean probability of the predicted class, 0 to 1", higher_is_better=None
            ),
        }
    )

    kind: Literal["classify"] = "classify"
