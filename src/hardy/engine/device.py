"""Where and how precisely the network runs: Lightning Fabric, one device."""

import os

from lightning_fabric import Fabric

from hardy.spec.experiment import Experiment

_MOST_WORKERS = 8


def make_fabric(experiment: Experiment) -> Fabric:
    """Return a Fabric on the device and at the precision that the experiment asks for."""
    return Fabric(accelerator=experiment.compute.device, devices=1, precision=experiment.precision)


def worker_count(experiment: Experiment) -> int:
    """Return how many processes prepare views: as stated, else one core is left to the network."""
    stated = experiment.compute.workers
    if stated is not None:
        return stated
    return max(1, min(_MOST_WORKERS, (os.cpu_count() or 1) - 1))
