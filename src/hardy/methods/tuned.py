"""Which parameters of a network a method adapts or trains."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase

from torch import nn

from hardy.core.catalog import did_you_mean
from hardy.core.errors import SpecError
from hardy.models import head

_RESTS = "_rests"

# Every layer of torch and timm that normalises by statistics has one of these in its type's name.
_NORMS = ("BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm", "RmsNorm", "RMSNorm")


def tuned_parameters(network: nn.Module, tune: str | tuple[str, ...]) -> list[nn.Parameter]:
    """Return the parameters that a spec's `tune` means, in the network's order.

    Args:
        network: The network to adapt.
        tune: `all`, `norm` (weights and biases of normalisation layers), or globs over names.

    Raises:
        SpecError: If nothing matches, or a glob matches nothing.
    """
    named = dict(network.named_parameters())
    if tune == "all":
        return list(named.values())
    if tune == "norm":
        norms = [m for m in network.modules() if any(n in type(m).__name__ for n in _NORMS)]
        wanted = {id(p) for module in norms for p in module.parameters(recurse=False)}
        found = [p for p in named.values() if id(p) in wanted]
        if not found:
            message = f"method.tune: {type(network).__name__} has no normalisation layers to adapt"
            raise SpecError(message, hint="Set method.tune to all, or to globs over names.")
        return found
    idle = [glob for glob in tune if not any(fnmatchcase(name, glob) for name in named)]
    if idle or not tune:
        message = f"method.tune: no parameter is named {' or '.join(idle) or 'by an empty list'}"
        some = ", ".join(list(named)[:3])
        raise SpecError(message, hint=f"Names look like {some}.")
    return [p for name, p in named.items() if any(fnmatchcase(name, glob) for glob in tune)]


@contextmanager
def tuned(network: nn.Module, tune: str | Sequence[str]) -> Iterator[None]:
    """Let only some parameters learn while the context lasts.

    Args:
        network: Theirs.
        tune: `all`, `head`, or patterns of their names.

    Raises:
        SpecError: If a pattern fits none.
    """
    patterns = _patterns(network, tune)
    check_patterns(network, patterns, "tune")
    before = {name: p.requires_grad for name, p in network.named_parameters()}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(any(fnmatchcase(name, pattern) for pattern in patterns))
    learns = matched(network, patterns)
    left = [part for part in moving(network).values() if not any(part is one for one in learns)]
    for part in left:
        rest(part, still=True)
    try:
        yield
    finally:
        for part in moving(network).values():
            rest(part, still=False)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(before[name])


def check_patterns(network: nn.Module, patterns: Sequence[str], field: str) -> None:
    """Make sure that patterns of names, as a field of a method has them, fit parameters.

    Raises:
        SpecError: If one fits none.
    """
    names = [name for name, _ in network.named_parameters()]
    names += [f"{part}.{own}" for part, m in moving(network).items() for own in m._buffers]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            message = f"method.{field}: no parameter of the network is called {pattern!r}"
            steps = dict.fromkeys(name.partition(".")[0] for name in names)
            hint = did_you_mean(pattern, names) or f"They begin with {', '.join(steps)}."
            raise SpecError(message, hint=hint)


def moving(network: nn.Module) -> Mapping[str, nn.Module]:
    """Return by name the parts that learn without parameters.

    By their buffers, as codes that follow means do, and batch norms without gains.
    """
    return {
        name: part
        for name, part in network.named_modules()
        if name and part._buffers and next(part.parameters(), None) is None
    }


def matched(network: nn.Module, patterns: Sequence[str]) -> list[nn.Module]:
    """Return those of `moving` that patterns of their buffers' names mean."""
    return [part for name, part in moving(network).items() if _fits(name, part, patterns)]


def rest(part: nn.Module, *, still: bool) -> None:
    """Keep a part without parameters in evaluation in trainings to come, or no longer."""
    setattr(part, _RESTS, still)


def rests(part: nn.Module) -> bool:
    """Return whether a part is to stay in evaluation."""
    return bool(getattr(part, _RESTS, False))


def _fits(name: str, part: nn.Module, patterns: Sequence[str]) -> bool:
    own = [f"{name}.{buffer}" for buffer in part._buffers]
    return any(fnmatchcase(each, pattern) for each in own for pattern in patterns)


def _patterns(network: nn.Module, tune: str | Sequence[str]) -> Sequence[str]:
    if tune == "all":
        return ("*",)
    return (f"{head.find(network)}.*",) if tune == "head" else tuple(tune)
