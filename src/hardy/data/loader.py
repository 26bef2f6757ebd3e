"""A dataset's images in memory, for methods that see each of them many times."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from hardy.core.errors import DataError
from hardy.data.pipeline import Prepared, loader
from hardy.engine.device import spread
from hardy.engine.progress import Reporter
from hardy.engine.setup import Bench
from hardy.methods.fitting import Batch


@dataclass(frozen=True)
class Stock:
    """A dataset's images, decoded once and held in memory.

    Attributes:
        pixels: (N, 3, S, S) in [0, 255]; uint8, but for noise that comes after the normalisation.
        labels: Classes (N,).
        ids: The samples' names.
        captions: What they show, in words; empty where the dataset has no captions.
    """

    pixels: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    captions: tuple[str, ...]

    def batches(
        self, places: list[int], size: int, seed: int, epoch: int, device: torch.device
    ) -> Iterator[Batch]:
        """Yield the samples at some places in their order; the last batch may be smaller."""
        for start in range(0, len(places), size):
            part = places[start : start + size]
            yield Batch(
                self.pixels[part].to(device),
                self.labels[part].to(device),
                tuple(self.ids[place] for place in part),
                tuple(self.captions[place] for place in part) if self.captions else (),
                seed,
                epoch,
            )


def read_stock(bench: Bench, reporter: Reporter, title: str) -> Stock:
    """Read a bench's samples: decoded, shifted, as large as the network's input.

    Args:
        bench: Its dataset is read.
        reporter: Told of every sample.
        title: On the progress bar.

    Raises:
        DataError: If a sample is broken and the spec does not say `on_bad_sample: skip`.
    """
    dataset, say, total = bench.dataset, bench.dataset.caption, len(bench.dataset.samples)
    cores = spread(bench.experiment, bench.model.preprocess.size, bench.fabric.device.type)
    items: list[Prepared] = []
    reporter.unit(title, total)
    with closing(loader(bench.pipeline(range(total)), cores.workers)) as samples:
        for done, item in enumerate(samples, start=1):
            if isinstance(item, Prepared):
                items.append(item)
            elif bench.experiment.data.on_bad_sample == "error":
                hint = f"{item.hint} Or set data.on_bad_sample to skip.".lstrip()
                raise DataError(item.reason, hint=hint)
            reporter.sample(done, "")
    return Stock(
        torch.cat([item.pixels[:1] for item in items]),
        torch.tensor([item.label for item in items]),
        tuple(item.id for item in items),
        tuple(say(dataset.samples[item.index]) for item in items) if say else (),
    )
