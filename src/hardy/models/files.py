"""Files of tensors: what identifies them, and how they are opened without running a pickle's code.

What needs torch imports it late: a plan asks for identities alone.
"""

import json
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hardy.core.errors import WeightsError
from hardy.core.hashing import file_sha256
from hardy.core.variables import stated_path

if TYPE_CHECKING:
    from torch import Tensor

# What the readers raise on a shortened file, or on a pickle that torch did not write.
_DAMAGE = (
    struct.error,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    UnicodeError,
    ValueError,
)
_AGAIN = "Fetch it, or write it, once more."
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_CLASS = re.compile(r"GLOBAL ([\w.]+)")


def content_identity(text: str) -> str:
    """Return `sha256:...` of the file at a spec's path; the text itself where there is none."""
    path = stated_path(text)
    if not path.is_file():
        return text
    state = path.stat()
    return f"sha256:{_sha256(path, state.st_mtime_ns, state.st_size)}"


@lru_cache(maxsize=8)
def _sha256(path: Path, changed: int, size: int) -> str:
    return file_sha256(path)


def open_tensors(path: Path, *, convert: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return what a safetensors file, or one that torch opens with weights_only, holds.

    Args:
        path: A file that exists; its bytes tell which of the two it is, not its name.
        convert: What to do where it holds code, for the hint.

    Raises:
        WeightsError: If it is empty, cut short, something else or holds code.
    """
    import safetensors
    import torch
    from safetensors.torch import load_file

    check_kind(path)
    try:
        if _is_safetensors(_head(path)):
            return load_file(path)
        # As a stream: torch would go by the file's name. Its warnings are of a pickle's version.
        with path.open("rb") as stream, warnings.catch_warnings(action="ignore"):
            return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Its own advice is to run the code.
        found = _CLASS.search(str(error))
        what = f"objects of {found[1]}" if found else "what torch.save does not write for tensors"
        message = f"{path} is not a plain table of tensors: it is a pickle with {what}"
        raise WeightsError(message, hint=f"hardy never runs a pickle's code. {convert}") from error
    except (*_DAMAGE, safetensors.SafetensorError) as error:
        message = f"{path} is damaged or cut short, at {path.stat().st_size} bytes"
        raise WeightsError(message, hint=_AGAIN) from error


def need_finite(tensors: "Mapping[str, Tensor]", file: str) -> None:
    """Raise if a tensor holds a number that is none, with which no answer would mean anything.

    Args:
        tensors: By name.
        file: Where they come from, for the message.

    Raises:
        WeightsError: If one does.
    """
    bad = [k for k, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]
    if bad:
        tensor, more = tensors[bad[0]], len(bad) - 1
        count = int((~tensor.isfinite()).sum())
        message = f"{file}: NaN or infinity in {count} of the {tensor.numel()} numbers of {bad[0]}"
        message += f" (and in {more} more of its {len(tensors)} tensors)" if more else ""
        hint = "The training that wrote it diverged, or the file is damaged: take an earlier one."
        raise WeightsError(message, hint=hint)


def check_kind(path: Path) -> None:
    """Raise if a file's length or first bytes tell that it is no whole file of tensors.

    It takes no torch, so that a plan says it; what else may be wrong, opening tells.

    Raises:
        WeightsError: If it is empty, cut short, something else or a TorchScript archive.
    """
    head, size = _head(path), path.stat().st_size
    if not head:
        message = f"{path} is empty"
        raise WeightsError(message, hint=_AGAIN)
    if head.startswith(b"version https://git-lfs"):
        message = f"{path} is a pointer of Git LFS, not the file itself"
        raise WeightsError(message, hint="Fetch the file: git lfs pull")
    if head.startswith(_ZIP):
        known = _is_torch_zip(path, size)
    elif _is_safetensors(head):
        known = True
        if size < (wanted := _stated_size(path, size)):
            message = f"{path} is cut short: it has {size} of {wanted} bytes"
            raise WeightsError(message, hint=_AGAIN)
    else:
        known = head.startswith(_PICKLE)
    if not known:
        message = f"{path} is no file of tensors: it begins with {head[:24]!r}"
        hint = "Give a .safetensors file, or one that torch.save wrote of a state_dict()."
        raise WeightsError(message, hint=hint)


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(64)


def _is_safetensors(head: bytes) -> bool:
    """Tell by the table that begins after its own length, 8 bytes."""
    return head[8:9] == b"{"


def _stated_size(path: Path, size: int) -> int:
    """Return how long a safetensors file says that it is; 0 where its table cannot be read."""
    with path.open("rb") as stream:
        begin = 8 + int.from_bytes(stream.read(8), "little")
        if begin > size:
            return begin
        try:
            table = json.loads(stream.read(begin - 8))
            ends = [e["data_offsets"][1] for name, e in table.items() if name != "__metadata__"]
        except (ValueError, LookupError, TypeError):
            return 0
    return begin + max(ends, default=0)


def _is_torch_zip(path: Path, size: int) -> bool:
    """Tell by the table that `torch.save` writes, at the archive's end.

    Raises:
        WeightsError: If the end is missing, or if `torch.jit.save` wrote it, by its constants.
    """
    if not zipfile.is_zipfile(path):
        message = f"{path} is cut short, at {size} bytes"
        raise WeightsError(message, hint=_AGAIN)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in names):
        message = f"{path} is a TorchScript archive, as OpenAI published CLIP: code with tensors"
        hint = (
            "Where you trust it, convert it once: torch.save(torch.jit.load(FILE, "
            "map_location='cpu').state_dict(), NEW_FILE); then give file:NEW_FILE."
        )
        raise WeightsError(message, hint=hint)
    return any(name.endswith("/data.pkl") for name in names)
