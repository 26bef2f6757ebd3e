"""Contexts that CoOp and CoCoOp trained, from their published files.

A file is Dassl's: `{"state_dict": {"ctx", "token_prefix", "token_suffix", "meta_net...."}, ...}`,
or a safetensors with the same names. The tokens around the context are those of the classes that
it was trained on; they are left out, as the published code does.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from hardy.core.errors import WeightsError
from hardy.core.variables import stated_path
from hardy.models.files import need_finite, open_tensors

_META = tuple(f"meta_net.linear{n}.{part}" for n in (1, 2) for part in ("weight", "bias"))
_CONVERT = (
    "If you trust who made it, convert it where CoOp runs: "
    '`safetensors.torch.save_file(torch.load(FILE)["state_dict"], "NAME.safetensors")`.'
)


def read_checkpoint(text: str, width: int, classes: int, *, meta: bool) -> dict[str, Tensor]:
    """Return a checkpoint's `ctx` and, if asked for, its network's tensors, in float32.

    Args:
        text: Path as the spec has it, variables included; relative to the project.
        width: W of the text encoder's tokens.
        classes: How many contexts there must be where there is one a class.
        meta: Whether the file must hold CoCoOp's network.

    Returns:
        `ctx`, (n, W) or (C, n, W); `meta_net.linear1.weight`, (H, D), and three more by CoCoOp.

    Raises:
        WeightsError: If the file is absent, holds code or NaN, or is laid out otherwise.
    """
    path = stated_path(text)
    if not path.is_file():
        message = f"method.context.checkpoint: {text} does not exist (looked for {path})"
        raise WeightsError(message, hint="Give the path of CoOp's .pth.tar or a .safetensors file.")
    table = _open(path)
    wanted = ("ctx", *(_META if meta else ()))
    missing = [name for name in wanted if not torch.is_tensor(table.get(name))]
    if missing:
        found = ", ".join(sorted(map(str, table))[:5]) or "nothing"
        message = f"{path} has no tensor {missing[0]}; it holds {found}"
        raise WeightsError(message, hint="Give the file of the prompt learner that CoOp saves.")
    held = {name: cast("Tensor", table[name]).float() for name in wanted}
    need_finite(held, str(path))
    _check_shape(path, tuple(held["ctx"].shape), width, None if meta else classes)
    return held


def _open(path: Path) -> Mapping[Any, Any]:
    content = open_tensors(path, convert=_CONVERT)
    table = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(table, dict):
        message = f"{path} holds {type(table).__name__}, not a table of tensors"
        raise WeightsError(message, hint=_CONVERT)
    return table


def _check_shape(path: Path, shape: tuple[int, ...], width: int, classes: int | None) -> None:
    """Raise a WeightsError unless a context is (n, W), or (C, n, W) where there are C classes."""
    dimensions = (2,) if classes is None else (2, 3)
    if len(shape) not in dimensions or shape[-1] != width:
        message = f"{path}: ctx is {shape}, the model's tokens need (n, {width})"
        raise WeightsError(message, hint="Choose the model that the context was trained with.")
    if len(shape) == 3 and shape[0] != classes:
        message = f"{path}: ctx is {shape}, one context a class, and there are {classes} classes"
        raise WeightsError(message, hint="A context for all classes, (n, W), fits any dataset.")
