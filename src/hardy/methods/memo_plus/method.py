"""MEMO_PLUS: MEMO whose batch also holds images that show what a segmenter found.

Grad-CAM of the predicted class names a point; Segment Anything (arXiv:2304.02643) gives masks; each
mask at the point leaves a part of the image. MEMO's step (arXiv:2110.09506) is then taken on
H( (1/(B+K)) Σ_i p_θ(·|x_i) ) over the B views and the K masked images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hardy.data.preprocess import Preprocess
from hardy.explain.mask_panel import mask_panel
from hardy.explain.point import point_of_interest
from hardy.methods.base import Adapts, Outcome, Subject
from hardy.methods.memo.method import Memo
from hardy.methods.memo.spec import MemoSpec
from hardy.methods.memo_plus.masks import (
    WHOLE,
    Masks,
    Pixels,
    Point,
    bounding_box,
    kept,
    masked_images,
)
from hardy.methods.memo_plus.segmenters import Segmenter, build_segmenter
from hardy.methods.memo_plus.spec import MemoPlusSpec
from hardy.models.model import Model
from hardy.tasks.base import Task


@dataclass(frozen=True)
class Regions:
    """What the segmenter found in one image.

    Attributes:
        canvas: What was segmented (h, w, 3); the first view's where every view was.
        masks: Its masks that are used (K, h, w).
        point: Where Grad-CAM is highest on the canvas, (x, y) in pixels; None if nobody asked.
        images: The masked images (M, S, S, 3); M = K unless every view was segmented.
        degenerate: Whether no masked image hides anything: there is none, or each is the same as
            what the network sees of its original in more than 95 % (`WHOLE`) of it, padding left
            out. A crop is so where its box covers as much of the image, and the image is not
            distorted by being stretched.
    """

    canvas: Pixels
    masks: Masks
    point: Point | None
    images: Pixels
    degenerate: bool


class MemoPlus(Memo):
    """Adapts to one test point by a step on its views and on its masked images.

    The ensembles that MEMO gives without a further pass are over views and masked images alike.

    Args:
        model: The source model.
        spec: MEMO's settings, the segmenter, and the policy of masks.
        segmenter: Gives all masks of an image.
    """

    # Masks may lie in the cache, so what they take is no stage, and no answer from them has a cost.
    looks = ("views", "masks")

    spec: MemoPlusSpec

    def __init__(self, model: Model, spec: MemoPlusSpec, segmenter: Segmenter) -> None:
        super().__init__(model, spec)
        self.segmenter = segmenter

    def predict(self, subject: Subject) -> Outcome:
        """Answer for one image as MEMO does, over views and masked images.

        Raises:
            MethodError: If the loss or the Grad-CAM is not finite.
        """
        start = perf_counter()
        regions = self.regions(subject)
        found = 1e3 * (perf_counter() - start)
        batch = self.batch(subject, regions)
        # Classes have no sides, so that nothing is to be mirrored back.
        outcome = super().predict(replace(subject, views=batch, mirrored=()))
        plain = len(batch) - len(regions.images)
        selected: list[int] = outcome.details["selected_views"]
        details = outcome.details | {
            "selected_views": [index for index in selected if index < plain],
            "selected_masks": [index - plain for index in selected if index >= plain],
            "masks": len(regions.images),
            "degenerate_masks": regions.degenerate,
            "segmenter": self.spec.segmenter.label,
        }
        if regions.point is not None:
            details["point"] = list(regions.point)
        return replace(
            outcome, details=details, milliseconds=outcome.milliseconds | {"segment": found}
        )

    def batch(self, subject: Subject, regions: Regions) -> Tensor:
        """Return views and masked images, normalised, (B + M, 3, S, S); the original is first."""
        views = subject.views if self.spec.batch == "report" else subject.views[:1]
        if not len(regions.images):
            return views
        pixels = torch.from_numpy(regions.images).permute(0, 3, 1, 2).to(views.device)
        return torch.cat([views, self.model.preprocess.normalise(pixels)])

    def regions(self, subject: Subject) -> Regions:
        """Segment the original or every view, and make the masked images.

        The model must be the source model.
        """
        if self.spec.policy.segment == "every_view":
            found = [self._in(view, None) for view in self._levels(subject.views)]
            return replace(
                found[0],
                images=np.concatenate([each.images for each in found]),
                degenerate=all(each.degenerate for each in found),
            )
        point = None
        if self.spec.policy.keep == "at_point":
            point = point_of_interest(self.model, subject.views[:1])
        if subject.canvas is None:  # views are cut from what the network sees
            return self._in(self._levels(subject.views[:1])[0], point)
        if point is not None:
            point = on_canvas(point, subject.canvas, self.model.preprocess)
        return self._in(subject.canvas, point, placed=False)

    def _in(self, canvas: Pixels, point: Point | None, *, placed: bool = True) -> Regions:
        """Find an image's regions; `placed` says that it is the network's input already."""
        policy, preprocess = self.spec.policy, self.model.preprocess
        masks = kept(self.segmenter(canvas), policy, point)
        images = masked_images(canvas, masks, policy.show)
        if policy.show == "crop":
            images = [_stretched(image, preprocess) for image in images]
            copies = [_is_all(canvas, mask, preprocess, placed) for mask in masks]
        else:
            hidden = [_hidden(image, canvas, None if placed else preprocess) for image in images]
            copies = [1 - share > WHOLE for share in hidden]
            images = images if placed else [_seen(image, preprocess) for image in images]
        empty: Pixels = np.zeros((0, preprocess.height, preprocess.width, 3), np.uint8)
        return Regions(canvas, masks, point, np.stack(images) if images else empty, all(copies))

    def _levels(self, views: Tensor) -> Pixels:
        """Return normalised views (V, 3, S, S) as the levels (V, S, S, 3) that they came from."""
        preprocess = self.model.preprocess
        mean, std = (
            torch.tensor(values, device=views.device).view(1, 3, 1, 1)
            for values in (preprocess.mean, preprocess.std)
        )
        levels = (views.float() * std + mean).mul(255).round().clamp(0, 255).byte()
        return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()

    def companions(self) -> Mapping[str, Adapts]:
        """Return MEMO on the views alone, to be compared with."""
        own = {name: getattr(self.spec, name) for name in MemoSpec.model_fields if name != "kind"}
        return {"memo": Memo(self.model, MemoSpec(**own))}

    def illustrate(self, subject: Subject) -> Mapping[str, Image.Image]:
        """Draw the masks, the point, and the masked images."""
        regions = self.regions(subject)
        panel = mask_panel(regions.canvas, regions.masks, regions.point, regions.images, subject.id)
        return {"masks": panel}


def on_canvas(point: Point, canvas: Pixels, preprocess: Preprocess) -> Point:
    """Return where a pixel (x, y) of the network's input comes from on a canvas (h, w, 3)."""
    height, width = canvas.shape[:2]
    x, y = preprocess.origin(point[0] + 0.5, point[1] + 0.5, width, height)
    return min(max(int(x), 0), width - 1), min(max(int(y), 0), height - 1)


