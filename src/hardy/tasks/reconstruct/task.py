"""Reconstruction as a task: an answer is an image with levels in [0, 1]."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from hardy.core.errors import DataError, MethodError
from hardy.data.item import Prepared, Targets
from hardy.explain.planes import PlaneRow, levels
from hardy.measure.records import column
from hardy.tasks.base import WINDOW, Content, Task
from hardy.tasks.packed import packed, unpacked
from hardy.tasks.reconstruct.pictures import psnr_histogram, reconstruct_planes
from hardy.tasks.reconstruct.spec import ReconstructSpec
from hardy.tasks.report import as_csv, operations

_EXACT = 1e-10
"""Squared error below which an image counts as exact: 100 dB, far finer than levels of 8 bits."""


def build(spec: ReconstructSpec, names: tuple[str, ...], void: int | None) -> "Reconstruct":
    """Build the task; it has no classes."""
    return Reconstruct(spec, names, void)


def psnr(mse: np.ndarray) -> np.ndarray:
    """Return peak signal-to-noise ratios in dB of squared errors of levels in [0, 1]."""
    return np.asarray(-10 * np.log10(np.maximum(mse, _EXACT)))


class Reconstruct(Task):
    """Give the image as it was before the shift; the score is the negative mean squared error.

    A network's outputs are levels in [0, 1], not normalised ones.
    """

    fields: ClassVar[tuple[str, ...]] = ("mse", "l1")
    tabled: ClassVar[tuple[str, ...]] = ("mse", "psnr", "l1")
    returns: ClassVar[Mapping[str, Any]] = {
        "image": "string",
        "width": "long",
        "height": "long",
        "window": "string",
    }
    params: ClassVar[Mapping[str, int | float | bool | str]] = {WINDOW: "whole"}
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {WINDOW: ("whole", "tiles")}

    @property
    def outputs(self) -> int:
        """Red, green and blue."""
        return 3

    def answer(self, outputs: Tensor) -> Tensor:
        """Return images (B, 3, h, w) in [0, 1]: outputs beyond are cut off."""
        return outputs.detach().float().clamp(0, 1).cpu()

    def loss(
        self,
        outputs: Tensor,
        targets: Targets,
        *,
        smoothing: float = 0.0,
        class_weights: Tensor | None = None,
        terms: Mapping[str, float] | None = None,
        only: Tensor | None = None,
    ) -> Tensor:
        """Return the mean squared error of levels in [0, 1], (B,), or its terms; see `Task.loss`.

        Of the outputs as they are: where they were cut off, they would get no gradient.
        """
        if smoothing or class_weights is not None:
            message = "the loss of reconstruct has no classes to smooth or to weigh"
            raise MethodError(message, hint="Leave smoothing and class weights out.")
        image = _image(targets)
        _check_size("the network's outputs", outputs, image)
        asked = self.asked_terms(terms, "mse", only)
        errors = outputs.float() - image.float() / 255
        found = [weight * _mean(_TERMS[name](errors), only) for name, weight in asked.items()]
        return torch.stack(found).sum(0)

    def truth(self, targets: Targets) -> dict[str, list[Any]]:
        """Return no column: the image itself is too large for a record."""
        _image(targets)
        return {}

    def columns(self, name: str, answers: Tensor, targets: Targets) -> dict[str, list[Any]]:
        """Return the mean squared and the mean absolute error of B answers (B, 3, h, w)."""
        image = _image(targets)
        _check_size(f"answer {name!r}", answers, image)
        # By numpy, whose sums over an image do not depend on the images beside it.
        errors = (answers - image.float() / 255).double().flatten(1).numpy()
        found = {"mse": (errors**2).mean(1), "l1": np.abs(errors).mean(1)}
        if not np.isfinite(found["l1"]).all():
            message = f"answer {name!r} is not finite"
            raise MethodError(message, hint="The training or the adaptation diverged.")
        return {field: values.tolist() for field, values in found.items()}

    def score(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        """Return the negative mean squared error of each image (N,)."""
        return -column(frame, f"{name}.mse").astype(np.float64)

    def uncertainty(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        """Return the mean squared error (N,): the answer itself says nothing of its doubts."""
        return column(frame, f"{name}.mse").astype(np.float64)

    def metrics(self, frame: pd.DataFrame, name: str) -> dict[str, float]:
        """Return mse, psnr, image_psnr and l1."""
        mse, l1 = (column(frame, f"{name}.{field}").astype(float) for field in self.fields)
        return {
            "mse": float(mse.mean()),
            "psnr": float(psnr(mse.mean())),
            "image_psnr": float(psnr(mse).mean()),
            "l1": float(l1.mean()),
        }

    def report(
        self, frame: pd.DataFrame, main: str, baseline: str | None
    ) -> Iterator[tuple[str, Content]]:
        """Yield each sample's ratio, the worst first, and how they are spread."""
        names = self.answers(frame)
        ratios = {name: psnr(column(frame, f"{name}.mse")) for name in names}
        table = pd.DataFrame({"sample": frame["sample"], "shift": frame["shift"], **ratios})
        yield "report/psnr.csv", as_csv(table.sort_values(main, kind="stable"))
        yield "report/psnr.png", psnr_histogram(ratios)
        if baseline is not None and self.compares(frame, main, baseline):
            yield from operations(self, frame, main, baseline)

    def planes(self, item: Prepared, answers: Mapping[str, Tensor]) -> PlaneRow:
        """Return one sample: clean, as it was seen, each answer, and how far the last is off."""
        found = {name: levels(255 * answer) for name, answer in answers.items()}
        clean = levels(_image(item.targets)[0])
        return reconstruct_planes(clean, levels(item.pixels[0]), found)

    def served(
        self, answer: Tensor, undo: Callable[[np.ndarray], np.ndarray], params: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the image at its own size, as PNG in base64.

        Where a centre crop saw nothing, the level of the crop's edge stands.
        """
        planes = [undo(plane) for plane in answer.numpy()]
        image = np.rint(255 * np.stack(planes, -1)).clip(0, 255).astype(np.uint8)
        height, width = image.shape[:2]
        return {
            "image": packed(Image.fromarray(image)),
            "width": width,
            "height": height,
            "window": params["window"],
        }

    def told(self, row: Mapping[str, Any]) -> list[str]:
        """Return its size, and how it was seen."""
        return [f"{row['width']} x {row['height']} pixels", f"seen: {row['window']}"]

    def files(self, row: Mapping[str, Any], image: Image.Image) -> Mapping[str, bytes]:
        """Return the image."""
        return {"image.png": unpacked(row["image"])}


_TERMS: Mapping[str, Callable[[Tensor], Tensor]] = {"mse": torch.square, "l1": torch.abs}


def _mean(errors: Tensor, only: Tensor | None) -> Tensor:
    """Return the mean (B,) of errors (B, 3, h, w) over pixels; 0 where there is none."""
    if only is None:
        return errors.mean((1, 2, 3))
    return (errors.mean(1) * only).sum((1, 2)) / only.sum((1, 2)).clamp(min=1)


def _image(targets: Targets) -> Tensor:
    if targets.image is None:
        message = "the samples have no image from before the shift, which reconstruct needs"
        raise DataError(message, hint="Choose another task.")
    return targets.image


def _check_size(what: str, planes: Tensor, image: Tensor) -> None:
    if planes.shape != image.shape:
        message = f"{what} are {tuple(planes.shape)}, where the images are {tuple(image.shape)}"
        hint = "A network for this task answers for each pixel of its input."
        raise MethodError(message, hint=hint)
