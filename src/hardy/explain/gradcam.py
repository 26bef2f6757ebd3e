"""Grad-CAM: where in the image the evidence for a class lies.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", 2017, https://arxiv.org/abs/1610.02391

    L^c = ReLU(Σ_k α_k A^k),  α_k = mean over positions of ∂y^c / ∂A^k

A^k are the channels of the last feature map that still has positions, y^c the logit of class c.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hardy.core.errors import MethodError
from hardy.models.model import Model

# A block's first normalisation. After the last block only the class token reaches the head in
# many transformers, so the other tokens' gradients are zero there; before its attention they
# are not.
_TOKEN_LAYERS = ("norm1", "ln_1")
# Inside attention, (B, heads, tokens, depth) looks like a feature map and is none.
_ATTENTION = ("attn", "attention")


@dataclass(frozen=True)
class Layer:
    """The layer whose output Grad-CAM weighs.

    Attributes:
        name: Dotted name in the model.
        module: The layer.
        maps: Makes its output feature maps (B, C, h, w) in float32.
    """

    name: str
    module: nn.Module
    maps: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Call:
    name: str
    module: nn.Module
    shape: tuple[int, ...]


def heat_map(model: Model, image: Tensor, target: int) -> np.ndarray:
    """Return where the evidence for a class lies, as (H, W) in [0, 1].

    The model is left as it was: hooks, gradients, modes and `requires_grad`.

    Args:
        model: Any network with a spatial feature map or patch tokens.
        image: Normalised image (1, 3, H, W).
        target: Class to explain, an index into the model's outputs.

    Raises:
        MethodError: If the network has no such layer, there is no such class, or the gradients are
            not finite.
    """
    # The package pulls in OpenCV and pyplot: import it only where a picture is wanted.
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with _untouched(model), torch.inference_mode(False), torch.enable_grad():
        layer = target_layer(model, image, target)
        # With every weight frozen, only an input that wants gradients makes a graph.
        pixels = image.detach().clone().requires_grad_()
        with GradCAM(model, [layer.module], layer.maps) as cam:
            heat = np.asarray(cam(pixels, [ClassifierOutputTarget(target)])[0])
    if not np.isfinite(heat).all():
        message = f"the Grad-CAM of class {target} at layer {layer.name!r} is not finite"
        raise MethodError(message, hint="The weights diverged: lower the learning rate.")
    return np.asarray(np.clip(heat, 0, 1))


def target_layer(model: Model, image: Tensor, target: int = 0) -> Layer:
    """Find the last layer that still has positions, by a dry run on an image (1, 3, H, W).

    It is the last in order of execution among the modules that give a feature map larger than
    1 x 1 (the last stage of a convolutional network) and the first normalisations of transformer
    blocks. Modules that run more than once are passed over: which run is meant is not clear.

    Raises:
        MethodError: If there is none, or the model has no output `target`.
    """
    calls, classes = _dry_run(model, image)
    if not 0 <= target < classes:
        message = f"Grad-CAM of class {target} was asked of a model with {classes} classes"
        raise MethodError(message, hint="Give an index into the dataset's classes.")
    grid: tuple[int, int] | None = None
    found: Layer | None = None
    for call in calls:
        if len(call.shape) == 4:
            channels_last = _channels_last(model.network, call.shape, image)
            grid = call.shape[1:3] if channels_last else call.shape[2:4]
            found = Layer(call.name, call.module, _from_nhwc if channels_last else _copied)
        elif grid is not None and call.shape[1] >= grid[0] * grid[1]:
            found = Layer(call.name, call.module, _tokens_to_maps(*grid))
    if found is None:
        kind = type(model.network).__name__
        message = f"no layer of {kind} gives a feature map larger than 1 x 1 for this image"
        raise MethodError(message, hint="Set `explain: {gradcam: null}`, or use larger images.")
    return found


def _dry_run(model: Model, image: Tensor) -> tuple[list[_Call], int]:
    calls: list[_Call] = []

    def watch(name: str) -> Callable[[nn.Module, object, object], None]:
        def note(module: nn.Module, _: object, output: object) -> None:
            if isinstance(output, Tensor):
                calls.append(_Call(name, module, tuple(output.shape)))

        return note

    with ExitStack() as hooks, torch.no_grad():
        for name, module in model.named_modules():
            if name:
                hooks.callback(module.register_forward_hook(watch(name)).remove)
        classes = model(image).shape[-1]
    runs = Counter(call.name for call in calls)
    return [call for call in calls if runs[call.name] == 1 and _has_positions(call)], classes


def _has_positions(call: _Call) -> bool:
    if any(word in call.name for word in _ATTENTION):
        return False
    if len(call.shape) == 4:
        return min(call.shape[2:]) > 1 and call.shape[0] == 1
    is_token_layer = call.name.rsplit(".", 1)[-1] in _TOKEN_LAYERS
    return len(call.shape) == 3 and is_token_layer and call.shape[0] == 1


def _channels_last(network: nn.Module, shape: tuple[int, ...], image: Tensor) -> bool:
    # timm says so of itself; a (B, C, h, w) map of such a network (its patch embedding before
    # the permutation) is told by its square positions.
    stated = getattr(network, "output_fmt", "NCHW") == "NHWC"
    if stated and image.shape[2] != image.shape[3]:
        message = f"Grad-CAM of a {type(network).__name__} needs an input of equal sides"
        raise MethodError(message, hint="Set `explain: {gradcam: null}`, or model.input.size.")
    return stated and shape[1] == shape[2]


def _copied(output: Tensor) -> Tensor:
    # A copy: an activation function that works in place would change it after the hook.
    return output.to(torch.float32, copy=True)


def _from_nhwc(output: Tensor) -> Tensor:
    return _copied(output).permute(0, 3, 1, 2)


def _tokens_to_maps(height: int, width: int) -> Callable[[Tensor], Tensor]:
    def maps(output: Tensor) -> Tensor:
        # Class and register tokens come first.
        patches = _copied(output)[:, -height * width :]
        return patches.transpose(1, 2).reshape(len(patches), -1, height, width)

    return maps


@contextmanager
def _untouched(module: nn.Module) -> Iterator[None]:
    """Evaluate with frozen weights, then restore gradients, modes and `requires_grad`."""
    modes = [(part, part.training) for part in module.modules()]
    weights = [(p, p.requires_grad, p.grad) for p in module.parameters()]
    try:
        module.eval()
        for parameter, _, _ in weights:
            parameter.requires_grad_(False)
        yield
    finally:
        for part, training in modes:
            part.training = training
        for parameter, wanted, gradient in weights:
            parameter.requires_grad_(wanted)
            parameter.grad = gradient
