"""MEMO's speed-ups, as ratios: `python -m benchmarks.memo [PART ...]`.

`two-pass`: all views without a graph, then the selected ones with it, against one graph over all
views. `end-to-end`: `hardy run`'s way through CIFAR images against the published code's plain loop,
from the image file to the answer. `share`: how much of a run's time the network's own passes take.

The networks have random weights, which cost the same as trained ones; `--weights` says others for
`end-to-end`, which runs on CIFAR-10's test images if HARDY_DATA is set, else on digits.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from benchmarks.published_memo import PublishedMemo
from benchmarks.timing import compare, compare_seconds
from hardy.data.open import open_dataset
from hardy.data.view_spec import Cut
from hardy.engine.answer import AnswerJob, Row, rows
from hardy.engine.device import spread
from hardy.engine.executor import Processes, Send
from hardy.engine.setup import Setup, set_up
from hardy.methods.base import Subject
from hardy.methods.memo.method import Memo
from hardy.methods.memo.spec import MemoSpec
from hardy.models.build import build_model
from hardy.models.model import Model
from hardy.models.spec import TorchvisionModel
from hardy.models.weights import locate
from hardy.spec import resolve
from hardy.spec.experiment import Experiment


def _classifier(model: TorchvisionModel) -> Model:
    model = build_model(model).to(memory_format=torch.channels_last)
    # torchvision's transformers begin with a head of zeros, which tells no view from another.
    head = next(m for m in reversed(list(model.modules())) if isinstance(m, nn.Linear))
    nn.init.normal_(head.weight, std=0.1, generator=torch.manual_seed(1))
    return model


def two_pass(name: str, views: int, select: float, rounds: int) -> None:
    """Print the ratio for one network, and how far the two answers lie apart."""
    spec = MemoSpec(views=Cut(count=views), select=select)
    model = TorchvisionModel(name=name, weights="random")
    fast, plain = (Memo(_classifier(model), spec, two_pass=flag) for flag in (True, False))
    subject = Subject(torch.randn(views, 3, 224, 224, generator=torch.manual_seed(0)))
    outcomes = [method.predict(subject) for method in (plain, fast)]
    distance = max(
        float((outcomes[0].answers[k] - outcomes[1].answers[k]).abs().max())
        for k in ("source", "view_ensemble", "memo")
    )
    same = outcomes[0].details["selected_views"] == outcomes[1].details["selected_views"]

    def run(method: Memo) -> None:
        method.reset()
        method.predict(subject)

    ratio = compare(lambda: run(plain), lambda: run(fast), rounds)
    print(f"{name:10s} {views} views, select {select}: {ratio}")
    print(f"{'':10s} same views selected: {same}; log-probabilities differ by {distance:.1e}")


@dataclass(frozen=True)
class Warm:
    """A job that begins when all are ready, so that the start of processes is not timed.

    Attributes:
        job: Answers; its first place stands in it twice, and counts the second time.
        folder: Each process leaves a file here when it has answered once.
        processes: How many there are.
    """

    job: AnswerJob
    folder: Path
    processes: int

    def __call__(self, send: Send) -> None:
        """Wait for the others after the first answer."""

        def wait(sent: object) -> None:
            mark = self.folder / str(self.job.places[0])
            if not mark.exists():
                mark.touch()
                while len(list(self.folder.iterdir())) < self.processes:
                    time.sleep(0.001)
            else:
                send(sent)

        self.job(wait)


def _hardy(setup: Setup, places: Sequence[int], found: list[Row]) -> float:
    """Make the records as `hardy run` does; return the seconds."""
    count = spread(setup.experiment, setup.model.preprocess.size, "cpu").processes
    made: dict[int, Row] = {}
    with tempfile.TemporaryDirectory() as folder:
        jobs = []
        for k in range(count):
            mine = (places[k], *places[k::count])
            job = AnswerJob(setup.experiment, setup.located, setup.data["answer"], None, mine)
            jobs.append(Warm(job, Path(folder), count))
        ends: list[float] = []

        def hear(_: int, sent: tuple[int, Row]) -> None:
            made.update([sent])
            ends[:] = [time.time()]

        Processes(count).run(jobs, hear)
        found[:] = [made[place] for place in places]
        return ends[0] - max(path.stat().st_mtime for path in Path(folder).iterdir())


def _set_up(experiment: Experiment) -> Setup:
    located = {"model.weights": locate(experiment.model)}
    return set_up(experiment, located, {"answer": open_dataset(experiment.data)})


def _published(
    method: PublishedMemo, threads: int, indices: Sequence[int], found: list[torch.Tensor]
) -> float:
    """Make the answers one after the other; return the seconds."""
    torch.set_num_threads(threads)
    start = time.perf_counter()
    found[:] = [method(index) for index in indices]
    return time.perf_counter() - start


def end_to_end(images: int, weights: str, threads: int, rounds: int) -> None:
    """Print the ratio over CIFAR images, and how far the two ways' answers lie apart."""
    dataset = [] if "HARDY_DATA" in os.environ else ["data={dataset: digits}"]
    changes = [f"model.weights={weights}", "method.views.include_original=false", *dataset]
    experiment = resolve("cifar10/memo", changes).units[0].experiment
    setup = _set_up(experiment)
    method = PublishedMemo(setup, views=32, rate=5e-3)
    places = np.linspace(0, len(setup.data["answer"].samples) - 1, images).astype(int).tolist()
    made: list[Row] = []
    answers: list[torch.Tensor] = []
    _published(method, threads, places[:4], answers)
    plain = partial(_published, method, threads, places, answers)
    ratio = compare_seconds(plain, partial(_hardy, setup, places, made), rounds)
    distance = max(
        abs(row["memo.confidence"] - float(answer.exp().max()))
        for row, answer in zip(made, answers, strict=True)
    )
    print(f"resnet26   {images} images of {setup.data['answer'].name}: {ratio}")
    print(f"{'':10s} plain loop's threads: {threads}; starts of processes are not counted")
    print(f"{'':10s} the answers' confidence differs by {distance:.1e} at most")


