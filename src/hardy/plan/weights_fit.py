"""Whether weights fit a network, told by names and shapes: nothing is built and no tensor is read.

A network's names are known where it was measured on this machine, a file's by its header, and those
of an experiment that is still to run by its own network. Where one is unknown, the run tells.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hardy.core.errors import WeightsError
from hardy.models.weights import taken
from hardy.plan.measured import recall
from hardy.plan.units import OWN_WEIGHTS

if TYPE_CHECKING:
    from hardy.plan.units import PlannedUnit

Shapes = Mapping[str, Sequence[int]]

_LONGEST_HEADER = 100_000_000
# A head follows the file that is loaded, and has a few tensors: others are another network's.
_OF_A_HEAD = 8
# Of the network's tensors, below which a part is hardly meant.
_SMALL_PART = 0.5


def shapes_in(file: Path) -> Shapes | None:
    """Return the shapes of a safetensors file's tensors by name; None where it is none."""
    with file.open("rb") as opened:
        start = opened.read(8)
        size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        header = opened.read(size) if size < _LONGEST_HEADER else b""
    try:
        tensors = json.loads(header).items()
        return {name: each["shape"] for name, each in tensors if "shape" in each}
    except (ValueError, TypeError, AttributeError):
        return None  # the reader says what is wrong with it


def fault(planned: PlannedUnit) -> str:
    """Say why a unit's own weights do not fit its network; empty where they do, or may."""
    return _judged(planned)[0]


def remark(planned: PlannedUnit) -> str:
    """Say that a part of weights is nearly nothing of the network; empty where it is more."""
    return _judged(planned)[1]


def _judged(planned: PlannedUnit) -> tuple[str, str]:
    model = planned.unit.experiment.model
    offered = None if model.compares_texts else _offered(planned)
    known = recall(planned.unit.experiment) if offered else None
    if not offered or known is None or not known.tensors:
        return "", ""
    try:
        given = taken(offered, model.weights, str(model.weights.source))
    except WeightsError as error:
        return f"{error.message}. {error.hint}", ""
    own = known.tensors
    fitting = [name for name, shape in own.items() if list(given.get(name, ())) == list(shape)]
    said = f"{len(fitting)} of the {len(own)} tensors of {model.name} are in {model.weights.source}"
    if model.weights.partial:
        if not fitting:
            return f"{said}: check take, into and names in model.weights", ""
        return "", f"{said}, the others begin anew" if len(fitting) < _SMALL_PART * len(own) else ""
    off = [n for n in own if n not in fitting and not n.endswith("_tracked")]
    off += [name for name in given if name not in own]
    if len(off) <= _OF_A_HEAD:
        return "", ""
    return f"{said}, which does not fit, such as {off[0]}: check model.kind and model.name", ""


def _offered(planned: PlannedUnit) -> Shapes | None:
    """Return the shapes of what the weights come from; None where they are not known."""
    source = planned.needs.get(OWN_WEIGHTS)
    if source is not None:
        if planned.unit.experiment.model.weights.beside_network:
            return None
        known = recall(source.unit.experiment)
        return known.tensors if known is not None else None
    located = planned.located[OWN_WEIGHTS]
    if located.path is None or located.in_order or located.path.suffix != ".safetensors":
        return None
    found = shapes_in(located.path)
    return found and {name.removeprefix("module."): shape for name, shape in found.items()}
