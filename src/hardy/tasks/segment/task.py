"""Segmentation as a task: an answer is the logarithms of each pixel's class probabilities."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from hardy.core.errors import DataError, MethodError
from hardy.data.item import Prepared, Targets
from hardy.data.preprocess import OUTSIDE
from hardy.explain.planes import Planes, label_colours, levels
from hardy.measure.records import column
from hardy.tasks.base import Content, Task
from hardy.tasks.base_spec import TaskBase
from hardy.tasks.report import as_csv, operations
from hardy.tasks.segment.counts import FIELDS, TRUTH, by_class, counts, measures
from hardy.tasks.segment.pictures import iou_bars, segment_planes
from hardy.tasks.segment.serving import CHOICES, PARAMS, RETURNS, files_of, row_of
from hardy.tasks.segment.spec import SegmentSpec

_IGNORED, _UNKNOWN = -1, -2
_LABELS = 256
# log-softmax in float32 sums to one within 1e-5 over a thousand classes; raw outputs never do.
_SUM_TOLERANCE = 1e-3
# Smaller probabilities add nothing to an entropy, and 0 · log 0 is NaN in floating point.
_LEAST = -80.0
_TOLD = 5


def build(spec: SegmentSpec, names: tuple[str, ...], void: int | None) -> "Segment":
    """Build the task."""
    return Segment(spec, names, void)


class Segment(Task):
    """Say which class each pixel shows; the score is an image's mean IoU over its own classes.

    A network has a channel for each label but void, in the labels' order. Pixels whose truth is
    void, or that lie in the padding, count for nothing.

    Attributes:
        labels: The label in masks that each channel stands for.
        classes: Their names.
    """

    fields: ClassVar[tuple[str, ...]] = FIELDS
    truth_fields: ClassVar[tuple[str, ...]] = (TRUTH,)
    # A pixel on the edge between two classes changes sides where the means hardly change.
    following: ClassVar[tuple[str, ...]] = ("intersection", "predicted")
    tabled: ClassVar[tuple[str, ...]] = ("miou", "dice", "pixel_accuracy")
    returns: ClassVar[Mapping[str, Any]] = RETURNS
    params: ClassVar[Mapping[str, int | float | bool | str]] = PARAMS
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = CHOICES

    def __init__(
        self, spec: TaskBase, names: tuple[str, ...] = (), void: int | None = None
    ) -> None:
        super().__init__(spec, names, void)
        self.labels = tuple(label for label in range(len(names)) if label != void)
        self.classes = tuple(names[label] for label in self.labels)
        self._channel_of = torch.full((_LABELS,), _UNKNOWN)
        self._channel_of[OUTSIDE if void is None else void] = _IGNORED
        self._channel_of[list(self.labels)] = torch.arange(len(self.labels))

    @property
    def outputs(self) -> int:
        """Classes without void."""
        return len(self.labels)

    def answer(self, outputs: Tensor) -> Tensor:
        """Return log-softmax over the classes (B, C, h, w) in float32, detached, on the CPU."""
        return torch.log_softmax(outputs.detach().float(), dim=1).cpu()

    def loss(
        self,
        outputs: Tensor,
        targets: Targets,
        *,
        smoothing: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """Return the mean cross-entropy over a sample's pixels, (B,) in nats; see `Task.loss`.

        Pixels that count for nothing are no part of the mean; a sample without others has loss 0.
        Outputs coarser than the masks are refused: a network enlarges its own.
        """
        channels = self._channels(targets)
        self._check_size("the network's outputs", outputs, channels)
        weights = class_weights if class_weights is None else class_weights.to(outputs.device)
        each = functional.cross_entropy(
            outputs.float(),
            channels,
            weights,
            ignore_index=_IGNORED,
            reduction="none",
            label_smoothing=smoothing,
        )
        kept = (channels != _IGNORED).sum((1, 2))
        return each.sum((1, 2)) / kept.clamp(min=1)

    def truth(self, targets: Targets) -> dict[str, list[Any]]:
        """Return the column `pixels`: how many are of each class."""
        channels = self._channels(targets)
        return {TRUTH: self._counted(channels)}

    def columns(self, name: str, answers: Tensor, targets: Targets) -> dict[str, list[Any]]:
        """Return the columns of B answers (B, C, h, w) by field; see `counts.Counts`."""
        channels = self._channels(targets)
        self._check_size(f"answer {name!r}", answers, channels)
        said = answers.max(1).indices
        kept = channels != _IGNORED
        right = kept & (said == channels)
        entropy, nll = _pixel_means(name, answers, channels.clamp(min=0), kept.numpy())
        return {
            "intersection": self._counted(said.where(right, _IGNORED)),
            "predicted": self._counted(said.where(kept, _IGNORED)),
            "entropy": entropy,
            "nll": nll,
        }

    def score(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        """Return the mean IoU of each image (N,), over the classes of its truth or answer."""
        return counts(frame, name).score

    def uncertainty(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        """Return the mean entropy of each answer's pixels (N,), in nats."""
        return column(frame, f"{name}.entropy")

    def metrics(self, frame: pd.DataFrame, name: str) -> dict[str, float]:
        """Return miou, image_iou, dice, and what is of pixels; NaN where no pixel counts."""
        return measures(counts(frame, name).addends().sum(0))

    def metric_at(
        self, frame: pd.DataFrame, name: str, metric: str
    ) -> Callable[[np.ndarray], float]:
        """Return what computes a metric at some places: sums of what was read once."""
        addends = counts(frame, name).addends()
        # As a product with how often each place was drawn: no rows are copied.
        return lambda places: measures(np.bincount(places, minlength=len(addends)) @ addends)[
            metric
        ]

    def report(
        self, frame: pd.DataFrame, main: str, baseline: str | None
    ) -> Iterator[tuple[str, Content]]:
        """Yield how each class fared, as a table and as bars; then what operations changed."""
        names = self.answers(frame)
        table = pd.concat([by_class(counts(frame, n), n, self.classes) for n in names])
        yield "report/classes.csv", as_csv(table)
        yield "report/iou.png", iou_bars(table)
        if baseline is not None and self.compares(frame, main, baseline):
            yield from operations(self, frame, main, baseline)

    def planes(self, item: Prepared, answers: Mapping[str, Tensor]) -> Planes:
        """Return one sample: input, truth, each answer, and where the last one is wrong."""
        channels = self._channels(item.targets)[0].numpy()
        said = {name: answer.argmax(0).numpy() for name, answer in answers.items()}
        colours = label_colours()[list(self.labels)]
        return segment_planes(levels(item.pixels[0]), channels, said, self.classes, colours)

    def served(
        self, answer: Tensor, undo: Callable[[np.ndarray], np.ndarray], params: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the mask at the image's own size, and each class's share of what was seen.

        `mask` is a PNG in base64; its pixels are labels, as in the masks of the dataset, and have
        colours beside. With `format: rle` it is empty, and `runs` has each class's pixels: see
        `hardy.tasks.segment.runs`. `entropy` is the mean of a pixel, in nats.
        """
        labels = np.array(self.labels, np.uint8)
        mask = undo(labels[answer.argmax(0).numpy()])
        # A mean over windows of log-probabilities is not normalised.
        logs = torch.log_softmax(answer.double(), 0)
        entropy = float(torch.special.entr(logs.exp()).sum(0).mean())
        classes = list(zip(self.classes, self.labels, strict=True))
        return row_of(mask, classes, self._nothing, entropy=entropy, params=params)

    def told(self, row: Mapping[str, Any]) -> list[str]:
        """Return the largest classes, a line each, and how the image was seen."""
        largest = [each for each in row["shares"] if each["share"] > 0][:_TOLD]
        lines = [f"{100 * each['share']:6.2f} %  {each['name']}" for each in largest]
        return [*lines, f"seen: {row['window']}"]

    def files(self, row: Mapping[str, Any], image: Image.Image) -> Mapping[str, bytes]:
        """Return the mask, and its colours over the photograph with a legend."""
        return files_of(row, image, self._nothing)

    @property
    def _nothing(self) -> int:
        """The label of pixels that no class has."""
        return OUTSIDE if self.void is None else self.void

    def _channels(self, targets: Targets) -> Tensor:
        """Return masks (B, h, w) with channels for labels, -1 for what counts for nothing."""
        if targets.mask is None:
            message = "the samples have no mask, which the task segment needs"
            raise DataError(message, hint="Choose a dataset with masks, or another task.")
        channels = self._channel_of.to(targets.mask.device)[targets.mask]
        if bool((channels == _UNKNOWN).any()):
            message = f"a mask holds a label that is none of the {len(self.names)} of the dataset"
            raise DataError(message, hint="Check the dataset's labels against its masks.")
        return channels

    def _check_size(self, what: str, planes: Tensor, channels: Tensor) -> None:
        wanted = (len(channels), self.outputs, *channels.shape[1:])
        if tuple(planes.shape) != wanted:
            message = f"{what} are {tuple(planes.shape)}, where the masks need {wanted}"
            hint = "A network for this task answers for each pixel of its input."
            raise MethodError(message, hint=hint)

    def _counted(self, channels: Tensor) -> list[list[int]]:
        """Return how many pixels of each image are of each class: (B, C), of all B at once."""
        width = self.outputs + 1  # the first place is for what counts for nothing
        starts = width * torch.arange(len(channels)).view(-1, 1, 1)
        flat = (channels - _IGNORED + starts).flatten()
        found = torch.bincount(flat, minlength=width * len(channels))
        counted: list[list[int]] = found.view(-1, width)[:, 1:].tolist()
        return counted


def _pixel_means(
    name: str, answers: Tensor, truth: Tensor, kept: np.ndarray
) -> tuple[list[float], list[float]]:
    """Return the mean entropy and the mean negative log-likelihood of each image's pixels.

    Image by image, so that no second copy of all answers is held, and that no image's numbers
    depend on those beside it.

    Raises:
        MethodError: If the values are not the logarithms of distributions.
    """
    likelihood = answers.gather(1, truth[:, None])[:, 0].numpy().astype(np.float64)
    nll = -np.maximum(likelihood, np.log(np.finfo(np.float64).tiny))
    found: tuple[list[float], list[float]] = [], []
    for values, own, counted in zip(answers.numpy(), nll, kept, strict=True):
        logs = np.maximum(values, np.float32(_LEAST))
        shares = np.exp(logs)
        _check_sums(name, shares.sum(0))
        shares *= logs
        entropy = -shares.sum(0).astype(np.float64)
        pixels = max(1, int(counted.sum()))
        for plane, means in zip((entropy, own), found, strict=True):
            means.append(max(0.0, float(plane[counted].sum() / pixels)))
    return found


def _check_sums(name: str, total: np.ndarray) -> None:
    wrong = ~(abs(total - 1) <= _SUM_TOLERANCE)  # so that NaN is wrong, too
    if wrong.any():
        message = f"answer {name!r} is not log-probabilities: a pixel's sum to {total[wrong][0]:g}"
        hint = "Apply a log-softmax; a NaN here means that the adaptation diverged."
        raise MethodError(message, hint=hint)
