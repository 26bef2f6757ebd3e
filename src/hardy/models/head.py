"""A classifier's head: the last layer, which gives the classes, whatever the library calls it.

A new head stands under the library's own name, so that the weights load into
`timm.create_model(name, num_classes=N)` or `torchvision.models.get_model(name, num_classes=N)` too.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from hardy.core.errors import SpecError
from hardy.core.seeding import derive
from hardy.models.probe import PLAIN, Before, Probe, before_of, stated

_HINT = "Choose a network that ends in one linear layer, such as a ResNet, EfficientNet or ViT."


def find(network: nn.Module) -> str:
    """Return the dotted name of the layer that gives the classes.

    It is an `nn.Linear` or a convolution of 1 by 1; an `nn.Identity` where a network of timm gives
    features and has a place for a head.

    Raises:
        SpecError: If there is none, or there are several: distilled or auxiliary ones.
    """
    record = getattr(network, "default_cfg", None)  # timm's
    name = _last(network) if record is None else record.get("classifier")
    fault = ""
    if isinstance(name, tuple | list):
        fault = f"has several heads: {', '.join(name)}"
    elif not _is_head(dict(network.named_modules()).get(name or "")):
        fault = f"has no linear layer {name or 'that gives the classes'}"
    elif getattr(network, "aux_logits", False) or getattr(network, "head_dist", None) is not None:
        fault = f"has further heads beside {name}"
    if fault:
        message = f"{type(network).__name__} {fault}"
        raise SpecError(message, hint=_HINT)
    return str(name)


def _last(network: nn.Module) -> str:
    names = [name for name, layer in network.named_modules() if _gives_outputs(layer)]
    return names[-1] if names else ""


def _gives_outputs(layer: nn.Module | None) -> bool:
    pointwise = isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.groups == 1
    return pointwise or isinstance(layer, nn.Linear)


def _is_head(layer: nn.Module | None) -> bool:
    return _gives_outputs(layer) or isinstance(layer, nn.Identity)


def outputs_of(network: nn.Module) -> int:
    """Return how many outputs the head has; 0 where a place for one is empty.

    Raises:
        SpecError: If the head cannot be told.
    """
    layer = network.get_submodule(find(network))
    return 0 if isinstance(layer, nn.Identity) else cast("Tensor", layer.weight).shape[0]


def make(network: nn.Module, outputs: int, seed: int, before: Before = PLAIN) -> None:
    """Give a network a new head, in place; its initial tensors depend on the seed alone.

    Args:
        network: Whose head it is.
        outputs: How many the new one has.
        seed: Of its tensors.
        before: What it does to features before it is linear.

    Raises:
        SpecError: If the head cannot be told, or has to do something before and is no linear layer.
    """
    name = find(network)
    if isinstance(network.get_submodule(name), nn.Identity):
        network.reset_classifier(outputs)  # type: ignore[operator]  # timm's; it knows the width
    old = cast("nn.Linear | nn.Conv2d", network.get_submodule(name))
    if before and not isinstance(old, nn.Linear):
        message = f"{name} of {type(network).__name__} is no linear layer of features"
        raise SpecError(message, hint=_HINT)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "head") & (2**63 - 1))
        new = _like(old, outputs, before)
    new.to(device=old.weight.device, dtype=old.weight.dtype).train(old.training)
    network.set_submodule(name, new)
    if hasattr(network, "num_classes"):
        network.num_classes = outputs  # type: ignore[assignment]


def _like(old: nn.Linear | nn.Conv2d, outputs: int, before: Before) -> nn.Linear | nn.Conv2d:
    bias = old.bias is not None
    if isinstance(old, nn.Conv2d):
        return nn.Conv2d(old.in_channels, outputs, 1, bias=bias)
    if before:
        return Probe(old.in_features, outputs, before, bias=bias)
    return nn.Linear(old.in_features, outputs, bias=bias)


def like(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Make the head that a file's tensors hold, before they are loaded.

    The number of outputs follows the file, and what is done before the linear layer. Where anything
    else differs, or the network has no head that can be told, it stays as it is, and a strict load
    says what does not fit.
    """
    try:
        name = find(network)
    except SpecError:
        return
    weight, own = tensors.get(f"{name}.weight"), network.get_submodule(name)
    if weight is None or weight.ndim < 2:
        return
    rows, before = weight.shape[0], stated(tensors, name)
    if isinstance(own, nn.Identity):
        make(network, rows, 0, before)
        return
    known = cast("Tensor", own.weight)
    differs = (known.shape[0], before_of(own)) != (rows, before)
    if known.shape[1:] == weight.shape[1:] and differs:
        make(network, rows, 0, before)


def kept(network: nn.Module, indices: Sequence[int] | None) -> tuple[int, ...] | None:
    """Return which outputs stand for the dataset's classes; None where the outputs are these.

    A dataset of ImageNet's classes names some of a model's 1,000 outputs. A head that was made for
    the dataset has an output a class, and none of the others.

    Args:
        network: With its weights.
        indices: For each class of the dataset, its index among an ImageNet model's outputs.
    """
    if indices is None:
        return None
    try:
        outputs = outputs_of(network)
    except SpecError:
        return tuple(indices)
    own = outputs == len(indices) and max(indices) >= outputs
    return None if own else tuple(indices)


def features(network: nn.Module, images: Tensor, name: str | None = None) -> Tensor:
    """Return what the head is given (B, D), pooled, for normalised images (B, 3, H, W).

    Of a model of images and texts, they are the image's unit-length features.

    Args:
        network: Is asked as it is: with or without gradients, in the mode that it is in.
        images: Its input.
        name: The head's, as `find` gives it; none: it is looked for.

    Raises:
        SpecError: If the head cannot be told.
    """
    encode = getattr(network, "image_features", None)
    if encode is not None:
        return cast("Tensor", encode(images))
    layer, given = network.get_submodule(name or find(network)), []
    handle = layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    try:
        network(images)
    finally:
        handle.remove()
    if len(given) != 1:
        message = f"{type(network).__name__} asks its head {len(given)} times for one answer"
        raise SpecError(message, hint=_HINT)
    return _pooled(given[0], channels_first=isinstance(layer, nn.Conv2d))


def _pooled(given: Tensor, *, channels_first: bool) -> Tensor:
    """Return the means over places of what a head is given at each, such as (B, D, h, w)."""
    if given.ndim == 2:
        return given
    return given.flatten(2).mean(2) if channels_first else given.flatten(1, -2).mean(1)
