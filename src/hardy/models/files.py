"""Files of tensors: what identifies them, and how they are opened without running a pickle's code.

What needs torch imports it late: a plan asks for identities alone.
"""

import pickle
import struct
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from hardy.core.errors import WeightsError
from hardy.core.hashing import file_sha256
from hardy.core.variables import stated_path

# What the readers raise on a file that is no pickle, a shortened one, or one with code in it.
_DAMAGE = (
    pickle.UnpicklingError,
    struct.error,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


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
        path: A file that exists.
        convert: What to do where it holds code, for the hint.

    Raises:
        WeightsError: If it is damaged or holds code.
    """
    import safetensors
    import torch
    from safetensors.torch import load_file

    if _is_torchscript(path):
        message = f"{path} is a TorchScript archive, as OpenAI published CLIP: code with tensors"
        raise WeightsError(
            message,
            hint="Where you trust it, convert it once: torch.save(torch.jit.load(FILE, "
            "map_location='cpu').state_dict(), NEW_FILE); then give file:NEW_FILE.",
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (*_DAMAGE, safetensors.SafetensorError) as error:
        reason = (str(error).strip().splitlines() or ["it is empty"])[0]
        message = f"{path} is not a plain table of tensors: {reason}"
        hint = f"hardy never runs a pickle's code. {convert}"
        if path.suffix == ".safetensors":
            hint = "The file is damaged or cut short: fetch it, or write it, once more."
        raise WeightsError(message, hint=hint) from error


def _is_torchscript(path: Path) -> bool:
    """Tell by the table of constants that `torch.jit.save` alone writes."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
