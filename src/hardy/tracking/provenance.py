"""What made a run: the code, the packages, the machine, the person."""

import getpass
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil

from hardy._version import __version__
from hardy.core.hashing import digest_bytes
from hardy.core.paths import project_root

_PACKAGES = (
    "lightning-fabric",
    "mlflow",
    "numpy",
    "open_clip_torch",
    "optuna",
    "pillow",
    "safetensors",
    "scikit-learn",
    "scipy",
    "timm",
    "torch",
    "torchmetrics",
    "torchvision",
)
_GIT_SECONDS = 20


def source_tags() -> dict[str, str]:
    """Return the tags that say which hardy made a run, who started it and how."""
    return {
        "hardy.version": __version__,
        "mlflow.user": _user(),
        "mlflow.source.name": Path(sys.argv[0]).name or "python",
        "mlflow.source.type": "LOCAL",
        **git_tags(project_root()),
    }


@lru_cache(maxsize=8)
def git_tags(folder: Path) -> dict[str, str]:
    """Return the commit that a folder is at and, if files differ from it, a digest of how.

    Empty outside a git repository, without git, or before the first commit. Asked once a
    process: the code in memory is that of the start.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    tags = {"mlflow.source.git.commit": commit.decode().strip()}
    difference = _git(folder, "diff", "--no-ext-diff", "--no-textconv", "HEAD")
    return {**tags, "hardy.git_dirty": digest_bytes([difference])} if difference else tags


def _git(folder: Path, *arguments: str) -> bytes:
    git = shutil.which("git")
    if git is None:
        return b""
    command = [git, "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_GIT_SECONDS, check=False)  # noqa: S603 - fixed words
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout if done.returncode == 0 else b""


def environment() -> dict[str, Any]:
    """Return the versions and the hardware under a run, as a JSON value."""
    return {
        "hardy": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "hardware": {
            "cpu": _cpu_model(),
            "cores": psutil.cpu_count(logical=False),
            "threads": psutil.cpu_count(),
            "memory_bytes": psutil.virtual_memory().total,
            "gpus": _gpus(),
        },
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    """Return the processor's name; `platform` knows only its architecture on Linux."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(errors="replace").splitlines() if listing.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _gpus() -> list[str]:
    """Name the GPUs, if torch is loaded already: loading it takes seconds."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return str(os.getuid())
