"""One class a pixel: a network's outputs (B, C · side²) as maps (B, C, side, side)."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from hardy.tasks.dense.spec import DenseSpec
from PIL import Image
from torch import Tensor
from torch.nn import functional

from hardy.data.item import Targets
from hardy.measure.bootstrap import resampled
from hardy.measure.records import column
from hardy.tasks.base import Content, Task


class Dense(Task):
    """Answers are log-probabilities (B, C, side, side)."""

    fields = ("intersection", "predicted", "entropy")
    truth_fields = ("pixels",)
    tabled = ("miou", "pixel_error")
    returns: ClassVar[Mapping[str, Any]] = {
        "height": "long",
        "width": "long",
        "most": "string",
        "shares": ["double"],
    }
    params: ClassVar[Mapping[str, int | float | bool | str]] = {"background": True}

    spec: DenseSpec

    @property
    def outputs(self) -> int:
        return len(self.names) * self.spec.side**2

    def answer(self, outputs: Tensor) -> Tensor:
        maps = outputs.detach().float().view(len(outputs), -1, self.spec.side, self.spec.side)
        return maps.log_softmax(1).cpu()

    def truth(self, targets: Targets) -> dict[str, list[Any]]:
        return {"pixels": [self._count(mask) for mask in self._mask(targets)]}

    def columns(self, name: str, answers: Tensor, targets: Targets) -> dict[str, list[Any]]:
        mask = self._mask(targets)
        large = functional.interpolate(answers, mask.shape[1:], mode="nearest")
        predicted = large.argmax(1)
        right = torch.where(predicted == mask, mask, len(self.names))
        entropy = -(answers.exp() * answers).sum(1).mean((1, 2))
        return {
            "intersection": [self._count(each) for each in right],
            "predicted": [self._count(each) for each in predicted],
            "entropy": entropy.tolist(),
        }

    def _mask(self, targets: Targets) -> Tensor:
        assert targets.mask is not None
        return targets.mask

    def _count(self, mask: Tensor) -> list[int]:
        counts = torch.bincount(mask.flatten(), minlength=len(self.names))
        return [int(count) for count in counts[: len(self.names)]]

    def _sums(self, frame: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        wanted = (f"{name}.intersection", f"{name}.predicted", "pixels")
        both, predicted, true = (np.stack(column(frame, each).tolist()) for each in wanted)
        return both, predicted, true

    def score(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        both, predicted, true = self._sums(frame, name)
        union = predicted + true - both
        return np.asarray((both / np.maximum(union, 1)).sum(1) / (union > 0).sum(1))

    def uncertainty(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        return np.asarray(column(frame, f"{name}.entropy"))

    def metrics(self, frame: pd.DataFrame, name: str) -> dict[str, float]:
        both, predicted, true = (each.sum(0) for each in self._sums(frame, name))
        union = predicted + true - both
        there = union > 0
        return {
            "miou": float((both[there] / union[there]).mean()),
            "pixel_error": float(1 - both.sum() / true.sum()),
        }

    def interval(self, frame: pd.DataFrame, name: str) -> tuple[float, float]:
        return resampled(lambda places: self.metrics(frame.iloc[places], name)["miou"], len(frame))

    def report(
        self, frame: pd.DataFrame, main: str, baseline: str | None
    ) -> Iterator[tuple[str, Content]]:
        both, predicted, true = (each.sum(0) for each in self._sums(frame, main))
        rows = zip(self.names, both, predicted, true, strict=True)
        table = pd.DataFrame(rows, columns=["class", "intersection", "predicted", "pixels"])
        yield "report/classes.csv", str(table.to_csv(index=False))

    def panel(self, item: Any, answers: Mapping[str, Tensor]) -> Image.Image | None:
        maps = [answer.argmax(0).numpy().astype(np.uint8) for answer in answers.values()]
        return Image.fromarray(np.concatenate(maps, 1) * 30)

    def served(
        self, answer: Tensor, undo: Callable[[np.ndarray], np.ndarray], params: Mapping[str, Any]
    ) -> dict[str, Any]:
        mask = undo(answer.argmax(0).numpy().astype(np.uint8))
        counts = np.bincount(mask.flatten(), minlength=len(self.names))[: len(self.names)]
        shares = counts / mask.size  # beyond a centre crop, nothing was seen
        first = 0 if params["background"] else 1
        return {
            "height": mask.shape[0],
            "width": mask.shape[1],
            "most": self.names[first + int(shares[first:].argmax())],
            "shares": shares.tolist(),
        }


def build(spec: DenseSpec, names: tuple[str, ...], void: int | None) -> Dense:
    """Build the task from its schema."""
    return Dense(spec, names, void)