@contextmanager
def _passes(network: nn.Module) -> Iterator[list[float]]:
    """Yield a list that gets the seconds of every forward and backward pass."""
    seconds: list[float] = []
    starts: list[float] = []
    backward = torch.autograd.backward

    def timed(*arguments: object, **named: object) -> None:
        start = time.perf_counter()
        backward(*arguments, **named)  # type: ignore[arg-type]
        seconds.append(time.perf_counter() - start)

    hooks = [
        network.register_forward_pre_hook(lambda *_: starts.append(time.perf_counter())),
        network.register_forward_hook(
            lambda *_: seconds.append(time.perf_counter() - starts.pop())
        ),
    ]
    try:
        with patch("torch.autograd.backward", timed):
            yield seconds
    finally:
        for hook in hooks:
            hook.remove()


def share(views: int, select: float, samples: int) -> None:
    """Print which share of the wall time the passes take in the loop of `hardy run`."""
    changes = [
        "matrix.data.shift.kind=[contrast]",
        "model={kind: torchvision, name: resnet50, weights: random}",
        f"method.views.count={views}",
        f"method.select={select}",
    ]
    experiment = resolve("quickstart", changes).units[0].experiment
    setup = _set_up(experiment)
    workers = spread(experiment, setup.model.preprocess.size, "cpu").workers
    with closing(rows(setup, range(samples + 1), workers)) as made:
        next(made)  # the first sample waits for its views
        with _passes(setup.model.network) as seconds:
            start = time.perf_counter()
            for _ in made:
                pass
            wall = time.perf_counter() - start
    print(f"resnet50   {views} views, select {select}, {samples} samples at 224 pixels:")
    print(f"{'':10s} passes take {sum(seconds):.1f} s of {wall:.1f} s, {sum(seconds) / wall:.1%}")


def main() -> None:
    """Run the parts that are asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="two-pass, end-to-end, share; none for all")
    parser.add_argument("--rounds", type=int, default=3, help="pairs that are timed")
    parser.add_argument("--views", type=int, default=64, help="views per sample, but for CIFAR")
    parser.add_argument("--images", type=int, default=48, help="CIFAR images a round")
    parser.add_argument("--samples", type=int, default=4, help="photographs in `share`")
    parser.add_argument("--threads", type=int, default=1, help="of the plain CIFAR loop")
    parser.add_argument("--weights", default="random", help="of the CIFAR network, as in a spec")
    asked = parser.parse_args()
    parts: dict[str, Callable[[], None]] = {
        "two-pass": lambda: _two_passes(asked.views, asked.rounds),
        "end-to-end": lambda: end_to_end(asked.images, asked.weights, asked.threads, asked.rounds),
        "share": lambda: _shares(asked.views, asked.samples),
    }
    if unknown := set(asked.parts) - set(parts):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    for part in asked.parts or parts:
        parts[part]()


def _two_passes(views: int, rounds: int) -> None:
    for name in ("resnet50", "vit_b_16"):
        two_pass(name, views, 0.1, rounds)


def _shares(views: int, samples: int) -> None:
    for select in (1.0, 0.1):
        share(views, select, samples)


if __name__ == "__main__":
    main()
