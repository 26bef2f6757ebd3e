"""Samples in batches, for methods that see each of them many times."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardy.core.errors import DataError, SpecError
from hardy.data.ahead import read_ahead
from hardy.data.augment import augment
from hardy.data.augment_spec import AugmentStep, check_augment, crop_scale
from hardy.data.item import BadSample, Batch, Targets
from hardy.data.kept import Kept, Levels, write
from hardy.data.pipeline import SamplePipeline, levels_of
from hardy.data.preprocess import Preprocess

_AHEAD = 2
_LOOKED_AT = 8

Coming = tuple[Batch, list[Callable[[], object]]]
"""A batch in memory, and what to call before it is filled."""


class Images:
    """A pipeline's samples in batches on a device: kept while there is room, else read anew.

    What is kept are the levels before any shift, and the masks, as uint8, once a sample is decoded:
    the first samples of the manifest, as many as the budget has room for. The others are decoded
    anew each time, by threads, two batches ahead. No number depends on the budget, on the threads,
    or on the processes that share the batches.

    The shift is drawn anew each epoch. Batches of epoch 0 are evaluation's own pixels. Later ones
    are augmented on the device, and noise that comes after the normalisation is added there, last.

    Where the augmentation cuts random crops, images are kept in evaluation's geometry, but larger
    by `crop_scale`; not beyond the detail that they have, of which eight, spread evenly over the
    manifest, give the highest value.

    Args:
        pipeline: What to read; of the views, the unchanged image.
        device: Where batches go.
        augment: Augmentation of batches of epoch 1 and later.
        left: Whether it is left to the method: images come as large as they are kept for it.
        budget: Bytes that may be kept.
        workers: Threads that read ahead; 0 reads each batch when it is asked for.
        skip: Whether broken samples are left out; all are then decoded once beforehand.
        hear: Told how many samples are decoded beforehand.

    Attributes:
        seed: The experiment's.
        left_out: Broken samples that are not among them.

    Raises:
        SpecError: If the augmentation cuts crops and there is a shift of pixels, or is left to the
            method and there is noise after the normalisation, which comes last.
        DataError: If all samples are broken.
    """

    def __init__(
        self,
        pipeline: SamplePipeline,
        device: torch.device,
        *,
        augment: Sequence[AugmentStep] = (),
        left: bool = False,
        budget: int,
        workers: int,
        skip: bool = False,
        hear: Callable[[int], None] = lambda _: None,
    ) -> None:
        check_augment(augment, pipeline.shift)
        if left and augment and pipeline.late is not None:
            message = f"data.shift {pipeline.late.label} comes after augmentation, which is done "
            message += "to each view alone"
            raise SpecError(message, hint="Leave data.shift out, or method.augment.")
        self.seed = pipeline.seed
        self.left_out: tuple[BadSample, ...] = ()
        self._pipeline, self._device, self._workers = pipeline, device, workers
        # What is pinned goes to a GPU while the processor goes on.
        self._pins = device.type == "cuda"
        self._augment = () if left else tuple(augment)
        self._samples = [pipeline.dataset.samples[index] for index in pipeline.indices]
        self._labels = torch.tensor([sample.label for sample in self._samples])
        self._captions: dict[int, str] = {}
        self._geometry = _kept_geometry(pipeline, crop_scale(augment))
        self._kept = Kept(pipeline, self._geometry, budget)
        self._places = np.arange(len(pipeline))
        if skip:
            self._leave_out(hear)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def room(self) -> int:
        """Bytes that are kept once every sample has been decoded."""
        return self._kept.room

    def batches(
        self,
        order: Sequence[int],
        size: int,
        epoch: int,
        *,
        first: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> Generator[Batch, None, None]:
        """Yield batches: number n has the samples `order[n * size : (n + 1) * size]`.

        Close the iterator, or use it up, to end the threads that read ahead.

        Args:
            order: Places, below the number of samples.
            size: Samples a batch; the last one may have fewer.
            epoch: From 1; 0 for batches that are only measured.
            first: The batch to begin with; nothing of those before it is decoded.
            rank: Which rows to yield of each batch: `rank::ranks`.
            ranks: Processes that share the batches.

        Raises:
            DataError: If a sample is broken.
        """
        pool = ThreadPoolExecutor(self._workers, "hardy-samples") if self._workers else None
        ahead: deque[Coming] = deque()
        try:
            for number in range(first, -(-len(order) // size)):
                part = np.asarray(order[number * size : (number + 1) * size])
                places = self._places[part[rank::ranks]]
                batch = self._empty(places, epoch)._replace(
                    step=number, rank=rank, ranks=ranks, whole=len(part)
                )
                jobs = self._jobs(places, batch)
                ahead.append((batch, [pool.submit(job).result if pool else job for job in jobs]))
                if pool is None or len(ahead) > _AHEAD:
                    yield self._ready(*ahead.popleft())
            while ahead:
                yield self._ready(*ahead.popleft())
        finally:
            if pool is not None:
                pool.shutdown(cancel_futures=True)

    def _geometry_of(self, epoch: int) -> Preprocess:
        return self._geometry if epoch else self._pipeline.preprocess

    def _shifts(self, epoch: int) -> bool:
        """Tell whether samples are shifted one by one, on the CPU."""
        return self._pipeline.shift is not None and (self._pipeline.late is None or not epoch)

    def _empty(self, places: NDArray[np.int64], epoch: int) -> Batch:
        """Return a batch on the CPU whose pixels are not there yet."""
        pipeline, geometry, shifts = self._pipeline, self._geometry_of(epoch), self._shifts(epoch)
        count, plane = len(places), (geometry.height, geometry.width)
        noisy = shifts and pipeline.late is not None
        clean = shifts and pipeline.target == "image"
        return Batch(
            self._buffer(torch.float32 if noisy else torch.uint8, count, 3, *plane),
            Targets(
                self._labels[torch.from_numpy(places)] if pipeline.dataset.classes else None,
                self._buffer(torch.uint8, count, *plane) if self._kept.masks is not None else None,
                self._buffer(torch.uint8, count, 3, *plane) if clean else None,
                self._captions_of(places.tolist()),
            ),
            tuple(self._samples[place].id for place in places.tolist()),
            self.seed,
            epoch,
        )

    def _buffer(self, dtype: torch.dtype, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=dtype, pin_memory=self._pins)

    def _captions_of(self, places: Sequence[int]) -> tuple[str, ...]:
        """Return captions; making one takes longer than all else of a sample that is kept."""
        if (caption := self._pipeline.dataset.caption) is None:
            return ()
        for place in places:
            if place not in self._captions:
                self._captions[place] = caption(self._samples[place])
        return tuple(self._captions[place] for place in places)

    def _jobs(self, places: NDArray[np.int64], batch: Batch) -> list[Callable[[], None]]:
        """Return what fills a batch's pixels."""
        kept = self._geometry_of(batch.epoch) is self._geometry and not self._shifts(batch.epoch)
        if kept and self._kept.there[places].all():
            return [partial(self._kept.copy, places, batch)]
        return [partial(self._read, place, row, batch) for row, place in enumerate(places.tolist())]

    def _read(self, place: int, row: int, batch: Batch) -> None:
        """Fill a row of a batch."""
        try:
            levels, mask = self._plain(place, self._geometry_of(batch.epoch))
        except DataError as error:
            raise broken(self._pipeline.bad(place, error)) from error
        if mask is not None and batch.targets.mask is not None:
            write(mask, batch.targets.mask[row])
        if batch.targets.image is not None:
            write(levels, batch.targets.image[row])
        if self._shifts(batch.epoch):
            pipeline = self._pipeline.of_epoch(batch.epoch)
            write(pipeline.shifted(levels, place), batch.inputs[row])
        else:
            write(levels, batch.inputs[row])

    def _plain(self, place: int, geometry: Preprocess) -> tuple[Levels, Levels | None]:
        """Return a sample before the shift, and keep it if there is room."""
        if geometry is not self._geometry:
            return self._pipeline.plain(place, geometry)
        if self._kept.there[place]:
            return self._kept[place]
        found = self._pipeline.plain(place, geometry)
        self._kept.put(place, *found)
        return found

    def _ready(self, batch: Batch, waits: Sequence[Callable[[], object]]) -> Batch:
        """Return a batch on the device, augmented, once its pixels are there."""
        for wait in waits:
            wait()
        label, mask, image, *_ = batch.targets
        inputs = self._there(batch.inputs)
        if image is not None:
            image = self._there(image)
        elif self._pipeline.target == "image":
            image = inputs
        targets = batch.targets._replace(
            label=None if label is None else self._there(label),
            mask=None if mask is None else self._there(mask).long(),
            image=image,
        )
        batch = batch._replace(inputs=inputs, targets=targets)
        if not batch.epoch or not batch.ids:
            return batch
        own, late = self._pipeline.preprocess, self._pipeline.late
        if self._augment:
            batch = augment(batch, self._augment, (own.height, own.width))
        if late is not None:
            noise = batch.normal("shift", (3, own.height, own.width))
            noise *= levels_of(late, own).to(self._device)
            batch = batch._replace(inputs=batch.inputs + noise)
        return batch

    def _there(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, non_blocking=self._pins)

    def _leave_out(self, hear: Callable[[int], None]) -> None:
        """Decode all samples, and leave out those that are broken."""

        def fault(place: int) -> BadSample | None:
            try:
                self._plain(place, self._geometry)
            except DataError as error:
                return self._pipeline.bad(place, error)
            return None

        good, bad = [], []
        with closing(read_ahead(fault, len(self._pipeline), self._workers)) as faults:
            for place, found in enumerate(faults):
                if found is None:
                    good.append(place)
                else:
                    bad.append(found)
                hear(place + 1)
        if not good:
            raise all_broken(bad)
        self._places, self.left_out = np.array(good), tuple(bad)


def _kept_geometry(pipeline: SamplePipeline, scale: float) -> Preprocess:
    """Return the geometry in which images are kept: see `Images`."""
    if scale == 1:
        return pipeline.preprocess
    places = {*np.linspace(0, len(pipeline) - 1, _LOOKED_AT).round().astype(int).tolist()}
    details = []
    for place in sorted(places):
        try:
            image = pipeline.dataset.read(pipeline.dataset.samples[pipeline.indices[place]])
        except DataError:
            continue  # it is met again
        details.append(pipeline.preprocess.detail(*image.size))
    scale = min(scale, max(details, default=1.0))
    return pipeline.preprocess.scaled(scale) if scale > 1 else pipeline.preprocess


def broken(item: BadSample) -> DataError:
    """Return the error that a broken sample is, where none may be left out."""
    return DataError(item.reason, hint=f"{item.hint} Or set data.on_bad_sample: skip.".lstrip())


def all_broken(items: Sequence[BadSample]) -> DataError:
    """Return the error that it is to have no sample left."""
    first = f", the first: {items[0].reason}" if items else ""
    message = f"no sample is left: {len(items)} are broken{first}"
    return DataError(message, hint="Look at them with: hardy data check NAME --decode")
