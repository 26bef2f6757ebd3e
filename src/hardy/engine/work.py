"""What a method may ask of the engine while it learns, on one device or as one of several ranks."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from PIL import Image
from safetensors.torch import load, save
from torch import Tensor

from hardy.core.cache import default_cache
from hardy.core.errors import SpecError
from hardy.core.hashing import digest
from hardy.core.processes import ignore_interrupts
from hardy.data.augment_spec import AugmentStep
from hardy.data.dataset import Dataset
from hardy.data.item import BadSample, Targets
from hardy.data.loader import Images, all_broken, broken
from hardy.data.pipeline import loader
from hardy.data.shift_spec import ShiftSpec
from hardy.data.view_spec import Identity
from hardy.engine.checkpoint import Checkpoint
from hardy.engine.device import all_threads, spread
from hardy.engine.executor import Send, beside
from hardy.engine.pictures import title_of
from hardy.engine.progress import Reporter
from hardy.engine.ranks import (
    NoCheckpoint,
    NoRun,
    Rank,
    free_address,
    launched,
    meet,
    others_lost,
    part,
    ranked_fabric,
    silent,
    wanted,
)
from hardy.engine.setup import Setup, set_up
from hardy.engine.train import Training, train
from hardy.explain.drawing import titled
from hardy.methods.base import Subject
from hardy.methods.base_spec import Role
from hardy.methods.fitting import Fits, Source
from hardy.methods.learner import Learner
from hardy.models.weights import Located
from hardy.plan.tracker import THREADS_TAG, Run
from hardy.spec.experiment import Experiment

_META = "left_out"


class Work:
    """What a method may ask of the engine: see `hardy.methods.fitting.Work`.

    Args:
        setup: The experiment's parts.
        checkpoint: Where a training stands.
        run: Takes whatever is measured.
        reporter: Told of samples read, and of steps.
    """

    def __init__(self, setup: Setup, checkpoint: Checkpoint, run: Run, reporter: Reporter) -> None:
        self.seed = setup.experiment.seed
        self.device: torch.device = setup.fabric.device
        self.task = setup.task
        self._setup = setup
        self._checkpoint = checkpoint
        self._run = run
        self._reporter = reporter
        self._name = setup.experiment.name
        self._title = title_of(self._name, [setup.experiment])
        self._image_memory = setup.experiment.compute.image_memory * 10**6  # that is left

    @property
    def _workers(self) -> int:
        size, device = self._setup.model.preprocess.side, self.device.type
        return spread(self._setup.experiment, size, device).workers

    def data(self, role: Role) -> Dataset:
        """Return a role's samples."""
        return self._setup.data[role]

    def source(
        self,
        role: Role,
        augment: Sequence[AugmentStep] = (),
        *,
        left: bool = False,
        shift: ShiftSpec | None = None,
    ) -> Source:
        """Return a role's images in batches."""
        stated = self._setup.experiment.data.shift
        if shift is not None and stated is not None:
            message = f"method.shift is put on one view, and data.shift {stated.label} on all"
            raise SpecError(message, hint="Leave data.shift out.")
        if self._setup.skips:
            what = {"fit": "training", "validate": "validation"}.get(role, role)
            self._reporter.unit(
                f"{self._name}: reads {what} samples", len(self._setup.data[role].samples)
            )
        found = Images(
            self._setup.pipeline(role, views=Identity(), shift=shift),
            self.device,
            augment=augment,
            left=left,
            budget=self._image_memory,
            workers=max(1, self._workers),
            skip=self._setup.skips,
            hear=lambda done: self._reporter.sample(done, ""),
        )
        self._image_memory -= found.room
        for item in found.left_out:
            self._setup.left_out.add(role, item)
        return found

    def subjects(self, role: Role) -> Iterator[tuple[Subject, Targets]]:
        """Yield a role's samples one by one."""
        bad: list[BadSample] = []
        with closing(loader(self._setup.pipeline(role), self._workers)) as samples:
            for item in samples:
                if isinstance(item, BadSample):
                    if not self._setup.skips:
                        raise broken(item)
                    bad.append(item)
                    self._setup.left_out.add(role, item)
                    continue
                with self._setup.fabric.autocast():
                    yield self._setup.subject(item), item.targets
        if len(bad) == len(self._setup.data[role].samples):
            raise all_broken(bad)

    def train(self, learner: Learner, fit: Source, validate: Source | None) -> None:
        """Train; the learner is left with the weights to keep."""
        stated = self._setup.experiment.compute.threads
        threads = all_threads(stated) if learner.spec.trains_on_all_cores else nullcontext()
        with _together(self._setup) as fabric, threads:
            self._run.tags({THREADS_TAG: str(torch.get_num_threads())})
            parts = (self.task, fabric, self._run, self._reporter, self._name, self._title)
            train(Training(learner, fit, validate, *parts, self._setup.watch), self._checkpoint)

    def kept(
        self,
        kind: str,
        key: Any,  # noqa: ANN401 - any JSON value
        make: Callable[[], dict[str, Tensor]],
        role: Role = "fit",
    ) -> dict[str, Tensor]:
        """Return what `make` gives, from the cache where the same was made before."""
        experiment, shift = self._setup.experiment, self._setup.seen(role).shift
        known_by = {
            "samples": self._setup.data[role].digest,
            "shift": shift.identity() if shift else None,
            "weights": [located.identity for located in self._setup.located.values()],
            "model": experiment.model.identity(),
            "seed": experiment.seed,
            "precision": experiment.precision,
            "key": key,
            # Another run that may skip none is not to find what was made without some.
            **({"on_bad_sample": "skip"} if self._setup.skips else {}),
        }

        def made() -> bytes:
            tensors = _contiguous(make())
            beside = {_META: self._setup.left_out.dump()} if self._setup.skips else None
            return bytes(save(tensors, beside))

        content = default_cache().through(kind, digest(known_by), made, once=True)
        self._setup.left_out.read(_metadata(content).get(_META, "[]"))
        return dict(load(content))

    def autocast(self) -> AbstractContextManager[object]:
        """Return a context in which passes of a network have the experiment's precision."""
        context: AbstractContextManager[object] = self._setup.fabric.autocast()
        return context

    def log(self, values: Mapping[str, float]) -> None:
        """Log metrics of the run."""
        self._run.metrics(values)

    def picture(self, path: str, picture: Image.Image) -> None:
        """Keep a picture."""
        with tempfile.TemporaryDirectory(prefix="hardy-") as scratch:
            file = Path(scratch) / Path(path).name
            titled(picture, self._title).save(file)
            self._run.artifact(file, path)

    def say(self, news: str) -> None:
        """Tell the user."""
        self._reporter.say(f"{self._name}: {news}")


