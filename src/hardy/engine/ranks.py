"""Several devices that train one network together: a process a device, through Fabric's DDP.

This process is rank 0: it alone writes to the store, the terminal and the disk. The other ranks are
started beside it, or by torchrun, and do the same steps on their rows of each batch.
"""

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import ClusterEnvironment
from lightning_fabric.strategies import DDPStrategy
from rich.console import Console

from hardy.core.errors import MethodError, SpecError
from hardy.engine.checkpoint import Checkpoint, TrainState
from hardy.engine.device import mixed_precision
from hardy.engine.progress import Reporter
from hardy.plan.tracker import Scalar, Status
from hardy.spec.experiment import Experiment

_LAUNCHED = "TORCHELASTIC_RUN_ID"
# Between steps, and until all have started. Under torchrun, rank 0 may answer or plan for hours
# while the others wait for work.
_PATIENCE, _LONG_PATIENCE = timedelta(minutes=30), timedelta(days=7)


@dataclass(frozen=True)
class Rank:
    """One of several processes.

    Attributes:
        rank: Its number among all.
        ranks: How many there are.
        local: Its number on its machine: its device.
        address: Host and port of rank 0.
    """

    rank: int
    ranks: int
    local: int
    address: tuple[str, int]


def launched() -> Rank | None:
    """Return which rank torchrun has made this process; None where it has not."""
    if _LAUNCHED not in os.environ:
        return None
    rank, ranks, local = (int(os.environ[n]) for n in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    return Rank(rank, ranks, local, (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])))


def wanted(experiment: Experiment) -> int:
    """Return how many ranks an experiment asks for.

    Raises:
        SpecError: If it asks for others than torchrun has started, or for nodes without it.
    """
    stated = experiment.compute
    devices, nodes = stated.devices or 1, stated.nodes or 1
    here = launched()
    if here is None and nodes > 1:
        message = f"compute.nodes is {nodes}, but this process is alone"
        hint = f"On every node: torchrun --nnodes {nodes} --nproc-per-node {devices} "
        hint += "--rdzv-backend c10d --rdzv-endpoint HOST:PORT -m hardy run SPEC"
        raise SpecError(message, hint=hint)
    if here is not None and devices * nodes != here.ranks:
        message = f"torchrun has started {here.ranks} processes, but compute asks for"
        message += f" {devices * nodes}"
        hint = "Set compute.devices to the processes a node, and compute.nodes to the nodes."
        raise SpecError(message, hint=hint)
    return devices * nodes


def check_devices(experiment: Experiment) -> None:
    """Make sure that an experiment can be trained on as many devices as it asks for.

    Raises:
        SpecError: If torchrun has started others, or this machine has not as many.
    """
    wanted(experiment)
    _check_there(_kind(experiment), experiment.compute.devices or 1)


def _kind(experiment: Experiment) -> str:
    stated = experiment.compute.device
    return ("cuda" if torch.cuda.is_available() else "cpu") if stated == "auto" else stated


def _check_there(kind: str, count: int) -> None:
    if kind == "cuda" and torch.cuda.device_count() < count:
        message = f"compute.devices asks for {count} {kind} devices, and this machine has "
        message += str(torch.cuda.device_count())
        raise SpecError(message, hint="Lower compute.devices.")


def free_address() -> tuple[str, int]:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1", int(probe.getsockname()[1])


def meet(rank: Rank) -> None:
    """Meet the other ranks; returns when all are there."""
    torch.distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        init_method="env://" if launched() else "tcp://{}:{}".format(*rank.address),
        rank=rank.rank,
        world_size=rank.ranks,
        timeout=_LONG_PATIENCE if launched() else _PATIENCE,
    )


@contextmanager
def others_lost() -> Iterator[None]:
    """Say plainly that another rank is gone, where torch says that a connection is.

    Raises:
        MethodError: In place of torch's error.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.distributed.DistError) and "peer" not in str(error):
            raise
        message = "another process of this training has ended"
        raise MethodError(message, hint="See what it has said.") from error


def part() -> None:
    """Leave the other ranks."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def ranked_fabric(experiment: Experiment, rank: Rank) -> Fabric:
    """Return a Fabric that works together with the other ranks, once they have met.

    Raises:
        SpecError: If the machine has not as many devices.
    """
    kind = _kind(experiment)
    _check_there(kind, rank.local + 1)
    if kind == "cuda":
        torch.cuda.set_device(rank.local)
    names = [f"{kind}:{n}" if kind == "cuda" else kind for n in range(rank.local + 1)]
    strategy = DDPStrategy(
        parallel_devices=[torch.device(name) for name in names],
        cluster_environment=_Met(rank),
    )
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    mixed = mixed_precision(experiment.precision, kind)
    fabric = Fabric(accelerator=kind, devices=len(names), strategy=strategy, plugins=mixed)
    fabric.launch()
    return fabric


class _Met(ClusterEnvironment):  # type: ignore[misc]  # Fabric is untyped here
    """Tells Fabric of ranks that have met already."""

    def __init__(self, rank: Rank) -> None:
        self._rank = rank

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return self._rank.address[0]

    @property
    def main_port(self) -> int:
        return self._rank.address[1]

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._rank.ranks

    def set_world_size(self, size: int) -> None:
        """Nothing: it is known."""

    def global_rank(self) -> int:
        return self._rank.rank

    def set_global_rank(self, rank: int) -> None:
        """Nothing: it is known."""

    def local_rank(self) -> int:
        return self._rank.local

    def node_rank(self) -> int:
        return 0 if self._rank.rank == self._rank.local else 1


class NoCheckpoint(Checkpoint):
    """Where a training stands, as rank 0 has read it: the other ranks read and write no file."""

    def __init__(self) -> None:
        """Nothing: there is no file."""

    def load(self) -> TrainState:
        """Return the beginning; rank 0 tells where it really stands."""
        return TrainState()

    def save(self, state: TrainState) -> None:
        """Nothing: rank 0 does."""

    def save_best(self, epoch: int, learner: Mapping[str, torch.Tensor]) -> None:
        """Nothing: rank 0 does."""

    def best(self, epoch: int) -> dict[str, torch.Tensor]:
        """Return nothing: rank 0 has them."""
        return {}

    def discard(self) -> None:
        """Nothing: rank 0 does."""


class NoRun:
    """A run that keeps nothing: rank 0 writes the one that there is."""

    run_id = ""

    def params(self, values: Mapping[str, Scalar]) -> None:
        """Nothing."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Nothing."""

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Nothing."""

    def last_step(self, metric: str) -> int:
        """None."""
        return 0

    def flush(self, *, wait: bool = True) -> bool:
        """Nothing."""
        return True

    def dataset(self, name: str, digest: str, source: Mapping[str, Any], context: str) -> None:
        """Nothing."""

    def text(self, content: str, path: str) -> None:
        """Nothing."""

    def artifact(self, file: Path, path: str) -> None:
        """Nothing."""

    def note(self, markdown: str) -> None:
        """Nothing."""

    def end(self, status: Status, reason: str = "") -> None:
        """Nothing."""


def silent() -> Reporter:
    """Return a reporter that says nothing."""
    return Reporter(Console(quiet=True))
