"""Which parameters of a network a method adapts."""

from fnmatch import fnmatchcase

from torch import nn

from hardy.core.errors import SpecError

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