def _metadata(content: bytes) -> dict[str, str]:
    """Return what stands beside the tensors of a safetensors file's bytes."""
    size = int.from_bytes(content[:8], "little")
    return dict(json.loads(content[8 : 8 + size]).get("__metadata__", {}))


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


@contextmanager
def _together(setup: Setup) -> Iterator[Fabric]:
    """Give a Fabric on all devices that an experiment trains on, with the other ranks at work.

    Raises:
        MethodError: If another rank that torchrun has started ended.
    """
    experiment = setup.experiment
    count = wanted(experiment)
    if count == 1 or setup.fabric.world_size > 1:  # alone, or one of the other ranks
        yield setup.fabric
        return
    here = launched() or Rank(0, count, 0, free_address())
    job = RankJob(experiment, setup.located, setup.data)
    if launched():
        order(job)
        with others_lost():
            yield ranked_fabric(experiment, here)
        return
    others = [_Joining(job, Rank(n, count, n, here.address)) for n in range(1, count)]
    with beside(others):
        meet(here)
        try:
            yield ranked_fabric(experiment, here)
        finally:
            part()


@dataclass(frozen=True)
class RankJob:
    """What a rank other than 0 needs to train along.

    Attributes:
        experiment: The resolved spec.
        located: Its weights.
        data: Its samples.
    """

    experiment: Experiment
    located: Mapping[str, Located]
    data: Mapping[Role, Dataset]

    def train_as(self, rank: Rank) -> None:
        """Do what rank 0 does, on this rank's rows; nothing is written and nothing is said."""
        fabric = ranked_fabric(self.experiment, rank)
        setup = set_up(self.experiment, self.located, self.data, fabric=fabric)
        if isinstance(setup.method, Fits):
            setup.method.fit(Work(setup, NoCheckpoint(), NoRun(), silent()))


@dataclass(frozen=True)
class _Joining:
    """A job for a process that is started for it."""

    job: RankJob
    rank: Rank

    def __call__(self, send: Send) -> None:
        meet(self.rank)
        try:
            self.job.train_as(self.rank)
        finally:
            part()


def order(job: RankJob | None) -> None:
    """Give the ranks that torchrun has started work; None lets them go."""
    if not torch.distributed.is_initialized():
        meet(_of_torchrun())
    torch.distributed.broadcast_object_list([job])
    if job is None:
        part()


def serve() -> None:
    """Train along with rank 0 whenever it asks, until it lets this process go."""
    ignore_interrupts()  # torchrun ends this process
    rank = _of_torchrun()
    meet(rank)
    while True:
        orders: list[RankJob | None] = [None]
        torch.distributed.broadcast_object_list(orders)
        if orders[0] is None:
            break
        orders[0].train_as(rank)
    part()


def _of_torchrun() -> Rank:
    rank = launched()
    if rank is None:
        message = "torchrun has not started this process"
        raise SpecError(message, hint="Leave it to `torchrun -m hardy run SPEC`.")
    return rank
