"""Measures one model in a process of its own: an experiment's JSON in, its costs out.

Weights are random and nothing is downloaded: no value of a weight changes what a pass costs.
"""

import json
import resource
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from hardy.core.errors import SpecError
from hardy.engine.device import make_fabric
from hardy.models.build import build_network, ready
from hardy.models.model import Model, takes_size
from hardy.models.state import bare
from hardy.spec.experiment import Experiment

Shape = list[int]

# Batches: what a larger one adds to the peak is the images', the rest the model's.
_ONE, _SMALL, _LARGE = 1, 3, 8
# The classes of an image-text model: they are read once, and a pass of images hardly sees them.
_TEXTS = ("one", "two")
_REPEATS, _ENOUGH_SECONDS = 5, 1.0


def probe(experiment: Experiment) -> dict[str, Any]:
    """Return the fields of `hardy.plan.measured.ModelCost`, but for the machine's name."""
    fabric = make_fabric(experiment)
    model, dense = experiment.model, experiment.task.dense
    outputs = (model.stated_outputs if dense else None) or len(_TEXTS)
    network, preprocess = build_network(model, texts=_TEXTS, outputs=outputs, download=False)
    ready(Model(network, preprocess), fabric.device)
    network.to(memory_format=torch.channels_last)  # as `set_up` lays it out
    shape = 3, preprocess.height, preprocess.width

    def images(count: int) -> Tensor:
        return torch.zeros(count, *shape, device=fabric.device)

    def backward(count: int) -> None:
        with fabric.autocast():
            logits = network(images(count))
        torch.autograd.backward(logits.float().logsumexp(dim=-1).mean())

    def forward(count: int) -> None:
        with torch.no_grad(), fabric.autocast():
            network(images(count))

    # A process's peak never falls, so passes come in the order of what they hold.
    with takes_size(model):
        forward(_ONE)
    one, few = (_peak(network, partial(forward, n), fabric.device) for n in (_ONE, _SMALL))
    peaks = [_peak(network, partial(backward, n), fabric.device) for n in (_SMALL, _LARGE)]
    slope = max(0, peaks[1] - peaks[0]) // (_LARGE - _SMALL)
    flops = count_flops(partial(forward, 1)), count_flops(partial(backward, 1))
    one_way = _seconds(partial(forward, _LARGE), fabric.device) / _LARGE
    both_ways = _seconds(partial(backward, _LARGE), fabric.device) / _LARGE
    return {
        "size": preprocess.side,
        "forward_flops": flops[0],
        "backward_flops": flops[1] - flops[0],
        "forward_seconds": one_way,
        "backward_seconds": max(0.0, both_ways - one_way),
        "base_bytes": max(0, peaks[0] - _SMALL * slope),
        "image_bytes": slope,
        "forward_bytes": max(0, few - one) // (_SMALL - _ONE),
        "tensors": {name: list(t.shape) for name, t in bare(network).state_dict().items()},
        "weights_bytes": sum(t.numel() * t.element_size() for t in network.state_dict().values()),
    }


def count_flops(passes: Callable[[], object]) -> int:
    """Return the floating-point operations of a call, as torch's counter counts them."""
    formulas = {torch.ops.aten.convolution_backward: _convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        passes()
    return int(counter.get_total_flops())


def _convolution_backward(
    gradient: Shape,
    images: Shape,
    kernel: Shape,
    *settings: Any,  # noqa: ANN401 - whatever the operator was called with
    **_: object,
) -> int:
    """Count the backward pass of a convolution: as much as forward, for each gradient wanted.

    torch's own formula takes the kernel's gradient for that of a convolution of one group, which
    makes a depthwise convolution dearer by its number of channels.
    """
    transposed, wanted = settings[4], settings[7]
    forward = conv_flop_count(images, kernel, gradient, transposed=transposed)
    return int(forward * sum(wanted[:2]))


def _peak(network: nn.Module, passes: Callable[[], None], device: torch.device) -> int:
    """Return the peak memory so far, in bytes: the card's, or that of this whole process."""
    network.zero_grad()
    passes()
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return _resident_peak()


def _resident_peak() -> int:
    """Return the most memory that this process has held, in bytes.

    Linux counts what the parent held when it started this process into `getrusage`, but not into
    the file.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def _seconds(passes: Callable[[], None], device: torch.device) -> float:
    """Return the median seconds of a call, after one that is not counted."""
    passes()
    times: list[float] = []
    while len(times) < _REPEATS and sum(times) < _ENOUGH_SECONDS:
        start = perf_counter()
        passes()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(perf_counter() - start)
    return statistics.median(times)


def answer(asked: str) -> dict[str, Any]:
    """Return what `probe` says of an experiment's JSON, or why a run would refuse the model."""
    experiment = Experiment.model_validate_json(asked)
    try:
        return probe(experiment)
    except SpecError as error:
        return {"refused": error.message, "hint": error.hint}


if __name__ == "__main__":
    print(json.dumps(answer(sys.stdin.read())))
