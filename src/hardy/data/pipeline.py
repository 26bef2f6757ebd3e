"""From a manifest to tensors of views, in order, made ahead by threads.

Every random number is derived from the seed and the sample's id, so the number of workers changes
how soon a sample is ready and nothing else.
"""

import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from hardy.core.errors import DataError, SpecError
from hardy.core.seeding import generator
from hardy.data.dataset import Dataset, Sample
from hardy.data.preprocess import Preprocess
from hardy.data.shift_spec import GaussianSigma, ShiftSpec
from hardy.data.view_spec import Identity, ViewSpec
from hardy.data.views import make_views

_PREFETCH = 2


@dataclass(frozen=True)
class Prepared:
    """A sample, ready for the network but for the normalisation.

    Attributes:
        index: Its place in the dataset's manifest.
        id: Its name in the manifest.
        label: Index into the dataset's classes.
        pixels: Views (V, 3, S, S) in [0, 255], uint8 or float32; view 0 is the unchanged image.
        names: For each view, the operations it went through; none for view 0.
        ms: Time that decoding, shift and views took, in milliseconds.
        canvas: The image that views are cut from, (h, w, 3) of uint8, where it was asked for and
            is not the unchanged image itself.
    """

    index: int
    id: str
    label: int
    pixels: torch.Tensor
    names: list[list[str]]
    ms: float
    canvas: np.ndarray | None = None


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
    ) -> None:
        self.dataset = dataset
        self.preprocess = preprocess
        self.shift = shift
        self.views = views or Identity(count=1)
        self.seed = seed
        self.indices = tuple(range(len(dataset.samples)) if indices is None else indices)
        self.keep_canvas = keep_canvas
        self.device = device
        self._late = _late_noise(shift, self.views)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Prepared | BadSample:
        index = self.indices[position]
        sample = self.dataset.samples[index]
        start = time.perf_counter()
        try:
            canvas, plain = self._images(sample)
        except DataError as error:
            return BadSample(index, sample.id, error.message, error.hint)
        size = self.preprocess.size
        views = make_views(
            canvas, self.views, size, self.seed, sample.id, plain, device=self.device
        )
        pixels = (
            views.pixels if self._late is None else self._noisy(views.pixels, self._late, sample)
        )
        elapsed = 1000 * (time.perf_counter() - start)
        kept = np.asarray(canvas) if self.keep_canvas and canvas is not plain else None
        return Prepared(index, sample.id, sample.label, pixels, views.names, elapsed, kept)

    def _images(self, sample: Sample) -> tuple[Image.Image, Image.Image]:
        """Return what views are cut from, and view 0."""
        image = self.dataset.read(sample)
        plain = self.preprocess.geometry(image)
        if self.shift is None:
            return image, plain
        from hardy.data import shifts  # scipy would double the time that a worker takes to start

        rng = generator(self.seed, sample.id, "shift", self.shift.label)
        shifted = shifts.shifted(plain, self.shift, rng)
        return shifted, shifted

    def _noisy(self, pixels: torch.Tensor, late: GaussianSigma, sample: Sample) -> torch.Tensor:
        """Add the noise that the normalisation turns into the stated one, alike to all views."""
        from hardy.data.shifts.plain import sigma_in_levels

        rng = generator(self.seed, sample.id, "shift", late.label)
        size = self.preprocess.size
        noise = torch.from_numpy(rng.standard_normal((3, size, size), np.float32))
        sigma = torch.from_numpy(sigma_in_levels(late.sigma, self.preprocess.std))
        return pixels.float() + noise * sigma.view(3, 1, 1)


def _late_noise(shift: ShiftSpec | None, views: ViewSpec) -> GaussianSigma | None:
    """Return the shift if it comes after the normalisation."""
    if not isinstance(shift, GaussianSigma) or shift.space == "pixels":
        return None
    if not isinstance(views, Identity):
        message = f"noise after the normalisation cannot be under views of kind {views.kind}"
        raise SpecError(message, hint="Set data.shift.space to pixels, or use identity views.")
    return shift


def loader(pipeline: SamplePipeline, workers: int) -> Generator[Prepared | BadSample, None, None]:
    """Yield a pipeline's samples in order.

    Pillow and numpy let other threads run while they work, so threads keep the cores as busy as
    processes would, without a start of seconds and without handing pixels over.

    Close the iterator, or use it up, to end the workers; `contextlib.closing` does so.

    Args:
        pipeline: What to prepare.
        workers: Threads that prepare samples ahead of their use; 0 prepares each one when it is
            asked for.
    """
    if workers == 0:
        yield from (pipeline[position] for position in range(len(pipeline)))
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="hardy-views")
    try:
        ahead: deque[Future[Prepared | BadSample]] = deque()
        for position in range(len(pipeline)):
            ahead.append(pool.submit(pipeline.__getitem__, position))
            if len(ahead) > workers * _PREFETCH:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
