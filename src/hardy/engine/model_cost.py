"""What a model costs on this machine: recalled, or measured once in a process of its own.

The process keeps torch out of `hardy plan`, and its peak memory is the model's alone.
"""

import json
import subprocess
import sys

from hardy.core.errors import MethodError, SpecError
from hardy.plan.machine import lacks, machine
from hardy.plan.measured import ModelCost, recall, remember
from hardy.spec.experiment import Experiment

_SECONDS = 600


def model_cost(experiment: Experiment) -> ModelCost:
    """Return what an experiment's model costs here, measured now if it never was.

    Raises:
        SpecError: If it can neither be built nor asked as the spec states it.
        MethodError: If it cannot be measured.
    """
    known = recall(experiment)
    if known is None:
        device = experiment.compute.device
        if lacks(device):
            message = f"{experiment.model.name} could not be measured: there is no {device} here"
            raise MethodError(message)
        known = _measured(experiment)
        remember(experiment, known)
    return known


def _measured(experiment: Experiment) -> ModelCost:
    command = [sys.executable, "-m", "hardy.engine.cost_process"]
    asked = experiment.model_dump_json(by_alias=True)
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, a fixed module
            command, input=asked, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        message = f"measuring {experiment.model.name} took more than {_SECONDS} s"
        raise MethodError(message) from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        message = f"{experiment.model.name} could not be measured: {reason}"
        raise MethodError(message)
    answer = json.loads(done.stdout.splitlines()[-1])
    if "refused" in answer:
        raise SpecError(answer["refused"], hint=answer["hint"])
    return ModelCost(machine=machine(experiment.compute.device), **answer)
