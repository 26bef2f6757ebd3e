"""How fast AugMix's views are made, as a ratio to the plain serial loop of the published code.

    python -m benchmarks.views [--rounds 5] [--views 64] [--workers 2]

Each round times all ways one after the other on the same photographs (imagenet-sample, 224 pixels),
so that a busy machine slows all of them; a ratio is taken within a round. What is printed is the
median of the rounds with the interval that 95 % of the rounds' bootstrapped medians lie in.
The last column is processor time in milliseconds a view: what is left of a comparison where other
programs take the cores.
"""

import argparse
import os
import time
from collections.abc import Callable
from contextlib import closing

import numpy as np
import torch

from hardy.core.seeding import generator
from hardy.data.open import open_dataset
from hardy.data.pipeline import SamplePipeline, loader
from hardy.data.preprocess import Preprocess
from hardy.data.spec import DataSpec
from hardy.data.view_spec import AugMix
from tests.data.published_augmix import published_view

SIZE = 224
PREPROCESS = Preprocess(SIZE, 256, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SAMPLES = 4


def pipeline(views: int, samples: int, backend: str = "pil") -> SamplePipeline:
    dataset = open_dataset(DataSpec(dataset="imagenet-sample"))
    indices = [index % len(dataset.samples) for index in range(samples)]
    spec = AugMix(count=views, backend=backend)
    return SamplePipeline(dataset, PREPROCESS, views=spec, indices=indices)


def published(views: int) -> float:
    made = pipeline(views, SAMPLES)
    start = time.perf_counter()
    for index in made.indices:
        sample = made.dataset.samples[index]
        image = made.dataset.read(sample)
        for view in range(1, views):
            rng = generator(0, sample.id, "view", view)
            published_view(image, rng, SIZE, PREPROCESS.mean, PREPROCESS.std)
    return SAMPLES * views / (time.perf_counter() - start)


def serial(views: int, backend: str = "pil") -> float:
    made = pipeline(views, SAMPLES, backend)
    start = time.perf_counter()
    for position in range(SAMPLES):
        PREPROCESS.normalise(made[position].pixels)
    return SAMPLES * views / (time.perf_counter() - start)


def ahead(views: int, workers: int) -> float:
    made = pipeline(views, 3 * SAMPLES * workers)
    start = time.perf_counter()
    with closing(loader(made, workers)) as samples:
        for sample in samples:
            PREPROCESS.normalise(sample.pixels)
    return len(made) * views / (time.perf_counter() - start)


def interval(values: list[float]) -> str:
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(values, (2000, len(values))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return f"{np.median(values):8.2f}  [{low:.2f}, {high:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--views", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    ways: dict[str, Callable[[], float]] = {
        "published code, serial": lambda: published(asked.views),
        "hardy, serial": lambda: serial(asked.views),
        f"hardy, {asked.workers} threads": lambda: ahead(asked.views, asked.workers),
        "hardy, tensor backend, serial": lambda: serial(asked.views, "tensor"),
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(asked.rounds):
        for name, way in ways.items():
            start = time.process_time()
            speeds[name].append(way())
            costs[name].append(1e3 * (time.process_time() - start) / (SAMPLES * asked.views))
    base = speeds["published code, serial"]
    print(f"AugMix, {asked.views} views at {SIZE} pixels, {os.cpu_count()} cores")
    print(f"{'':32}{'views a second':>24}{'ratio to published':>26}{'CPU ms a view':>18}")
    for name, values in speeds.items():
        ratios = [value / other for value, other in zip(values, base, strict=True)]
        cost = f"{np.median(costs[name]):.2f}" if name.endswith("serial") else ""
        print(f"{name:32}{interval(values):>28}{interval(ratios):>26}{cost:>14}")


if __name__ == "__main__":
    main()
