"""Builds a model from its spec: architecture, weights, and the transform of the weights."""

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from hardy.core.errors import WeightsError
from hardy.core.seeding import derive
from hardy.data.preprocess import Preprocess
from hardy.models.model import Model
from hardy.models.spec import HardyModel, ModelSpec, OpenClipModel, TimmModel, TorchvisionModel
from hardy.models.weights import STORED, Located, bare, load, locate

T = TypeVar("T")


def build_model(
    spec: ModelSpec,
    model_indices: tuple[int, ...] | None = None,
    *,
    classes: tuple[str, ...] = (),
    seed: int = 0,
    located: Located | None = None,
    device: torch.device | str = "cpu",
) -> Model:
    """Build a model in evaluation mode with its weights and their own transform.

    Args:
        spec: Architecture and weights.
        model_indices: Outputs to keep, in the order of the dataset's classes; None keeps all. An
            image-text model has an output a class, and takes from them what ImageNet calls it.
        classes: The dataset's class names, which an image-text model needs.
        seed: Seed of random weights, used by `weights: random` alone.
        located: The weights where a plan found them; None looks for them.
        device: Where the model goes.

    Raises:
        SpecError: If an image-text model's class names or templates cannot be had.
        WeightsError: If the weights are absent, do not fit, or cannot be downloaded.
    """
    texts: tuple[str, ...] = ()
    if isinstance(spec, OpenClipModel):
        from hardy.models.clip.texts import class_texts

        texts, model_indices = class_texts(spec, classes, model_indices), None
    located = located or locate(spec)
    if located.path is None and spec.weights.partition(":")[0] in STORED:
        message = f"the weights {spec.weights} of {spec.name} are not at hand"
        raise WeightsError(message, hint="The run that yielded them is gone: run it again.")
    network, preprocess = build_network(spec, texts=texts, seed=seed, download=located.path is None)
    load(bare(network), located)
    return ready(Model(network, preprocess, model_indices), device)


def ready(model: Model, device: torch.device | str) -> Model:
    """Move a model that has its weights, set it to evaluation, let it read its texts."""
    from hardy.models.clip.zero_shot import ZeroShot

    model.to(device).eval()
    if isinstance(model.network, ZeroShot):
        model.network.read_texts()
    return model


def build_network(
    spec: ModelSpec, *, texts: tuple[str, ...] = (), seed: int = 0, download: bool = False
) -> tuple[nn.Module, Preprocess]:
    """Build an architecture and say how its input is prepared.

    Args:
        spec: Architecture; its weights matter only for the transform.
        texts: What an image-text model compares images with; it reads them in `ready`.
        seed: Seed of the initial weights.
        download: Whether the library may fetch the weights that the spec names.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "weights") & (2**63 - 1))
        if isinstance(spec, TimmModel):
            return _timm(spec, download=download)
        if isinstance(spec, HardyModel):
            return _own(spec)
        if isinstance(spec, OpenClipModel):
            return _open_clip(spec, texts, download=download)
        return _torchvision(spec, download=download)


def _own(spec: HardyModel) -> tuple[nn.Module, Preprocess]:
    from hardy.models.resnet26 import ResNet26

    half = (0.5, 0.5, 0.5)
    # Images of 32 px, which CIFAR-10's are, pass unchanged through this geometry.
    return ResNet26(spec.classes), Preprocess(32, 32, "bilinear", half, half)


def _timm(spec: TimmModel, *, download: bool) -> tuple[nn.Module, Preprocess]:
    import timm
    from timm.data import resolve_data_config

    wanted = download and spec.weights == "pretrained"
    network = _fetch(lambda: timm.create_model(spec.name, pretrained=wanted), spec)
    config = resolve_data_config({}, model=network)
    size = config["input_size"][-1]
    return network, Preprocess(
        size=size,
        resize=math.floor(size / config["crop_pct"]),
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def _torchvision(spec: TorchvisionModel, *, download: bool) -> tuple[nn.Module, Preprocess]:
    from torchvision import models

    choices = models.get_model_weights(spec.name)
    tagged = not (spec.weights in {"random", "pretrained"} or ":" in spec.weights)
    if tagged and spec.weights not in choices.__members__:
        message = f"torchvision has no weights {spec.weights} for {spec.name}"
        raise WeightsError(message, hint=f"It has {', '.join(choices.__members__)}.")
    weights = choices[spec.weights] if tagged else choices.DEFAULT
    wanted = weights if download and spec.weights != "random" else None
    network = _fetch(lambda: models.get_model(spec.name, weights=wanted), spec)
    transform = weights.transforms()
    return network, Preprocess(
        size=transform.crop_size[0],
        resize=transform.resize_size[0],
        interpolation=transform.interpolation.value,
        mean=tuple(transform.mean),
        std=tuple(transform.std),
    )


def _open_clip(
    spec: OpenClipModel, texts: tuple[str, ...], *, download: bool
) -> tuple[nn.Module, Preprocess]:
    from hardy.models.clip.build import build_zero_shot

    return _fetch(lambda: build_zero_shot(spec, texts, download=download), spec)


def _fetch(build: Callable[[], T], spec: ModelSpec) -> T:
    """Call a builder that may download, and say plainly what it could not get."""
    try:
        return build()
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        message = f"the weights of {spec.kind} {spec.name} could not be had: {reason}"
        raise WeightsError(
            message, hint="Check the network, or set model.weights to file:PATH or package:NAME."
        ) from error
