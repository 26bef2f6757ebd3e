"""Segmentation as a task: an answer is the logarithms of each pixel's class probabilities."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from hardy.core.catalog import did_you_mean
from hardy.core.errors import DataError, MethodError, SpecError
from hardy.data.item import Prepared, Targets
from hardy.data.preprocess import OUTSIDE
from hardy.explain.planes import PlaneRow, label_colours, levels
from hardy.measure.records import column
from hardy.tasks.base import BESIDE, CLASSES, Content, Task
from hardy.tasks.base_spec import PSEUDO
from hardy.tasks.report import as_csv, operations
from hardy.tasks.segment import pixels
from hardy.tasks.segment.confusion import confusion_grid, confusion_table
from hardy.tasks.segment.counts import (
    FIELDS,
    INNER_TRUTH,
    TRUTH,
    by_class,
    confused,
    counts,
    dice,
    known,
    measures,
)
from hardy.tasks.segment.losses import IGNORED, Planes, weighed
from hardy.tasks.segment.pictures import iou_bars, segment_planes
from hardy.tasks.segment.serving import CHOICES, PARAMS, RETURNS, files_of, row_of
from hardy.tasks.segment.spec import SegmentSpec

_UNKNOWN = -2
_LABELS = 256
_TOLD = 5


def build(spec: SegmentSpec, names: tuple[str, ...], void: int | None) -> "Segment":
    """Build the task."""
    return Segment(spec, names, void)


class Segment(Task):
    """Say which class each pixel shows; the score is an image's mean IoU over its own classes.

    A network has a channel for each label but void, in the labels' order, or one for two. Pixels
    whose truth is void or a class to ignore, or that lie in the padding, count for nothing.

    Attributes:
        labels: The label in masks that each channel stands for.
        classes: Their names.
    """

    fields: ClassVar[tuple[str, ...]] = FIELDS
    truth_fields: ClassVar[tuple[str, ...]] = (TRUTH, INNER_TRUTH)
    # A pixel on the edge between two classes changes sides where the means hardly change.
    following: ClassVar[tuple[str, ...]] = (
        "intersection",
        "predicted",
        "inner_intersection",
        "inner_predicted",
        "boundary_f1",
        "confusion",
    )
    tabled: ClassVar[tuple[str, ...]] = ("miou", "dice", "pixel_accuracy")
    returns: ClassVar[Mapping[str, Any]] = RETURNS
    params: ClassVar[Mapping[str, int | float | bool | str]] = PARAMS
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = CHOICES

    spec: SegmentSpec

    def __init__(
        self, spec: SegmentSpec, names: tuple[str, ...] = (), void: int | None = None
    ) -> None:
        super().__init__(spec, names, void)
        self.labels = tuple(label for label in range(len(names)) if label != void)
        self.classes = tuple(names[label] for label in self.labels)
        self._channel_of = torch.full((_LABELS,), _UNKNOWN)
        self._channel_of[OUTSIDE if void is None else void] = IGNORED
        self._channel_of[list(self.labels)] = torch.arange(len(self.labels))
        self._counted = torch.ones(len(self.labels), dtype=torch.bool)
        for name in (spec.ignore or ()) if names else ():  # without names only numbers are read
            if name not in self.classes:
                message = f"task.ignore: there is no class {name!r}"
                some = f"The classes are {', '.join(self.classes[:8])}."
                raise SpecError(message, hint=did_you_mean(name, self.classes) or some)
            self._counted[self.classes.index(name)] = False
        self._channel_of[
            [n for n, on in zip(self.labels, self._counted, strict=True) if not on]
        ] = IGNORED
        if names and (fault := spec.misfit(self.classes)):
            message = f"task.{fault}"
            raise SpecError(message, hint=f"Leave {fault.split()[0]} out, or change the classes.")

    @property
    def outputs(self) -> int:
        """Classes without void, or one for two."""
        return self.spec.planes(len(self.labels))

    def answer(self, outputs: Tensor) -> Tensor:
        """Return the logarithms of probabilities (B, C, h, w) in float32, detached, on the CPU."""
        return self._log_p(self.logits(outputs.detach().float())).cpu()

    def logits(self, outputs: Tensor) -> Tensor:
        """Return an output for each class (B, C, h, w), with graph: of one output z, 0 and z."""
        return torch.cat([torch.zeros_like(outputs), outputs], 1) if self.spec.binary else outputs

    def _log_p(self, logits: Tensor) -> Tensor:
        if self.spec.probabilities == "sigmoid":
            return torch.nn.functional.logsigmoid(logits)
        return torch.log_softmax(logits, dim=1)

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
        """Return the mean cross-entropy over a sample's pixels, (B,) in nats, or its terms.

        Pixels that count for nothing are no part of the mean; a sample without others has loss 0.
        Outputs coarser than the masks are refused: a network enlarges its own. See `Task.loss`,
        and `losses` for the terms.
        """
        asked = self.asked_terms(terms, "cross_entropy", only)
        if all(term.startswith(PSEUDO) for term in asked):  # no truth is looked at
            channels = torch.zeros_like(outputs[:, 0], dtype=torch.int64)
        else:
            channels = self._channels(targets)
        self._check_size("the network's outputs", outputs, channels, self.outputs)
        raw, device = outputs.float(), outputs.device
        weights = class_weights if class_weights is None else class_weights.to(device)
        counted = self._counted.to(device)
        planes = (raw, self.logits(raw), channels, self._log_p, counted, weights, smoothing)
        return weighed(asked, Planes(*planes))

    @property
    def tallies(self) -> int:
        """Three for each class."""
        return 3 * len(self.labels)

    @torch.no_grad()
    def tally(self, outputs: Tensor, targets: Targets) -> Tensor:
        """Count each class's pixels that are right, those that are said to be of it, and its own.

        Without a look at the numbers, for which a GPU would have to be waited for.
        """
        channels, classes = self._channels(targets), len(self.labels)
        said = self.logits(outputs.detach()).max(1).indices
        # 0 for what counts for nothing, so that each pixel has a cell (truth, said).
        counted = self._counted.to(said.device)
        column = (torch.arange(classes, device=said.device) + 1) * counted
        cells = (channels + 1) * (classes + 1) + column[said]
        table = torch.zeros((classes + 1) ** 2, dtype=torch.int64, device=said.device)
        ones = torch.ones((), dtype=torch.int64, device=said.device).expand(cells.numel())
        table = table.scatter_add_(0, cells.flatten(), ones).view(classes + 1, classes + 1)[1:]
        return torch.cat([table[:, 1:].diagonal(), table[:, 1:].sum(0), table.sum(1)])

    def tallied(self, sums: Tensor) -> dict[str, float]:
        """Return `dice`, as `metrics` has it; nothing where no pixel was counted."""
        both, said, true = sums.view(3, -1).double().cpu().numpy()
        return {"dice": dice(both, said, true)} if true.any() else {}

    def truth(self, targets: Targets) -> dict[str, list[Any]]:
        """Return how many pixels are of each class: of all, and without those near another."""
        masks, classes = self._scored(targets), len(self.labels)
        return {
            TRUTH: [pixels.tally(mask, classes) for mask in masks],
            INNER_TRUTH: [pixels.tally(pixels.inner(mask), classes) for mask in masks],
        }

    def columns(self, name: str, answers: Tensor, targets: Targets) -> dict[str, list[Any]]:
        """Return the columns of B answers (B, C, h, w) by field; see `counts.Counts`."""
        self._check_size(f"answer {name!r}", answers, self._channels(targets), len(self.labels))
        judged = zip(self._at_scored_size(answers, targets), self._scored(targets), strict=True)
        rows = [self._columns_of(name, *answer, truth) for answer, truth in judged]
        return {field: [row[place] for row in rows] for place, field in enumerate(FIELDS)}

    def _columns_of(
        self, name: str, answer: np.ndarray, said: np.ndarray, truth: np.ndarray
    ) -> tuple[Any, ...]:
        """Return one answer's columns, in the order of `FIELDS`.

        What is said to be of a class that is ignored is only not said to be of the right one.
        """
        classes = len(self.labels)
        judged = np.where((truth != IGNORED) & self._counted.numpy()[said], said, IGNORED)
        inner = pixels.inner(truth)
        right, close = np.where(judged == truth, truth, IGNORED), inner != IGNORED
        normal = self.spec.normal
        entropy, nll, *soft = pixels.likelihoods(name, answer, truth, normal=normal)
        return (
            pixels.tally(right, classes),
            pixels.tally(judged, classes),
            entropy,
            nll,
            pixels.tally(np.where(close, right, IGNORED), classes),
            pixels.tally(np.where(close, judged, IGNORED), classes),
            *soft,
            pixels.boundary_f1(truth, judged, classes),
            pixels.confusion(truth, said, classes),
        )

    def _scored(self, targets: Targets) -> list[np.ndarray]:
        """Return the true channels (h, w) of each sample where answers are scored."""
        if not targets.own:
            return [each.numpy() for each in self._channels(targets)]
        return [self._channels_of(each.mask).numpy() for each in targets.own]

    def _at_scored_size(
        self, answers: Tensor, targets: Targets
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield each answer (C, h, w) and the channels that it says (h, w), at that size."""
        if not targets.own:
            for answer, said in zip(answers, answers.max(1).indices, strict=True):
                yield answer.numpy(), said.numpy()
            return
        for answer, own in zip(answers, targets.own, strict=True):
            height, width = own.mask.shape
            planes = own.preprocess.back_smooth(answer.numpy(), width, height)
            if self.spec.normal:  # between two distributions they sum to less
                planes = torch.from_numpy(planes).log_softmax(0).numpy()
            yield planes, planes.argmax(0)

    def score(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        """Return the mean IoU of each image (N,), over the classes of its truth or answer."""
        return counts(frame, name).score

    def uncertainty(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        """Return the mean entropy of each answer's pixels (N,), in nats."""
        return column(frame, f"{name}.entropy")

    def metrics(self, frame: pd.DataFrame, name: str) -> dict[str, float]:
        """Return those of the catalogue, but what earlier records lack; NaN where none counts."""
        return counts(frame, name).metrics()

    def columns_of(self, frame: pd.DataFrame, name: str) -> pd.DataFrame:
        """Return the columns of the truth and of an answer; earlier records lack some."""
        truth, fields = known(frame)
        wanted = [*truth, *(f"{name}.{field}" for field in fields)]
        for each in wanted:
            column(frame, each)
        return frame[wanted]

    def metric_at(
        self, frame: pd.DataFrame, name: str, metric: str
    ) -> Callable[[np.ndarray], float]:
        """Return what computes a metric at some places: sums of what was read once."""
        found = counts(frame, name)
        if metric not in found.names:
            message = f"the records of {name} are of an earlier version, which had no {metric}"
            raise DataError(message, hint="Run the experiment again with --again.")
        if metric in found.grouped():
            return lambda places: found.grouped(places)[metric]
        addends = found.addends()
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
        yield CLASSES, as_csv(table)
        yield "report/iou.png", iou_bars(table)
        yield "report/metrics.csv", as_csv(self._defined(frame))
        cells = {n: confused(frame, n, len(self.classes)) for n in names}
        pairs = {n: found for n, found in cells.items() if found is not None and found.any()}
        if pairs:
            yield "report/confusion.csv", as_csv(confusion_table(pairs, self.classes))
            yield "report/confusion.png", confusion_grid(pairs[main], self.classes, main)
        if baseline is not None and self.compares(frame, main, baseline):
            yield from operations(self, frame, main, baseline)

    def beside(self, tables: Mapping[str, pd.DataFrame]) -> Iterator[tuple[str, Content]]:
        """Yield each class's overlap in every run, as a table and as bars."""
        table = pd.concat([each.assign(answer=name) for name, each in tables.items()])
        yield f"report/{BESIDE}.csv", as_csv(table)
        yield f"report/{BESIDE}-1.png", iou_bars(table)

    def _defined(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return every metric of every answer, with what it means."""
        where = "each image's own size" if self.spec.own_size else "the size of the network's input"
        rows = [
            (name, metric, value, self.spec.metrics[metric].meaning, where)
            for name in self.answers(frame)
            for metric, value in self.metrics(frame, name).items()
        ]
        return pd.DataFrame(rows, columns=["answer", "metric", "value", "meaning", "scored_at"])

    def planes(self, item: Prepared, answers: Mapping[str, Tensor]) -> PlaneRow:
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
        return self._channels_of(targets.mask)

    def _channels_of(self, mask: Tensor) -> Tensor:
        channels = self._channel_of.to(mask.device)[mask]
        if bool((channels == _UNKNOWN).any()):
            message = f"a mask holds a label that is none of the {len(self.names)} of the dataset"
            raise DataError(message, hint="Check the dataset's labels against its masks.")
        return channels

    def _check_size(self, what: str, planes: Tensor, channels: Tensor, count: int) -> None:
        wanted = (len(channels), count, *channels.shape[1:])
        if tuple(planes.shape) != wanted:
            message = f"{what} are {tuple(planes.shape)}, where the masks need {wanted}"
            hint = "A network for this task answers for each pixel of its input."
            raise MethodError(message, hint=hint)
