"""A network's layers by name, and what they give in one of its own forward passes."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import translate
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from hardy.core.catalog import did_you_mean
from hardy.core.errors import SpecError
from hardy.explain.spec import Tokens
from hardy.models.model import Model
from hardy.models.state import bare

How = Literal["all", "cls", "mean"]

_MAPS = 4  # axes: samples, channels, height, width
_CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")
# Where the class token has not joined the others yet.
_EMBEDS = ("patch_embed", "conv_proj", "conv1")


class _Family(NamedTuple):
    """Names of a kind of network's layers, by the patterns of `_matches`."""

    first: tuple[str, ...]
    blocks: str
    last: tuple[str, ...] = ()
    transformer: bool = False


_FAMILIES = (
    _Family(("patch_embed",), "blocks.*", ("norm",), transformer=True),  # timm
    _Family(("conv_proj",), "encoder.layers.*", ("encoder.ln",), transformer=True),  # torchvision
    _Family(("conv1",), "transformer.resblocks.*", ("ln_post",), transformer=True),  # open_clip
    _Family((), "layer[0-9]"),  # ResNets
    _Family((), "stages.*"),
    _Family((), "layers.*"),
    _Family((), "blocks.*"),
    _Family((), "features.*"),
    _Family(("stem",), "down.*", ("up.*",)),  # a U of convolutions
    # Encoders and decoders: with a codebook, of levels, of ResNets, and smp's of timm.
    _Family(
        (),
        "encoder.down.*",
        ("encoder.last", "encoder.residual.*", "decoder.residual.*", "decoder.up.*"),
    ),
    _Family((), "encoder.levels.*", ("decoder.levels.*",)),
    _Family((), "encoder.layer[0-9]", ("decoder[0-9]", "decoder.blocks.*")),
    _Family((), "encoder.model.blocks.*", ("decoder.blocks.*",)),
)
_PREFIXES = ("", "visual.", "visual.trunk.", "backbone.")


class Layer(NamedTuple):
    """A layer, and what is taken of what it gives.

    Attributes:
        name: The module's, as in a file of weights.
        how: `all` of it, the class token, or the mean over tokens or places.
        width: Numbers that this is, a sample.
    """

    name: str
    how: How
    width: int


def find_layers(model: Model, wanted: Sequence[str] | None, tokens: Tokens) -> list[Layer]:
    """Return layers in the network's order, found out by one pass of grey images.

    Args:
        model: The network.
        wanted: Patterns of names; None for what `SimilaritySpec.layers` says.
        tokens: What is taken of them.

    Raises:
        SpecError: If a pattern fits no layer, or a layer has not what is to be taken.
    """
    network = bare(model.network)
    names = [name for name, _ in network.named_modules() if name]
    found = _family(names)
    chosen = _default(names, found) if wanted is None else _stated(names, wanted, "similarity")
    hows = dict(_hows(network, names, chosen, tokens, found))
    given = _tried(model, chosen)
    silent = [name for name in chosen if name not in given]
    if wanted is not None and silent:
        message = f"explain.similarity.layers: {silent[0]} gives no activations of its own"
        raise SpecError(message, hint=f"Name what is inside it: {silent[0]}.*")
    return [
        Layer(name, hows[name], taken(network, given[name], hows[name]).shape[1])
        for name in chosen
        if name not in silent
    ]


def find_maps(model: Model, wanted: Sequence[str] | None) -> list[str]:
    """Return the layers that give maps (B, C, h, w), in the network's order.

    Args:
        model: The network.
        wanted: Patterns of names; None for what `FeatureMapsSpec.layers` says.

    Raises:
        SpecError: If a pattern fits no layer, or one gives no maps, or none does.
    """
    network = bare(model.network)
    names = [name for name, _ in network.named_modules() if name]
    where = "explain.feature_maps.layers"
    if wanted is None:
        chosen = _default(names, _family(names))
    else:
        chosen = _stated(names, wanted, "feature_maps")
    given = _tried(model, chosen)
    maps = [name for name in chosen if name in given and given[name].ndim == _MAPS]
    others = [name for name in chosen if name not in maps]
    if (wanted is not None and others) or not maps:
        message = f"{where}: {others[0] if others else 'no layer'} gives no maps (B, C, h, w)"
        raise SpecError(message, hint="Name convolutions, or blocks of them.")
    return maps


