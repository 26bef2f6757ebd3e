"""Schema of the task `reconstruct`."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from hardy.tasks.base_spec import Metric, TaskBase


class ReconstructSpec(TaskBase):
    """Give the image as it was before the shift."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "mse": Metric(
            "mean squared error of levels in [0, 1], over all images", False, (0, 1), of_score=True
        ),
        "psnr": Metric(
            "peak signal-to-noise ratio of mse, in dB; at most 100",
            True,
            (0, 100),
            of_score=True,
        ),
        "image_psnr": Metric(
            "mean over images of their own peak signal-to-noise ratios, in dB; each at most 100",
            True,
            (0, 100),
        ),
        "l1": Metric("mean absolute error of levels in [0, 1], over all images", False, (0, 1)),
    }
    target: ClassVar[Literal["label", "mask", "image"]] = "image"
    dense: ClassVar[bool] = True
    loss_options: ClassVar[frozenset[str]] = frozenset({"only"})
    loss_terms: ClassVar[frozenset[str]] = frozenset({"mse", "l1"})

    kind: Literal["reconstruct"] = "reconstruct"
