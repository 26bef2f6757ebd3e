"""Where and how precisely the network runs, and on how many cores."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision

from hardy.core.errors import SpecError
from hardy.spec.experiment import Experiment

_MOST_WORKERS = 8
_SMALL = 64
_OWN_THREADS = torch.get_num_threads()


def make_fabric(experiment: Experiment) -> Fabric:
    """Return a Fabric on the device and at the precision that the experiment asks for.

    Raises:
        SpecError: If the machine has no such device, or the device not that precision.
    """
    device, precision = experiment.compute.device, experiment.precision
    try:
        kind = Fabric(accelerator=device, devices=1).device.type
    except (RuntimeError, ValueError) as error:
        message = f"compute.device is {device}, which torch does not find on this machine"
        raise SpecError(message, hint="Take what there is: --set compute.device=auto") from error
    if precision == "16-mixed" and kind != "cuda":
        message = f"precision 16-mixed needs a CUDA device, and the network would run on the {kind}"
        raise SpecError(message, hint="Take the other half precision: --set precision=bf16-mixed")
    return Fabric(accelerator=device, devices=1, plugins=mixed_precision(precision, kind))


def mixed_precision(precision: str, device: str) -> list[MixedPrecision]:
    """Return Fabric's plugin for a precision on a type of device; none for 32-true."""
    return [] if precision == "32-true" else [_Mixed(precision, device)]


class _Mixed(MixedPrecision):  # type: ignore[misc]  # Fabric is untyped here
    """Mixed precision inside the network alone.

    Fabric would also round whatever a module is given: levels of 0 to 255 to 8 bits, labels and
    targets of images with them.
    """

    def convert_input(self, data: Any) -> Any:  # noqa: ANN401 - whatever a module is given
        """Leave it as it is; autocast casts where an operation wants it."""
        return data


@dataclass(frozen=True)
class Cores:
    """How a unit's work is spread.

    Attributes:
        processes: Processes that run the network, each on samples of its own.
        threads: Threads of one operation in each; 0 leaves torch's own choice.
        workers: Threads that prepare views in each of them; 0 prepares each when it is asked for.
    """

    processes: int
    threads: int
    workers: int


def spread(experiment: Experiment, size: int, device: str) -> Cores:
    """Say how a unit's work is spread over the cores.

    Operations on small images are too short to be worth dividing: there, each core runs samples of
    its own with one thread. On larger images threads share an operation, and one core prepares
    views. The number of threads does not depend on the number of processes, so neither do the
    numbers. A GPU is fed by one process, and a method that carries state from sample to sample
    has one.

    Args:
        experiment: What it states wins.
        size: Longer side of the network's input, in pixels.
        device: Type of the device, such as `cpu`.
    """
    cores = os.cpu_count() or 1
    stated = experiment.compute
    small = size <= _SMALL and device == "cpu"
    processes = stated.processes or (cores if small and experiment.method.episodic else 1)
    workers = 0 if small else max(1, min(_MOST_WORKERS, cores - 1))
    return Cores(
        processes=processes if device == "cpu" else 1,
        threads=stated.threads or (1 if small else 0),
        workers=workers if stated.workers is None else stated.workers,
    )


def beside_others(experiment: Experiment, size: int, device: str) -> Experiment:
    """Return an experiment as it runs where others run beside it: one process of one thread.

    So it is with however many others, so that their number changes no bit. What the spec states
    stays.

    Args:
        experiment: The resolved spec.
        size: Longer side of the network's input, in pixels.
        device: Type of the device.
    """
    stated = experiment.compute
    small = size <= _SMALL and device == "cpu"
    own = {"threads": 1, "processes": 1, "workers": 0 if small else 1}
    left = {name: value for name, value in own.items() if getattr(stated, name) is None}
    return experiment.model_copy(update={"compute": stated.model_copy(update=left)})


def use_threads(cores: Cores) -> bool:
    """Give torch's operations as many threads as a unit has; return whether it had others."""
    before = torch.get_num_threads()
    torch.set_num_threads(cores.threads or _OWN_THREADS)
    return torch.get_num_threads() != before


@contextmanager
def threads_as_before() -> Iterator[None]:
    """Give torch back, at the end, the number of threads that it has now."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def all_threads(stated: int | None) -> Iterator[None]:
    """Give torch's operations all cores while the context lasts; several ranks share them.

    Args:
        stated: Threads in their place.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(stated or max(1, _OWN_THREADS // _ranks_here()))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _ranks_here() -> int:
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
