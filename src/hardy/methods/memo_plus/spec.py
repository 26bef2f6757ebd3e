"""Schema of the method `memo_plus`; defaults are its report's: SAM, Grad-CAM's point, AdamW."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hardy.core.numbers import Positive
from hardy.core.spec import Spec
from hardy.data.view_spec import Operations, ViewSpec
from hardy.methods.base_spec import Passes
from hardy.methods.memo.spec import MemoSpec, Rho
from hardy.methods.optim_spec import AdamW, OptimizerSpec
from hardy.models.files import content_identity

Share = Annotated[float, Field(ge=0, le=1)]


class Sam(Spec):
    """Segment Anything's automatic masks (arXiv:2304.02643), from a checkpoint file."""

    kind: Literal["sam"] = "sam"
    arch: Annotated[
        Literal["vit_b", "vit_l", "vit_h"], Field(description="Size of the image encoder.")
    ] = "vit_b"
    checkpoint: Annotated[
        str,
        Field(
            min_length=1,
            description="Path of the weights, such as `${HARDY_DATA}/weights/NAME.pth`. What the "
            "file holds enters the fingerprint, not where it lies.",
        ),
    ] = "${HARDY_DATA}/weights/sam_vit_b_01ec64.pth"
    points_per_side: Annotated[
        int, Field(ge=1, le=256, description="Points a side of the grid that prompts for masks.")
    ] = 32
    pred_iou_thresh: Annotated[
        Share, Field(description="Least quality that SAM itself predicts for a mask.")
    ] = 0.88
    stability_score_thresh: Annotated[
        Share, Field(description="Least overlap of a mask with itself at another cut-off.")
    ] = 0.95
    box_nms_thresh: Annotated[
        Share, Field(description="Overlap of boxes beyond which the worse mask is dropped.")
    ] = 0.7
    crop_n_layers: Annotated[
        int, Field(ge=0, le=4, description="Layers of crops that are segmented once more.")
    ] = 0

    def identity(self) -> dict[str, Any]:
        """Return values and versions, with the checkpoint's SHA-256 in place of its path."""
        return super().identity() | {"checkpoint": content_identity(self.checkpoint)}

    @property
    def label(self) -> str:
        """What it is, for records: the architecture and the checkpoint's SHA-256."""
        return f"sam {self.arch} {self.identity()['checkpoint']}"


class Superpixels(Spec):
    """SLIC's superpixels (Achanta et al. 2012): a stand-in for SAM that needs no weights."""

    VERSION: ClassVar[int] = 1

    kind: Literal["superpixels"] = "superpixels"
    segments: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="Superpixels that are asked for, about: they grow from a grid, of 3 times "
            "3 for 12 on a square of 224 pixels.",
        ),
    ] = 12
    compactness: Annotated[
        Positive, Field(description="Weight of nearness against likeness in colour.")
    ] = 10.0
    sigma: Annotated[
        float,
        Field(
            ge=0,
            le=100,
            description="Standard deviation of the Gaussian that first smooths the image, in its "
            "pixels; the default is for 224, at 32 it leaves hardly more than a grid. Where noise "
            "in the colours outweighs `compactness`, superpixels fall into specks, merged "
            "until one is left; smoothing divides the noise by 3.5 sigma.",
        ),
    ] = 4.0

    @property
    def label(self) -> str:
        """What it is, for records."""
        return self.kind


SegmenterSpec = Annotated[Sam | Superpixels, Field(discriminator="kind")]


class MaskPolicy(Spec):
    """Which masks are used, and what an image made with one of them shows."""

    segment: Annotated[
        Literal["original", "every_view"],
        Field(description="What is segmented: the original image, or every view of it."),
    ] = "original"
    min_area: Annotated[
        int, Field(ge=0, description="Smaller masks are dropped, in pixels of what is segmented.")
    ] = 500
    top: Annotated[int, Field(ge=1, le=1000, description="Masks kept, the largest first.")] = 10
    keep: Annotated[
        Literal["largest", "at_point"],
        Field(
            description="`largest` uses all of these; `at_point` those that contain the point "
            "where Grad-CAM is highest, or else the one whose centroid is nearest to it."
        ),
    ] = "at_point"
    show: Annotated[
        Literal["blurred", "crop", "black", "box"],
        Field(
            description="What a masked image shows: all, blurred outside the mask; the mask's "
            "bounding box, cut out and enlarged; all, black outside the mask; or all, black "
            "outside the mask's bounding box."
        ),
    ] = "box"

    @model_validator(mode="after")
    def _point_is_the_originals(self) -> Self:
        if self.segment == "every_view" and self.keep == "at_point":
            message = "segment every_view needs keep: largest; the point lies in the original alone"
            raise ValueError(message)
        return self


class MemoPlusSpec(MemoSpec):
    """Minimise the entropy of the mean prediction over views and over masked images."""

    tasks: ClassVar[tuple[str, ...]] = ("classify",)
    needs_canvas: ClassVar[bool] = True
    warnings: ClassVar[Mapping[str, str]] = {
        "degenerate_masks": "have no masked image that hides anything: there memo_plus is memo, "
        "but for copies of the original; change method.segmenter (superpixels: more segments, a "
        "larger sigma; sam: lower thresholds), lower method.policy.min_area, or show black or "
        "blurred in place of a box"
    }

    kind: Literal["memo_plus"] = "memo_plus"  # type: ignore[assignment]
    views: Annotated[ViewSpec, Field(description="Augmentation that makes the views.")] = (
        Operations()
    )
    optimizer: Annotated[OptimizerSpec, Field(description="Optimizer of the adapted weights.")] = (
        AdamW(lr=2.5e-4)
    )
    bn_prior: Annotated[
        float | Rho | None,
        Field(
            description="Strength N of the training statistics in batch normalisation, as in "
            "`memo`; none keeps the training statistics alone.",
        ),
    ] = None
    segmenter: Annotated[SegmenterSpec, Field(description="What makes the masks.")] = Sam()
    policy: Annotated[MaskPolicy, Field(description="Which masks are used, and how.")] = (
        MaskPolicy()
    )
    batch: Annotated[
        Literal["report", "segments_only"],
        Field(
            description="What the loss runs over: the views and the masked images, as the report "
            "says; or the original and the masked images, as its final scripts do."
        ),
    ] = "report"

    @model_validator(mode="after")
    def _segments_need_the_original(self) -> Self:
        if self.batch == "segments_only" and not self.views.include_original:
            message = "batch segments_only needs include_original: true in views"
            raise ValueError(message)
        return self

    @property
    def most_masks(self) -> int:
        """Largest number of masked images a sample."""
        if self.policy.keep == "at_point" and isinstance(self.segmenter, Superpixels):
            return 1  # superpixels do not overlap
        images = self.views.rows if self.policy.segment == "every_view" else 1
        return images * self.policy.top

    @property
    def files(self) -> tuple[str, ...]:
        """Segment Anything's checkpoint."""
        return (self.segmenter.checkpoint,) if isinstance(self.segmenter, Sam) else ()

    def cost(self) -> Passes:
        """Return one sample's passes at most: fewer where fewer masks are found."""
        count = (self.views.count if self.batch == "report" else 1) + self.most_masks
        views = self.views.model_copy(update={"count": count})
        memo = MemoSpec.cost(self.model_copy(update={"views": views}))
        if self.policy.keep == "largest":
            return memo
        # Grad-CAM: a pass for the class, one that finds the layer, one with its gradient.
        return Passes(memo.forward + 3, memo.backward + 1, memo.batch)
