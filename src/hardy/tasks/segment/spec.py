"""Schema of the task `segment`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from hardy.tasks.base_spec import Metric, TaskBase

# What says the same as leaving a field out, so that both are one experiment.
_TWO = 2
_UNSTATED = {"probabilities": "softmax", "binary": False, "resolution": "network", "ignore": ()}


def _share(meaning: str) -> Metric:
    return Metric(f"{meaning}, 0 to 1", True, (0, 1))


class SegmentSpec(TaskBase):
    """Say for each pixel of an image which one of some classes it shows."""

    VERSION: ClassVar[int] = 1

    metrics: ClassVar[Mapping[str, Metric]] = {
        "miou": _share("mean over classes of the overlap of all images' pixels over their union"),
        "image_iou": _share(
            "mean over images of the mean over their own classes of overlap over union"
        ),
        "dice": _share(
            "mean over classes of twice the overlap over both areas, of all images' pixels"
        ),
        "pixel_accuracy": _share("share of pixels whose class is right"),
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
        "image_dice": _share(
            "mean over images of the mean over their own classes of twice the overlap over both "
            "areas"
        ),
        "inner_miou": _share(
            "miou without the pixels that have another class of the truth within 2 rows and 2 "
            "columns"
        ),
        "inner_dice": _share(
            "dice without the pixels that have another class of the truth within 2 rows and 2 "
            "columns"
        ),
        "soft_dice_pooled": _share(
            "mean over images of twice the right classes' probabilities over the sums of truth and "
            "of all probabilities, all classes pooled, as COMP0197 scored its VQ-VAE"
        ),
        "soft_iou_pooled": _share(
            "mean over images of the right classes' probabilities over what truth and "
            "probabilities have together, all classes pooled, as COMP0197 scored its VQ-VAE"
        ),
        "batch_miou": _share(
            "mean over groups of 32 consecutive images of the mean over the set's classes of "
            "overlap over union, where a class that a group lacks counts 1, as COMP0197 scored its "
            "LinkNet"
        ),
        "batch_dice": _share(
            "mean over groups of 32 consecutive images of the mean over the set's classes of twice "
            "the overlap over both areas, where a class that a group lacks counts 1, as COMP0197 "
            "scored its LinkNet"
        ),
        "boundary_f1": _share(
            "mean over images of the mean over their own classes of the F1 of boundary pixels, "
            "right within 0.75 % of the image's diagonal and at least 1 pixel"
        ),
    }
    target: ClassVar[Literal["label", "mask", "image"]] = "mask"
    dense: ClassVar[bool] = True
    loss_options: ClassVar[frozenset[str]] = frozenset({"smoothing", "class_weights"})
    loss_terms: ClassVar[frozenset[str]] = frozenset(
        {
            "cross_entropy",
            "dice",
            "iou",
            "focal",
            "sigmoid_cross_entropy",
            "mse",
            "pseudo_dice",
            "pseudo_iou",
        }
    )

    kind: Literal["segment"] = "segment"
    probabilities: Annotated[
        Literal["softmax", "sigmoid"] | None,
        Field(
            description="What makes probabilities of a network's outputs: `softmax` (none stated), "
            "or a `sigmoid` of each, which do not sum to one. Losses of overlap go by them; the "
            "entropy and the likelihood of a pixel by their shares of the sum."
        ),
    ] = None
    ignore: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...] | None,
        Field(
            description="Classes that count for nothing: no pixel whose truth is one of them is "
            "learned from or judged, and none is part of a mean over classes. The network keeps "
            "their channels.",
            examples=[["border"]],
        ),
    ] = None
    binary: Annotated[
        bool | None,
        Field(
            description="One channel for two classes: the probability of the second is the sigmoid "
            "of the network's output."
        ),
    ] = None
    resolution: Annotated[
        Literal["network", "image"] | None,
        Field(
            description="Where answers are scored: at the size of the network's input (none "
            "stated), or brought to each `image`'s own and held against its own mask. A training "
            "measures its epochs at the network's."
        ),
    ] = None

    @field_validator(*_UNSTATED, mode="before")
    @classmethod
    def _as_unstated(cls, stated: Any, info: Any) -> Any:  # noqa: ANN401 - not validated yet
        value = tuple(stated) if isinstance(stated, list) else stated
        return None if value == _UNSTATED[info.field_name] else value

    @model_validator(mode="after")
    def _one_sigmoid(self) -> Self:
        if self.binary and self.probabilities == "sigmoid":
            message = "binary is a sigmoid of one channel already; leave probabilities out"
            raise ValueError(message)
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes that are to be ignored."""
        return self.ignore or ()

    @property
    def normal(self) -> bool:
        """Whether a pixel's probabilities sum to one."""
        return self.probabilities != "sigmoid"

    def misfit(self, classes: Sequence[str]) -> str:
        """Say whether `binary` has other than two classes, or `ignore` leaves none."""
        if self.binary and len(classes) != _TWO:
            named = ", ".join(classes[:8])
            return f"binary is for two classes, and these are {len(classes)}: {named}"
        if classes and set(classes) <= set(self.ignore or ()):
            return "ignore names all classes, so that no pixel counts"
        return ""

    def planes(self, classes: int) -> int:
        """Return one channel for each class, or one for two."""
        return 1 if self.binary and classes == 2 else classes

    @property
    def own_size(self) -> bool:
        """Whether `resolution` is the image's."""
        return self.resolution == "image"
