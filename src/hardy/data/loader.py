"""Samples for methods that see each of them many times."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from hardy.core.errors import DataError
from hardy.data.item import Batch, Targets
from hardy.data.pipeline import BadSample, Prepared, SamplePipeline, loader


@dataclass(frozen=True)
class Images:
    """A dataset's images, decoded once and held in memory.

    Attributes:
        pixels: (N, 3, S, S) in [0, 255]; uint8, but for noise that comes after the normalisation.
        labels: Classes (N,).
        ids: The samples' names.
        captions: What they show, in words; empty where the dataset has no captions.
        seed: The experiment's.
        device: Where batches go.
        left_out: Broken samples that are not among them.
    """

    pixels: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    captions: tuple[str, ...]
    seed: int
    device: torch.device
    left_out: tuple[BadSample, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

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
        """Yield the samples at some places in their order; the last batch may be smaller."""
        for start in range(first * size, len(order), size):
            part = list(order[start : start + size])[rank::ranks]
            captions = tuple(self.captions[place] for place in part) if self.captions else ()
            targets = Targets(self.labels[part].to(self.device), caption=captions)
            ids = tuple(self.ids[place] for place in part)
            yield Batch(self.pixels[part].to(self.device), targets, ids, self.seed, epoch)


def read_images(
    pipeline: SamplePipeline,
    device: torch.device,
    *,
    workers: int,
    skip: bool,
    hear: Callable[[int], None] = lambda _: None,
) -> Images:
    """Read a pipeline's samples: decoded, shifted, as large as the network's input.

    Args:
        pipeline: What to read; of the views, the unchanged image is kept.
        device: Where batches are to go.
        workers: Threads that read ahead.
        skip: Whether a broken sample is left out.
        hear: Told how many samples are read.

    Raises:
        DataError: If a sample is broken and none may be left out, or all are broken.
    """
    items: list[Prepared] = []
    left_out: list[BadSample] = []
    with closing(loader(pipeline, workers)) as samples:
        for done, item in enumerate(samples, start=1):
            if isinstance(item, Prepared):
                items.append(item)
            elif not skip:
                raise broken(item)
            else:
                left_out.append(item)
            hear(done)
    if not items:
        raise all_broken(left_out)
    labels = [item.targets.label for item in items if item.targets.label is not None]
    return Images(
        torch.cat([item.pixels[:1] for item in items]),
        torch.cat(labels) if labels else torch.zeros(len(items), dtype=torch.int64),
        tuple(item.id for item in items),
        tuple(caption for item in items for caption in item.targets.caption),
        pipeline.seed,
        device,
        tuple(left_out),
    )


def broken(item: BadSample) -> DataError:
    """Return the error that a broken sample is, where none may be left out."""
    return DataError(item.reason, hint=f"{item.hint} Or set data.on_bad_sample: skip.".lstrip())


def all_broken(items: Sequence[BadSample]) -> DataError:
    """Return the error that it is to have no sample left."""
    first = f", the first: {items[0].reason}" if items else ""
    message = f"no sample is left: {len(items)} are broken{first}"
    return DataError(message, hint="Look at them with: hardy data check NAME --decode")
