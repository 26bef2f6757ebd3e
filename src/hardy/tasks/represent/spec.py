"""Schema of the task `represent`."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from hardy.tasks.base_spec import Metric, TaskBase


class RepresentSpec(TaskBase):
    """Give a feature vector of the image, whatever it shows."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "spread": Metric(
            "standard deviation of the unit-length features, mean over their D dimensions, times "
            "the root of D: 1 where they point everywhere alike, 0 where all are the same",
            True,
            (0, 1),
        ),
        "effective_rank": Metric(
            "exponential of the entropy of the unit-length features' singular values, as shares of "
            "their sum: how many dimensions the features use, from 1",
            True,
            (1, None),
        ),
    }
    target: ClassVar[Literal["label", "mask", "image", "none"]] = "none"
    of_features: ClassVar[bool] = True
    has_loss: ClassVar[bool] = False

    kind: Literal["represent"] = "represent"