def _tried(model: Model, names: Sequence[str]) -> dict[str, Tensor]:
    """Return what layers give for two grey images; those that give nothing for each are absent."""
    shape, device = model.preprocess, next(model.parameters()).device
    grey = torch.zeros(2, 3, shape.height, shape.width, device=device)
    with torch.no_grad(), watched(bare(model.network), names) as given:
        model(grey)
    return {name: each for name, each in given.items() if each.shape[0] == len(grey)}


@contextmanager
def watched(network: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Let layers tell what they give while the context lasts.

    Yields:
        What they gave in the last pass, by name, (B, ...) on the network's device.
    """
    given: dict[str, Tensor] = {}

    def listens(name: str) -> Any:  # noqa: ANN401 - a hook
        def hear(module: nn.Module, inputs: Any, output: Any) -> None:  # noqa: ANN401
            if isinstance(output, Mapping):
                output = next(iter(output.values()), None)
            while isinstance(output, tuple | list) and output:
                output = output[0]
            if torch.is_tensor(output) and output.ndim > 1:
                given[name] = output.detach().clone()  # the next layer may write over it

        return hear

    modules = dict(network.named_modules())
    handles = [modules[name].register_forward_hook(listens(name)) for name in names]
    try:
        yield given
    finally:
        for handle in handles:
            handle.remove()


def taken(network: nn.Module, given: Tensor, how: How) -> Tensor:
    """Return what is taken of what a layer gave, (B, D).

    Args:
        network: Whose layer it is.
        given: Tokens (B, T, D), maps (B, C, h, w), or features (B, D).
        how: What to take.
    """
    if how == "all" or given.ndim == 2:
        return given.flatten(1)
    if how == "cls":
        return given[:, 0].flatten(1)
    last = given.ndim == 3 or getattr(network, "output_fmt", "") == "NHWC"
    return given.flatten(1, -2).mean(1) if last else given.flatten(2).mean(2)


def _stated(names: Sequence[str], wanted: Sequence[str], entry: str) -> list[str]:
    for pattern in wanted:
        if not any(_matches(name, pattern) for name in names):
            message = f"explain.{entry}.layers: no layer of the network is called {pattern!r}"
            steps = dict.fromkeys(name.partition(".")[0] for name in names)
            hint = did_you_mean(pattern, names) or f"They begin with {', '.join(steps)}."
            raise SpecError(message, hint=hint)
    return [name for name in names if any(_matches(name, pattern) for pattern in wanted)]


def _family(names: Sequence[str]) -> tuple[str, _Family] | None:
    """Return what kind of network has such layers, and what their names begin with."""
    for prefix in _PREFIXES:
        for family in _FAMILIES:
            patterns = (*family.first, family.blocks)
            if all(any(_matches(n, prefix + p) for n in names) for p in patterns):
                return prefix, family
    return None


def _default(names: Sequence[str], found: tuple[str, _Family] | None) -> list[str]:
    if found is None:
        return [name for name in names if "." not in name]
    prefix, family = found
    patterns = [prefix + each for each in (*family.first, family.blocks, *family.last)]
    return [name for name in names if any(_matches(name, pattern) for pattern in patterns)]


def _hows(
    network: nn.Module,
    names: Sequence[str],
    chosen: Sequence[str],
    tokens: Tokens,
    found: tuple[str, _Family] | None,
) -> Iterator[tuple[str, How]]:
    """Yield what is taken of each chosen layer.

    Raises:
        SpecError: If it is a class token, and there is none.
    """
    if tokens in ("all", "mean"):
        yield from ((name, tokens) for name in chosen)
        return
    own = {name.rpartition(".")[2] for name, _ in network.named_parameters()}
    if found is None or not found[1].transformer or not own & set(_CLASS_TOKENS):
        message = f"explain.similarity.tokens is {tokens}, but the network has no class token"
        raise SpecError(message, hint="Set it to all or to mean.")
    blocks = found[0] + found[1].blocks
    last = max(place for place, name in enumerate(names) if _matches(name, blocks))
    for name in chosen:
        early = any(part in _EMBEDS for part in name.split("."))
        if tokens == "p4":
            yield name, "cls" if names.index(name) >= last and not early else "all"
        else:
            yield name, "mean" if early else "cls"


def _matches(name: str, pattern: str) -> bool:
    """Whether a dotted name fits a pattern part by part: `*` stands for no dot."""
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(
        re.fullmatch(translate(each), part) for part, each in zip(parts, wanted, strict=True)
    )