def _seen(image: Pixels, preprocess: Preprocess) -> Pixels:
    return np.asarray(preprocess.geometry(Image.fromarray(image)))


def _hidden(image: Pixels, canvas: Pixels, preprocess: Preprocess | None) -> float:
    """Return in what share of a canvas, as far as the network sees it, a masked image is another.

    Args:
        image: The masked image, of the canvas's size.
        canvas: What it is made of.
        preprocess: The way to the network's input; None where the canvas is there already.
    """
    other = (image != canvas).any(axis=-1)
    if preprocess is None:
        return float(other.mean())
    planes = (other, np.ones_like(other))
    moved, inside = (
        np.asarray(preprocess.mask(Image.fromarray(plane.astype(np.uint8)), fill=0))
        for plane in planes
    )
    return float(moved.sum() / inside.sum())


def _is_all(canvas: Pixels, mask: Masks, preprocess: Preprocess, placed: bool) -> bool:
    """Tell whether a mask's box, stretched to the input, is nearly what the network sees anyway."""
    left, top, right, bottom = bounding_box(mask)
    height, width = mask.shape
    sides = (width / height) / (preprocess.width / preprocess.height)
    undistorted = placed or preprocess.fit == "squeeze" or WHOLE < sides < 1 / WHOLE
    return bool(undistorted and (right - left) * (bottom - top) > WHOLE * height * width)


def _stretched(image: Pixels, preprocess: Preprocess) -> Pixels:
    # As published, without regard to its sides' ratio: a centre crop would lose a long box's ends.
    filter_ = Image.Resampling[preprocess.interpolation.upper()]
    return np.asarray(Image.fromarray(image).resize((preprocess.width, preprocess.height), filter_))


def build(spec: MemoPlusSpec, models: Sequence[Model], task: Task) -> MemoPlus:
    """Build the method from its schema."""
    del task  # its answers are those of `classify`
    device = next(models[0].parameters()).device
    return MemoPlus(models[0], spec, build_segmenter(spec.segmenter, device))
