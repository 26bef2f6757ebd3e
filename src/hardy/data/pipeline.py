"""From a manifest to tensors of views, in order, made ahead by threads.

Every random number is derived from the seed and the sample's id, so the number of workers changes
how soon a sample is ready and nothing else.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from PIL import Image

from hardy.core.errors import DataError, SpecError
from hardy.core.seeding import generator
from hardy.data.dataset import Dataset, Sample
from hardy.data.item import Targets
from hardy.data.preprocess import Preprocess
from hardy.data.shift_spec import GaussianSigma, ShiftSpec
from hardy.data.view_spec import Identity, ViewSpec
from hardy.data.views import Point, Views, make_views

_PREFETCH = 2


@dataclass(frozen=True)
class ViewSet:
    """Views of the same image for another network.

    Attributes:
        preprocess: Geometry of that network's input.
        views: Augmentation that makes them.
        point: Finds what matters most in the unchanged image (W, H), (x, y) as shares of its
            sides, for views that are cut there; several threads may call it at once.
    """

    preprocess: Preprocess
    views: ViewSpec
    point: Callable[[Image.Image], Point] | None = None


@dataclass(frozen=True)
class Prepared:
    """A sample, ready for the network but for the normalisation.

    Attributes:
        index: Its place in the dataset's manifest.
        id: Its name in the manifest.
        targets: Its truth, of one sample (1, ...): its class and caption where the dataset has
            any, and what was asked for beside them.
        pixels: Views (V, 3, H, W) in [0, 255], uint8 or float32; view 0 is the unchanged image.
        names: For each view, the operations it went through; none for view 0.
        ms: Time that decoding, shift and views took, in milliseconds.
        stages: What of it some answers need alone, in milliseconds: `read`, from the file to the
            image; `image`, from there to the unchanged image at the network's size; `views.K`, the
            Kth further set, from the image.
        canvas: The image that views are cut from, (h, w, 3) of uint8, where it was asked for and
            is not the unchanged image itself.
        others: The views of each further set, like `pixels`.
    """

    index: int
    id: str
    targets: Targets
    pixels: torch.Tensor
    names: list[list[str]]
    ms: float
    canvas: np.ndarray | None = None
    others: tuple[torch.Tensor, ...] = ()
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class BadSample:
    """A sample whose file is broken; the engine decides whether to stop or to go on.

    Attributes:
        index: Its place in the dataset's manifest.
        id: Its name in the manifest.
        reason: What is wrong with which file.
        hint: What to do about it.
    """

    index: int
    id: str
    reason: str
    hint: str = ""


class SamplePipeline:
    """Decode, shift and view the samples at the given places of a manifest.

    A shift follows ImageNet-C's protocol: it corrupts the resized and cropped image, and views are
    cut from the corrupted image, which is not resized a second time (arXiv:1903.12261). Noise that
    comes after the normalisation is added to the pixels last, in the levels that become it, so that
    they are float32 and may lie outside [0, 255].

    Args:
        dataset: The opened dataset.
        preprocess: Geometry of the network's input.
        shift: What is done to every sample.
        views: Augmentation that makes the views; none for the unchanged image alone.
        seed: The experiment's seed.
        indices: Places in the manifest, in the order of the visit; none for all.
        keep_canvas: Whether to deliver the image that views are cut from, too.
        device: Where views of `backend: tensor` are made.
        further: Sets of views for other networks, made of the same image beside the first.
        point: `ViewSet.point` of the first set.
        target: The truth that is wanted: masks are read, and images before the shift kept, only
            where they are.

    Raises:
        SpecError: If noise after the normalisation meets views that are cut from the image before.
    """

    def __init__(
        self,
        dataset: Dataset,
        preprocess: Preprocess,
        *,
        shift: ShiftSpec | None = None,
        views: ViewSpec | None = None,
        seed: int = 0,
        indices: Sequence[int] | None = None,
        keep_canvas: bool = False,
        device: str = "cpu",
        further: Sequence[ViewSet] = (),
        point: Callable[[Image.Image], Point] | None = None,
        target: Literal["label", "mask", "image"] = "label",
    ) -> None:
        self.dataset = dataset
        self.preprocess = preprocess
        self.shift = shift
        self.views = views or Identity(count=1)
        self.seed = seed
        self.indices = tuple(range(len(dataset.samples)) if indices is None else indices)
        self.keep_canvas = keep_canvas
        self.device = device
        self.further = tuple(further)
        self.point = point
        self.target = target
        self._late = _late_noise(shift, self.views)
        for each in self.further:
            _late_noise(shift, each.views)  # refuses what cannot be

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Prepared | BadSample:
        index = self.indices[position]
        sample = self.dataset.samples[index]
        ends = [time.perf_counter()]
        try:
            image = self.dataset.read(sample)
            ends.append(time.perf_counter())
            targets = self._targets(sample, image)
        except DataError as error:
            return BadSample(index, sample.id, error.message, error.hint)
        begun = time.perf_counter()
        canvas, plain = self._images(image, sample, self.preprocess)
        seen = time.perf_counter()
        views = self._viewed(
            canvas, plain, sample, ViewSet(self.preprocess, self.views, self.point)
        )
        if self._late is not None:
            seen = time.perf_counter()  # the unchanged image has its noise only now
        stages = {"read": 1000 * (ends[1] - ends[0]), "image": 1000 * (seen - begun)}
        others = []
        for place, each in enumerate(self.further):
            before = time.perf_counter()
            images = self._images(image, sample, each.preprocess)
            others.append(self._viewed(*images, sample, each).pixels)
            stages[f"views.{place}"] = 1000 * (time.perf_counter() - before)
        return Prepared(
            index,
            sample.id,
            targets,
            views.pixels,
            views.names,
            1000 * (time.perf_counter() - ends[0]),
            np.asarray(canvas) if self.keep_canvas and canvas is not plain else None,
            tuple(others),
            stages,
        )

    def _targets(self, sample: Sample, image: Image.Image) -> Targets:
        """Return a sample's truth; a mask is moved to the network's size as its image is."""
        dataset = self.dataset
        label = torch.tensor([sample.label]) if dataset.classes else None
        mask = clean = None
        if self.target == "mask" and dataset.read_mask is not None:
            moved = self.preprocess.mask(dataset.read_mask(sample), fill=dataset.void or 0)
            mask = torch.from_numpy(np.array(moved, np.int64))[None]
        elif self.target == "image":
            plain = np.array(self.preprocess.geometry(image))
            clean = torch.from_numpy(plain).permute(2, 0, 1)[None]
        caption = (dataset.caption(sample),) if dataset.caption else ()
        return Targets(label, mask, clean, caption)

    def _viewed(
        self, canvas: Image.Image, plain: Image.Image, sample: Sample, asked: ViewSet
    ) -> Views:
        """Return a set of views.

        Args:
            canvas: What they are cut from.
            plain: View 0.
            sample: Whose they are.
            asked: Which.
        """
        views = make_views(
            canvas,
            asked.views,
            asked.preprocess,
            self.seed,
            sample.id,
            plain,
            point=asked.point(plain) if asked.point else None,
            device=self.device,
        )
        if self._late is not None:
            noisy = self._noisy(views.pixels, self._late, sample, asked.preprocess)
            views = Views(noisy, views.names)
        return views

    def _images(
        self, image: Image.Image, sample: Sample, preprocess: Preprocess
    ) -> tuple[Image.Image, Image.Image]:
        """Return what views are cut from, and view 0."""
        plain = preprocess.geometry(image)
        if self.shift is None:
            return image, plain
        from hardy.data import shifts  # scipy would double the time that a worker takes to start

        rng = generator(self.seed, sample.id, "shift", self.shift.label)
        shifted = shifts.shifted(plain, self.shift, rng)
        return shifted, shifted

    def _noisy(
        self, pixels: torch.Tensor, late: GaussianSigma, sample: Sample, preprocess: Preprocess
    ) -> torch.Tensor:
        """Add the noise that the normalisation turns into the stated one, alike to all views."""
        from hardy.data.shifts.plain import sigma_in_levels

        rng = generator(self.seed, sample.id, "shift", late.label)
        shape = 3, preprocess.height, preprocess.width
        noise = torch.from_numpy(rng.standard_normal(shape, np.float32))
        sigma = torch.from_numpy(sigma_in_levels(late.sigma, preprocess.std))
        return pixels.float() + noise * sigma.view(3, 1, 1)


def _late_noise(shift: ShiftSpec | None, views: ViewSpec) -> GaussianSigma | None:
    """Return the shift if it comes after the normalisation."""
    if not isinstance(shift, GaussianSigma) or shift.space == "pixels":
        return None
    if not isinstance(views, Identity):
        message = f"noise after the normalisation cannot be under views of kind {views.kind}"
        raise SpecError(message, hint="Set data.shift.space to pixels, or use identity views.")
    return shift


def loader(
    pipeline: SamplePipeline, workers: int, ahead: int = 0
) -> Generator[Prepared | BadSample, None, None]:
    """Yield a pipeline's samples in order.

    Pillow and numpy let other threads run while they work, so threads keep the cores as busy as
    processes would, without a start of seconds and without handing pixels over.

    Close the iterator, or use it up, to end the workers; `contextlib.closing` does so.

    Args:
        pipeline: What to prepare.
        workers: Threads that prepare samples ahead of their use; 0 prepares each one when it is
            asked for.
        ahead: Samples that are prepared ahead at least, where there are workers.
    """
    if workers == 0:
        yield from (pipeline[position] for position in range(len(pipeline)))
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="hardy-views")
    try:
        waiting: deque[Future[Prepared | BadSample]] = deque()
        for position in range(len(pipeline)):
            waiting.append(pool.submit(pipeline.__getitem__, position))
            if len(waiting) > max(workers * _PREFETCH, ahead):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
