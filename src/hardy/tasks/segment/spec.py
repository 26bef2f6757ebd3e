"""Schema of the task `segment`."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from hardy.tasks.base_spec import Metric, TaskBase


class SegmentSpec(TaskBase):
    """Say for each pixel of an image which one of some classes it shows."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "miou": Metric(
            "mean over classes of the overlap of all images' pixels over their union, 0 to 1",
            True,
            (0, 1),
        ),
        "image_iou": Metric(
            "mean over images of the mean over their own classes of overlap over union, 0 to 1",
            True,
            (0, 1),
        ),
        "dice": Metric(
            "mean over classes of twice the overlap over both areas, of all images' pixels, 0 to 1",
            True,
            (0, 1),
        ),
        "pixel_accuracy": Metric("share of pixels whose class is right, 0 to 1", True, (0, 1)),
        "pixel_nll": Metric(
            "mean negative log-likelihood of a pixel's right class, in nats",
            False,
            (0, None),
            of_votes=False,
        ),
        "pixel_entropy": Metric("mean entropy of a pixel's prediction, in nats", None, (0, None)),
        "majority_miou": Metric(
            "what miou would be if every pixel were said to show the most frequent class, 0 to 1",
            None,
            (0, 1),
        ),
    }
    target: ClassVar[Literal["label", "mask", "image"]] = "mask"
    dense: ClassVar[bool] = True
    loss_options: ClassVar[frozenset[str]] = frozenset({"smoothing", "class_weights"})

    kind: Literal["segment"] = "segment"
