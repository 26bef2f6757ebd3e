"""From a manifest to tensors of views, in order, made ahead by threads.

Every random number is derived from the seed, the epoch and the sample's id, so the number of
workers changes how soon a sample is ready and nothing else. Epoch 0 stands for samples that are
seen once, as in answering and validation.
"""

import copy
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from hardy.core.cache import Cache
from hardy.core.errors import DataError, SpecError
from hardy.core.seeding import derive, generator
from hardy.data.ahead import read_ahead
from hardy.data.dataset import Dataset, Sample
from hardy.data.item import BadSample, OwnMask, Prepared, Targets
from hardy.data.preprocess import OUTSIDE, Preprocess
from hardy.data.shift_spec import GaussianSigma, ShiftSpec
from hardy.data.view_spec import Identity, ViewSpec
from hardy.data.views import Point, Views, kept_bytes, make_views
from hardy.data.views.kept import ViewStore


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
        store: Where views are kept for others that make the same, those of the first samples as far
            as there is room; none keeps nothing. An epoch's views are never kept.
        own_size: Whether masks are wanted at the images' own sizes, too.

    Attributes:
        late: The shift, if it is noise that comes after the normalisation.

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
        target: Literal["label", "mask", "image", "none"] = "label",
        store: ViewStore | None = None,
        own_size: bool = False,
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
        self.own_size = own_size
        self.late = _late_noise(shift, self.views)
        for each in self.further:
            _late_noise(shift, each.views)  # refuses what cannot be
        self.store = store
        sets = (ViewSet(preprocess, self.views), *self.further)
        size = sum(kept_bytes(each.views, each.preprocess) for each in sets)
        self._kept = 0 if store is None else store.samples(size)

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
            return self.bad(position, error)
        begun = time.perf_counter()
        canvas, plain = self._images(image, sample, self.preprocess)
        seen = time.perf_counter()
        cache = self.store.cache if self.store is not None and index < self._kept else None
        own = ViewSet(self.preprocess, self.views, self.point)
        views = self._viewed(canvas, plain, sample, own, cache)
        if self.late is not None:
            seen = time.perf_counter()  # the unchanged image has its noise only now
        stages = {"read": 1000 * (ends[1] - ends[0]), "image": 1000 * (seen - begun)}
        others = []
        for place, each in enumerate(self.further):
            before = time.perf_counter()
            images = self._images(image, sample, each.preprocess)
            others.append(self._viewed(*images, sample, each, cache).pixels)
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

    def of_epoch(self, epoch: int) -> Self:
        """Return the same with shifts and views drawn for an epoch; 0 is this one itself."""
        if not epoch:
            return self
        other = copy.copy(self)
        other.seed = derive(self.seed, "epoch", epoch)
        other.store = None
        return other

    def plain(
        self, position: int, preprocess: Preprocess
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Return a sample's levels (3, h, w) before any shift, and its mask (h, w) if wanted.

        Args:
            position: Which.
            preprocess: Geometry, which need not be the network's.

        Raises:
            DataError: If a file is broken.
        """
        sample = self.dataset.samples[self.indices[position]]
        image = self.dataset.read(sample)
        levels = np.asarray(preprocess.geometry(image)).transpose(2, 0, 1)
        return levels, self._mask(sample, image, preprocess)

    def shifted(
        self, levels: NDArray[np.uint8], position: int
    ) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Return levels (3, h, w) under the shift.

        Args:
            levels: What `plain` gave in the network's geometry.
            position: Whose they are.
        """
        sample = self.dataset.samples[self.indices[position]]
        if self.late is not None:
            pixels = torch.from_numpy(np.ascontiguousarray(levels))
            noisy: NDArray[np.float32] = self._noisy(
                pixels, self.late, sample, self.preprocess
            ).numpy()
            return noisy
        image = Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))
        return np.asarray(self._shifted(image, sample)).transpose(2, 0, 1)

    def bad(self, position: int, error: DataError) -> BadSample:
        """Say which sample has the broken file that an error tells of."""
        index = self.indices[position]
        return BadSample(index, self.dataset.samples[index].id, error.message, error.hint)

    def _targets(self, sample: Sample, image: Image.Image) -> Targets:
        """Return a sample's truth; a mask is moved to the network's size as its image is."""
        dataset = self.dataset
        label = torch.tensor([sample.label]) if dataset.classes else None
        moved, clean = self._mask(sample, image, self.preprocess), None
        mask = None if moved is None else torch.from_numpy(moved.astype(np.int64))[None]
        if self.target == "image":
            plain = np.array(self.preprocess.geometry(image))
            clean = torch.from_numpy(plain).permute(2, 0, 1)[None]
        caption = (dataset.caption(sample),) if dataset.caption else ()
        own: tuple[OwnMask, ...] = ()
        if self.own_size and mask is not None and dataset.read_mask is not None:
            labels = torch.from_numpy(np.asarray(dataset.read_mask(sample)).astype(np.int64))
            own = (OwnMask(labels, self.preprocess),)
        return Targets(label, mask, clean, caption, own)

    def _mask(
        self, sample: Sample, image: Image.Image, preprocess: Preprocess
    ) -> NDArray[np.uint8] | None:
        """Return a sample's mask where it is wanted, moved as its image is.

        Raises:
            DataError: If it is broken, or of another size than its image: its pixels are others'.
        """
        dataset = self.dataset
        if self.target != "mask" or dataset.read_mask is None:
            return None
        void = OUTSIDE if dataset.void is None else dataset.void
        mask = dataset.read_mask(sample)
        if mask.size != image.size:
            message = (
                f"{sample.mask or sample.id}: a mask of {mask.width} x {mask.height} pixels, but "
                f"its image has {image.width} x {image.height}"
            )
            raise DataError(message, hint="Give each pixel of the image its label.")
        return np.asarray(preprocess.mask(mask, fill=void))

    def _viewed(
        self,
        canvas: Image.Image,
        plain: Image.Image,
        sample: Sample,
        asked: ViewSet,
        cache: Cache | None,
    ) -> Views:
        """Return a set of views.

        Args:
            canvas: What they are cut from.
            plain: View 0.
            sample: Whose they are.
            asked: Which.
            cache: Where they are kept.
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
            cache=cache,
        )
        if self.late is not None:
            noisy = self._noisy(views.pixels, self.late, sample, asked.preprocess)
            views = Views(noisy, views.names)
        return views

    def _images(
        self, image: Image.Image, sample: Sample, preprocess: Preprocess
    ) -> tuple[Image.Image, Image.Image]:
        """Return what views are cut from, and view 0."""
        plain = preprocess.geometry(image)
        if self.shift is None:
            return image, plain
        shifted = self._shifted(plain, sample)
        return shifted, shifted

    def _shifted(self, plain: Image.Image, sample: Sample) -> Image.Image:
        from hardy.data import shifts  # scipy would double the time that a worker takes to start

        assert self.shift is not None  # noqa: S101 - for mypy
        rng = generator(self.seed, sample.id, "shift", self.shift.label)
        return shifts.shifted(plain, self.shift, rng)

    def _noisy(
        self, pixels: torch.Tensor, late: GaussianSigma, sample: Sample, preprocess: Preprocess
    ) -> torch.Tensor:
        """Add the noise that the normalisation turns into the stated one, alike to all views."""
        rng = generator(self.seed, sample.id, "shift", late.label)
        shape = 3, preprocess.height, preprocess.width
        noise = torch.from_numpy(rng.standard_normal(shape, np.float32))
        return pixels.float() + noise * levels_of(late, preprocess)


def levels_of(late: GaussianSigma, preprocess: Preprocess) -> torch.Tensor:
    """Return the standard deviation (3, 1, 1) in [0, 255] levels of noise after normalisation."""
    from hardy.data.shifts.plain import sigma_in_levels

    return torch.from_numpy(sigma_in_levels(late.sigma, preprocess.std)).view(3, 1, 1)


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
    """Yield a pipeline's samples in order; see `read_ahead`."""
    return read_ahead(pipeline.__getitem__, len(pipeline), workers, ahead)
