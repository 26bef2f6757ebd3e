"""A device that is not there: what would break on a GPU breaks here, with real numbers.

Tensors that were moved to `DEVICE` are computed on the CPU, but say that they lie elsewhere and
refuse to meet tensors of the CPU, or to be read by numpy, as a GPU's do. `meta` is the device's
type, since torch asks for no driver of it.

What it does not show: half precision, operations that a GPU lacks, and numbers that differ there.
With `HARDY_TEST_DEVICE=cuda` the same tests run on a device that is there.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch._dynamo  # torch loads it on first use, which fails while it is watched
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("meta")

# Copies from device to device; reading one number; an alias takes nothing but itself.
_MAY_CROSS = ("_to_copy", "copy_", "_local_scalar_dense", "set_", "detach", "alias")
# A GPU's tensor may be indexed by places on the CPU.
_MAY_INDEX = ("index.", "index_put")


class Away(Tensor):
    """A tensor that says it lies on `DEVICE`; `held` has its values, on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "Away":
        made: Away = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
            requires_grad=False,
        )
        made.held = held
        return made

    def __init__(self, held: Tensor) -> None:
        del held  # `__new__` has taken it

    def __repr__(self, **_: object) -> str:
        return f"Away({self.held!r})"

    def tolist(self) -> Any:
        return self.held.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if force:
            return self.held.detach().numpy()
        message = "can't convert a tensor of another device to numpy: copy it to the CPU first"
        raise TypeError(message)

    def __array__(self, *_: object) -> Any:
        return self.numpy()

    @classmethod
    def __torch_dispatch__(
        cls,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return _dispatched(func, tuple(args), dict(kwargs or {}))


class _Watch(TorchDispatchMode):
    """Sees the operations that make tensors out of nothing, which a tensor itself does not."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return _dispatched(func, tuple(args), dict(kwargs or {}))


class _WrittenOut(TorchFunctionMode):
    """Writes out what torch composes of steps that a tensor standing for another cannot follow.

    A vector times a matrix changes its result's shape in place; attention picks a kernel by device;
    a list of places becomes a tensor of the device below all that can be seen here.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in (torch.matmul, Tensor.matmul, Tensor.__matmul__) and args[0].dim() == 1:
            return torch.mm(args[0].unsqueeze(0), args[1]).squeeze(0)
        if func is Tensor.__getitem__:
            return func(args[0], _places(args[1]))
        if func is functional.scaled_dot_product_attention:
            return _attention(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _places(index: Any) -> Any:
    """Return an index with its lists as tensors on the CPU."""
    if isinstance(index, tuple):
        return tuple(map(_places, index))
    return torch.tensor(index) if isinstance(index, list) else index


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return softmax(q kᵀ / √d + mask) v, as torch's documentation has it."""
    assert dropout_p == 0
    assert not enable_gqa
    scores = query @ key.transpose(-2, -1) * (scale or query.shape[-1] ** -0.5)
    if is_causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
        scores = scores.masked_fill(~allowed, -torch.inf)
    elif attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(-1) @ value


@contextmanager
def another_device() -> Iterator[torch.device]:
    """Give a device that is not there, for as long as the context lasts; or the one asked for."""
    if asked := os.environ.get("HARDY_TEST_DEVICE"):
        yield torch.device(asked)
        return
    with pytest.MonkeyPatch.context() as patch, _WrittenOut(), _Watch():
        patch.setattr(torch, "tensor", _moved_after(torch.tensor))
        patch.setattr(torch, "as_tensor", _moved_after(torch.as_tensor))
        patch.setattr(torch, "autocast", _autocast_here(torch.autocast))
        patch.setattr(torch, "Generator", _generator_here(torch.Generator))
        yield DEVICE


def _dispatched(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Carry an operation out on the CPU, and put its result where it belongs."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    away = [tensor for tensor in tensors if isinstance(tensor, Away)]
    name = func.name().removeprefix("aten::")
    _refuse_to_meet(name, tensors, away)
    wanted = kwargs.get("device")
    lands = bool(away) if wanted is None else torch.device(wanted).type == DEVICE.type
    if wanted is not None and lands:
        kwargs["device"] = torch.device("cpu")
        kwargs.pop("pin_memory", None)
    plain = tree_map_only(Away, lambda tensor: tensor.held, (args, kwargs))
    out = func(*plain[0], **plain[1])
    if name.startswith("copy_"):
        return tensors[0]
    if name.startswith("_local_scalar_dense") or not lands:
        return out
    # In place: what comes back is the tensor that went in.
    known = {id(tensor.held): tensor for tensor in away}
    return tree_map_only(Tensor, lambda t: known[id(t)] if id(t) in known else Away(t), out)


def _refuse_to_meet(name: str, tensors: list[Tensor], away: list[Away]) -> None:
    # A number on the CPU meets a GPU's tensors in arithmetic, and is not put in a row with them.
    least = 0 if name.startswith(("stack", "cat")) else 1
    here = [t for t in tensors if not isinstance(t, Away) and t.dim() >= least]
    if away and here and not name.startswith(_MAY_CROSS + _MAY_INDEX):
        shapes = [tuple(tensor.shape) for tensor in here]
        message = f"{name}: tensors on another device met tensors on the CPU of shapes {shapes}"
        raise RuntimeError(message)


def _moved_after(make: Any) -> Any:
    """Wrap a maker that passes below the dispatcher: made on the CPU, then moved."""

    def made(data: Any, *args: Any, device: Any = None, **kwargs: Any) -> Tensor:
        tensor: Tensor = make(data, *args, **kwargs)
        return tensor if device is None else tensor.to(device)

    return made


def _autocast_here(real: Any) -> Any:
    class Autocast(real):  # type: ignore[misc]
        def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
            super().__init__("cpu" if device_type == DEVICE.type else device_type, *args, **kwargs)

    return Autocast


def _generator_here(real: Any) -> Any:
    """Wrap the maker of generators: one of `DEVICE` is the CPU's, which draws for it."""

    def generator(device: torch.device | str = "cpu") -> torch.Generator:
        made: torch.Generator = real("cpu" if torch.device(device).type == DEVICE.type else device)
        return made

    return generator
