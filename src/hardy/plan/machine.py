"""What this machine is called, found without torch: measured speeds hold for one machine alone."""

import importlib.util
import os
import platform
import re
import sys
from functools import cache
from pathlib import Path

_GPUS = Path("/proc/driver/nvidia/gpus")
_DEVICES = Path("/dev")
# NVIDIA's own; AMD's, which torch calls cuda too; Windows' below Linux.
_CUDA = ("nvidia*", "kfd", "dxg")


@cache
def machine(device: str) -> str:
    """Return the name of what `compute.device` means here, such as `AMD EPYC 7B13, 2 threads`.

    Args:
        device: `auto`, `cpu`, `cuda` or `mps`; `auto` is an NVIDIA card where there is one.
    """
    card = _card() if device in ("auto", "cuda") else ""
    return card or f"{_processor()}, {_threads()} threads"


def lacks(device: str) -> bool:
    """Return whether this machine certainly has not what `compute.device` states."""
    if device == "mps":
        return sys.platform != "darwin"
    if device != "cuda":
        return False
    if not _torch_has_cuda():
        return True
    if not sys.platform.startswith("linux"):
        return False
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") == ""
    return hidden or not any(any(_DEVICES.glob(each)) for each in _CUDA)


def most_devices(device: str) -> int | None:
    """Return how many devices a training may have here at most; None where nothing tells.

    Processes share a CPU, as many as one likes.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = len([each for each in _DEVICES.glob("nvidia[0-9]*") if each.name[6:].isdecimal()])
    if device not in ("auto", "cuda") or not cards:
        return None
    return cards if visible is None else min(cards, len(visible.split(","))) if visible else None


def device_type(device: str) -> str:
    """Return the type of what `compute.device` means here, such as `cpu`."""
    if device != "auto":
        return device
    return "cuda" if _card() else "cpu"


def _card() -> str:
    """Return the first NVIDIA card's name, from the driver's own listing; empty without one."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "" or not _torch_has_cuda():
        return ""
    for file in sorted(_GPUS.glob("*/information")) if _GPUS.is_dir() else ():
        found = re.search(r"^Model:\s*(.+)$", file.read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return "NVIDIA card" if Path("/dev/nvidia0").exists() else ""


@cache
def _torch_has_cuda() -> bool:
    """Return whether torch was built for CUDA or AMD's ROCm, by its record and not by loading it.

    A torch for the CPU alone finds no card, whatever the machine has.
    """
    found = importlib.util.find_spec("torch")
    record = Path(found.origin).with_name("version.py") if found and found.origin else None
    if record is None or not record.is_file():
        return True  # nobody can tell
    text = record.read_text(encoding="utf-8")
    return re.search(r"^(cuda|hip)\b[^=\n]*= *'", text, re.MULTILINE) is not None


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    text = listing.read_text() if listing.is_file() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def _threads() -> int:
    stated = os.environ.get("OMP_NUM_THREADS", "")
    if stated.isdecimal() and int(stated) > 0:
        return int(stated)
    available = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    return len(available) or os.cpu_count() or 1
