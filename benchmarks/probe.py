"""A probe on kept features against one that computes them anew: `python -m benchmarks.probe`.

Both train the same head for 100 epochs on drawn shapes at 32 px, with the same loop, validation
included, on one thread. One way is the method's own `fit`: features once (`first`), or found in the
cache (`kept`). The other computes the features of each batch anew, as P4 does; of it two epochs are
measured and scaled to as many. Images of both lie decoded in memory.
"""

import argparse
import os
from collections.abc import Generator, Mapping, Sequence
from itertools import count
from tempfile import TemporaryDirectory
from time import perf_counter

import torch

from benchmarks.timing import ratio_of
from hardy.core.cache import default_cache
from hardy.data.item import Batch
from hardy.data.open import open_dataset
from hardy.engine.checkpoint import Checkpoint
from hardy.engine.ranks import NoRun, silent
from hardy.engine.setup import Setup, set_up
from hardy.engine.work import Work
from hardy.methods.fitting import Fits, Source
from hardy.methods.linear_probe.method import ProbeLearner
from hardy.methods.linear_probe.spec import LinearProbeSpec
from hardy.models import head
from hardy.models.model import Model
from hardy.models.probe import Before
from hardy.models.weights import Located
from hardy.spec.experiment import Experiment

EPOCHS, MEASURED = 100, 2
_NUMBERS = count(1)


class Anew:
    """A source whose batches go through the network each time that they are asked for."""

    def __init__(self, images: Source, model: Model, block: int) -> None:
        self.images, self.model, self.block = images, model, block
        self.seed = images.seed

    def __len__(self) -> int:
        return len(self.images)

    @torch.no_grad()
    def _features(self, batch: Batch) -> torch.Tensor:
        parts = self.model.preprocess.normalise(batch.inputs).split(self.block)
        return torch.cat([head.features(self.model.network, part) for part in parts])

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
        # Epoch 0: evaluation's pixels, as the features are of.
        for batch in self.images.batches(order, size, 0, first=first, rank=rank, ranks=ranks):
            yield batch._replace(inputs=self._features(batch), epoch=epoch)


def built(images: int, sizes: Mapping[str, int]) -> Setup:
    """Set the experiment up, with a small transformer of these sizes."""
    parts = {"dataset": "shapes", "split": "train", "shapes": {"count": images, "size": 32}}
    method = {"kind": "linear_probe", "epochs": EPOCHS, "validate_on": {"split": "test"}}
    wide = {"mlp": 4 * sizes["dim"], "dropout": 0.0}
    model = {"kind": "hardy", "name": "vit", "weights": "random", **sizes, **wide}
    given = {"name": "probe", "data": parts, "model": model, "method": method}
    spec = Experiment.model_validate({**given, "compute": {"device": "cpu", "threads": 1}})
    roles = spec.method.roles().items()
    data = {
        role: open_dataset(other.data(spec.data, 0) if other else spec.data)
        for role, other in roles
    }
    return set_up(spec, {"model.weights": Located(None, "benchmark")}, data)


def work_of(setup: Setup) -> Work:
    """Return what a run would give the method; each time with a training that stands nowhere."""
    checkpoint = Checkpoint(f"benchmark-{next(_NUMBERS)}", "f" * 32)
    return Work(setup, checkpoint, NoRun(), silent())


def by_fit(setup: Setup) -> float:
    """Return the seconds of the method's own training."""
    start = perf_counter()
    assert isinstance(setup.method, Fits)
    setup.method.fit(work_of(setup))
    return perf_counter() - start


def anew(setup: Setup) -> float:
    """Return the seconds of as many epochs, from those of a few, without decoding."""
    spec = setup.experiment.method
    assert isinstance(spec, LinearProbeSpec)
    few, model = spec.model_copy(update={"epochs": MEASURED}), setup.model
    shape, work = model.preprocess, work_of(setup)
    block = spec.block(shape.height, shape.width, "cpu")
    head.make(model.network, setup.task.outputs, 0, Before(normalise=True))
    fit, validate = (Anew(work.source(role), model, block) for role in ("fit", "validate"))
    for source in (fit, validate):
        for _ in source.images.batches(range(len(source)), 1024, 0):
            pass  # decoded and kept from here on
    start = perf_counter()
    work.train(ProbeLearner(model, few, setup.task), fit, validate)
    return (perf_counter() - start) * EPOCHS / MEASURED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=3000, help="shapes, test samples included")
    parser.add_argument("--rounds", type=int, default=3)
    sizes = {"dim": 192, "depth": 12, "heads": 3, "patch": 8}
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    sizes = {name: getattr(asked, name) for name in sizes}
    with TemporaryDirectory() as home:
        os.environ["HARDY_HOME"] = home
        pairs: dict[str, list[tuple[float, float]]] = {"first": [], "kept": []}
        for _ in range(asked.rounds):
            setup = built(asked.count, sizes)
            default_cache().empty()
            plain, first = anew(setup), by_fit(setup)
            pairs["first"].append((plain, first))
            pairs["kept"].append((plain, by_fit(setup)))
        samples = {role: len(data.samples) for role, data in setup.data.items()}
    print(f"{EPOCHS} epochs, samples {samples}; computed anew: {MEASURED} epochs, scaled")
    for name, found in pairs.items():
        print(f"{name:6} {ratio_of(found)}")


if __name__ == "__main__":
    main()
