"""Peak memory of a tracked training while its data grow: `python -m benchmarks.train_memory`.

Images are drawn and written in the layouts that datasets come in: CIFAR-10's binary files, and a
folder of JPEGs, one folder a class. On each, a process of its own trains the head of a tiny network
for one epoch, with the images that fit `compute.image_memory`, and says how much memory it had at
most: after the plan, after the set-up, and at the end. The larger sets do not fit; every image is
read. The last column takes what is kept out: what else grows with the data.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

CLASSES = 10
VALIDATED = 100
NETWORK = {"kind": "timm", "name": "test_efficientnet", "weights": "random"}


def write_cifar(root: Path, count: int) -> None:
    """Write CIFAR-10's binary version with so many rows to learn from."""
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    parts = [*np.array_split(np.arange(count), 5), np.arange(VALIDATED)]
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    rng = np.random.default_rng(0)
    for name, rows in zip(names, parts, strict=True):
        content = rng.integers(0, 256, (len(rows), 3073), np.uint8)
        content[:, 0] = rows % CLASSES
        content.tofile(folder / name)


def write_folder(root: Path, count: int) -> None:
    """Write JPEGs of 256 x 256 pixels in ten class folders, and some more to validate."""
    rng = np.random.default_rng(0)
    for label in range(CLASSES):
        (root / f"class-{label}").mkdir(parents=True)
    for number in range(count + VALIDATED):
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
        image = coarse.resize((256, 256), Image.Resampling.BICUBIC)
        image.save(root / f"class-{number % CLASSES}" / f"{number:05}.jpeg", quality=90)


@dataclass(frozen=True)
class Growth:
    """Data that grow.

    Attributes:
        size: Side of the network's input, in pixels.
        write: Writes so many samples below a folder.
        counts: How many, before and after.
    """

    size: int
    write: Callable[[Path, int], None]
    counts: tuple[int, int]


GROWTHS = {
    "32": Growth(32, write_cifar, (1_000, 50_000)),
    "224": Growth(224, write_folder, (500, 5_000)),
}


def spec_of(growth: Growth, root: Path, count: int, budget: int) -> dict[str, Any]:
    """Return the experiment on data that lie in a folder; the budget is in MB."""
    data: dict[str, Any] = {"dataset": "cifar10", "root": str(root), "split": "train"}
    validate: dict[str, Any] = {"split": "test"}
    if growth.size != 32:
        share = count / (count + VALIDATED)
        parts = {"fractions": {"train": share, "val": 1 - share}, "part": "train"}
        data, validate = (
            {"dataset": "folder", "root": str(root), "partition": parts},
            {"part": "val"},
        )
    return {
        "name": "benchmark/memory",
        "data": data,
        "model": {**NETWORK, "input": {"size": growth.size, "resize": growth.size}},
        "method": {
            "kind": "supervised",
            "epochs": 1,
            "batch": 64,
            "tune": "head",
            "validate_on": validate,
        },
        "compute": {"device": "cpu", "image_memory": budget},
    }


def peak() -> float:
    """Return the most memory that this process has had, in MB of 10^6 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def child(spec: dict[str, Any], home: Path) -> None:
    """Train, and print the peaks and how many images were read."""
    from benchmarks.train import Clock, hardy, planned, set_up_of
    from hardy.data.pipeline import SamplePipeline

    read: dict[int, set[int]] = {}  # by how many there are: to learn from, to validate
    plain = SamplePipeline.plain

    def counted(self: SamplePipeline, place: int, *others: Any) -> Any:
        read.setdefault(len(self), set()).add(place)
        return plain(self, place, *others)

    SamplePipeline.plain = counted  # type: ignore[method-assign]
    found = {"imported": peak()}
    unit = planned(spec, home)
    found["planned"] = peak()
    set_up_of(unit)
    found["set up"] = peak()
    hardy(unit, Clock())
    print(json.dumps({**found, "trained": peak(), "read": len(read[max(read)])}))


def measured(growth: Growth, count: int, budget: int) -> dict[str, float]:
    """Return the peaks of a training, in MB."""
    with TemporaryDirectory() as place:
        root = Path(place) / "data"
        growth.write(root, count)
        spec = json.dumps(spec_of(growth, root, count, budget))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.train_memory", "--child", spec, place],
            env={**os.environ, "HARDY_HOME": place, "MLFLOW_TRACKING_URI": ""},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if found["read"] != count:
        raise RuntimeError(f"{found['read']} of {count} images were read")
    return found


def kept(growth: Growth, count: int, budget: int) -> float:
    """Return what is kept of the images, in MB."""
    each = 3 * growth.size**2
    return min(count + VALIDATED, budget * 10**6 // each) * each / 1e6


def main() -> None:
    """Print the peaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("sizes", nargs="*", choices=[[], *GROWTHS], help="pixels; none: all")
    parser.add_argument("--budget", type=int, default=100, help="compute.image_memory, in MB")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(json.loads(asked.child[0]), Path(asked.child[1]))
        return
    print(f"MB at most, compute.image_memory {asked.budget}")
    for size in asked.sizes or GROWTHS:
        growth = GROWTHS[size]
        rows = []
        for count in growth.counts:
            found = measured(growth, count, asked.budget)
            rows.append((found["trained"], kept(growth, count, asked.budget)))
            stages = ", ".join(f"{name} {value:.0f}" for name, value in found.items())
            print(f"{size} px, {count}: {stages}; of it images kept {rows[-1][1]:.0f}", flush=True)
        (small, small_kept), (large, large_kept) = rows
        ratio, rest = large / small, (large - large_kept) / (small - small_kept)
        print(f"{size} px: ratio {ratio:.3f}, without what is kept {rest:.3f}", flush=True)


class _Raw(argparse.RawDescriptionHelpFormatter):
    pass


if __name__ == "__main__":
    main()
