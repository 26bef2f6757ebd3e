"""From a manifest to tensors of views, in order, in this process or in worker processes.

Every random number is derived from the seed and the sample's id, so the number of workers changes
how soon a sample is ready and nothing else.
"""

import multiprocessing
import shutil
import signal
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from hardy.core.errors import DataError
from hardy.core.seeding import generator
from hardy.data.dataset import Dataset, Sample
from hardy.data.preprocess import Preprocess
from hardy.data.spec import Corruption
from hardy.data.view_spec import Identity, ViewSpec
from hardy.data.views import make_views

_PREFETCH = 2
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where the kernel keeps shared memory


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
    """

    index: int
    id: str
    label: int
    pixels: torch.Tensor
    names: list[list[str]]
    ms: float


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


class SamplePipeline(TorchDataset[Prepared | BadSample]):
    """Decode, shift and view the samples at the given places of a manifest.

    A shift follows ImageNet-C's protocol: it corrupts the resized and cropped image, and views are
    cut from the corrupted image, which is not resized a second time (arXiv:1903.12261).

    Args:
        dataset: The opened dataset.
        preprocess: Geometry of the network's input.
        shift: Corruption put on every sample.
        views: Augmentation that makes the views; none for the unchanged image alone.
        seed: The experiment's seed.
        indices: Places in the manifest, in the order of the visit; none for all.
    """

    def __init__(
        self,
        dataset: Dataset,
        preprocess: Preprocess,
        *,
        shift: Corruption | None = None,
        views: ViewSpec | None = None,
        seed: int = 0,
        indices: Sequence[int] | None = None,
    ) -> None:
        self.dataset = dataset
        self.preprocess = preprocess
        self.shift = shift
        self.views = views or Identity(count=1)
        self.seed = seed
        self.indices = tuple(range(len(dataset.samples)) if indices is None else indices)

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
        views = make_views(canvas, self.views, size, self.seed, sample.id, plain)
        elapsed = 1000 * (time.perf_counter() - start)
        return Prepared(index, sample.id, sample.label, views.pixels, views.names, elapsed)

    @property
    def sample_bytes(self) -> int:
        """Upper bound of the bytes that one prepared sample's pixels take."""
        return self.views.count * 3 * self.preprocess.size**2 * torch.float32.itemsize

    def _images(self, sample: Sample) -> tuple[Image.Image, Image.Image]:
        """Return what views are cut from, and view 0."""
        image = self.dataset.read(sample)
        plain = self.preprocess.geometry(image)
        if self.shift is None:
            return image, plain
        from hardy.data import shifts  # scipy would double the time that a worker takes to start

        rng = generator(self.seed, sample.id, "shift", self.shift.label)
        shifted = shifts.apply(plain, self.shift.kind, self.shift.severity, rng)
        return shifted, shifted


def loader(pipeline: SamplePipeline, workers: int) -> Generator[Prepared | BadSample, None, None]:
    """Yield a pipeline's samples in order.

    Close the iterator, or use it up, to end the workers; `contextlib.closing` does so.

    Args:
        pipeline: What to prepare.
        workers: Processes that prepare samples ahead of their use; 0 prepares each one here when
            it is asked for. Fewer are started where there are fewer samples, or where the shared
            memory that samples pass through is small, as it is in containers.
    """
    workers = min(workers, len(pipeline), _affordable(pipeline.sample_bytes))
    if workers == 0:
        yield from (pipeline[position] for position in range(len(pipeline)))
        return
    samples = DataLoader(
        pipeline,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=_PREFETCH,
        # Forking a process that has threads or a CUDA context can hang it.
        multiprocessing_context=multiprocessing.get_context("spawn"),
        worker_init_fn=_ignore_interrupts,
        generator=torch.Generator(),  # else its seed is drawn from the global generator
    )
    with _interrupts_held_back():
        iterator = iter(samples)
    yield from iterator


def _affordable(sample_bytes: int) -> int:
    """Return how many workers the shared memory has room for, each with its samples in flight."""
    if not _SHARED_MEMORY.is_dir():
        return 1 << 16
    return shutil.disk_usage(_SHARED_MEMORY).free // (sample_bytes * (_PREFETCH + 1))


def _ignore_interrupts(_: int) -> None:
    """Leave Ctrl-C, which the terminal sends to workers too, to the parent that ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Hold SIGINT back while workers start: they inherit the mask, the parent gets it afterwards.

    Without it a Ctrl-C during a worker's imports prints the worker's traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Its first start would lift the mask again, so it is started before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
