"""The tensors of a network or of anything that a run fitted: copies, digests, and a run's files.

`network.*` lies in `weights/weights.safetensors` without that beginning, as a weights file of a
network alone; all else that a method fitted lies beside it, and a manifest tells what belongs to
the run and that nothing was exchanged. Torch is imported late: a plan asks for names alone.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hardy.core.errors import WeightsError
from hardy.core.files import write_whole
from hardy.core.hashing import file_sha256

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS = "weights/weights.safetensors"
"""Where the run of a method that yields weights leaves its network's tensors."""

FITTED = "weights/fitted.safetensors"
"""Where a run leaves all else that its method fitted, under the names that the method gave."""

MANIFEST = "weights/manifest.json"
"""Where a run says which of these files it has; written last, so what it has is whole."""

NETWORK = "network."
"""What the names of a network's own tensors begin with among all that was fitted."""


def bare(network: "nn.Module") -> "nn.Module":
    """Return the module whose tensors a weights file holds: what is inside a wrapper, or all."""
    return cast("nn.Module", getattr(network, "bare", network))


def copied(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Return copies on the CPU that share no memory, which safetensors would refuse."""
    return {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}


def state_sha256(network: "nn.Module") -> str:
    """Return a SHA-256 over names, types, shapes and bytes of all tensors of a weights file."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(bare(network).state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def write_fitted(folder: Path, tensors: "Mapping[str, Tensor]") -> dict[str, Path]:
    """Write what a method fitted as the files of a run.

    Args:
        folder: Where the files go, below it under the paths that they have in the run.
        tensors: By name; `network.*` are the network's own.

    Returns:
        The files by their paths in the run, in the order in which they are to be logged: the
        manifest comes last. A file that would be empty is absent.
    """
    from safetensors.torch import save

    network = {n.removeprefix(NETWORK): t for n, t in tensors.items() if n.startswith(NETWORK)}
    rest = {name: t for name, t in tensors.items() if not name.startswith(NETWORK)}
    files = {}
    for path, part in ((WEIGHTS, network), (FITTED, rest)):
        if part:
            files[path] = folder / path
            write_whole(files[path], save(copied(part)))
    manifest = {path: file_sha256(file) for path, file in files.items()}
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
    return {**files, MANIFEST: folder / MANIFEST}


def manifest_of(file: Path) -> dict[str, str]:
    """Return the SHA-256 of each of a run's files of fitted tensors, by their paths in the run.

    Raises:
        WeightsError: If the manifest is damaged.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or set(content) - {WEIGHTS, FITTED}:
            raise ValueError(content)
    except ValueError as error:
        message = f"{file.name} of what the run fitted is damaged"
        raise WeightsError(message, hint="Run the experiment anew with --again.") from error
    return {path: str(digest) for path, digest in content.items()}


def read_fitted(files: Iterable[Path]) -> "dict[str, Tensor]":
    """Return all that `write_fitted` was given, under the same names.

    Args:
        files: The manifest and the files that it names, in any order.

    Raises:
        WeightsError: If a file is absent, or is not the one that was written.
    """
    from safetensors.torch import load

    by_name = {file.name: file for file in files}
    manifest = by_name.get(Path(MANIFEST).name)
    if manifest is None:
        message = f"the run has no {MANIFEST}: it did not get as far as fitting"
        raise WeightsError(message, hint="Go on with the run first: hardy resume.")
    found: dict[str, Tensor] = {}
    for path, sha256 in manifest_of(manifest).items():
        file = by_name.get(Path(path).name)
        content = file.read_bytes() if file is not None and file.is_file() else b""
        if hashlib.sha256(content).hexdigest() != sha256:
            message = f"{path} of the run is not what its manifest says (SHA-256 {sha256})"
            raise WeightsError(message, hint="Run the experiment anew with --again.")
        beginning = NETWORK if path == WEIGHTS else ""
        found |= {f"{beginning}{name}": tensor for name, tensor in load(content).items()}
    return found
