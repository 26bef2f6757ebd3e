"""Builds a model from its spec: architecture, weights, and the transform of the weights."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from hardy.core.errors import SpecError, WeightsError
from hardy.core.seeding import derive
from hardy.data.preprocess import Preprocess
from hardy.models import head
from hardy.models.input_spec import InputSpec
from hardy.models.model import Model
from hardy.models.reference import Library
from hardy.models.segmenters.spec import Segmenter, SegmenterBase
from hardy.models.spec import (
    HardyModel,
    ModelSpec,
    OpenClipModel,
    TimmModel,
    TorchvisionModel,
)
from hardy.models.state import bare
from hardy.models.weights import STORED, Loaded, Located, load, locate, read

T = TypeVar("T")
Texts = tuple[str, ...]
Built = tuple[nn.Module, Preprocess]


@dataclass(frozen=True)
class _Wanted:
    """What a network is built for, as `build_network` is told."""

    texts: Texts
    outputs: int | None
    of_image: bool
    download: bool


def build_model(
    spec: ModelSpec,
    model_indices: tuple[int, ...] | None = None,
    *,
    classes: tuple[str, ...] = (),
    outputs: int | None = None,
    of_image: bool = False,
    seed: int = 0,
    located: Located | None = None,
    device: torch.device | str = "cpu",
    of_features: bool = False,
) -> Model:
    """Build a model in evaluation mode with its weights and their own transform.

    Args:
        spec: Architecture and weights.
        model_indices: Outputs to keep, in the order of the dataset's classes; None keeps all. A
            network that has an output a class keeps all too (`head.kept`). An image-text model has
            one, and takes from the indices what ImageNet calls it.
        classes: The dataset's class names, which an image-text model needs.
        outputs: Channels, of a kind that has as many as its task.
        of_image: Whether these are an image's own channels, and no classes.
        seed: Seed of random weights, used by `weights: random` alone.
        located: The weights where a plan found them; None looks for them.
        device: Where the model goes.
        of_features: Whether it gives what its head is given, in place of its outputs.

    Raises:
        SpecError: If an image-text model's class names or templates cannot be had.
        WeightsError: If the weights are absent, do not fit, or cannot be downloaded.
    """
    builder = _BUILDERS[spec.kind]
    texts: tuple[str, ...] = ()
    if builder.texts is not None:
        texts, model_indices = builder.texts(spec, classes, model_indices), None
    located = located or locate(spec)
    if located.path is None and isinstance(spec.weights.source, STORED):
        message = f"the weights {spec.weights} of {spec.name} are not at hand"
        raise WeightsError(message, hint="The run that yielded them is gone: run it again.")
    network, preprocess = build_network(
        spec,
        texts=texts,
        outputs=outputs,
        of_image=of_image,
        seed=seed,
        download=located.path is None,
    )
    loaded = _load(bare(network), spec, located)
    kept = head.kept(network, model_indices)
    model = Model(network, preprocess, kept, loaded, of_features=of_features)
    return ready(model, device)


def _load(network: nn.Module, spec: ModelSpec, located: Located) -> Loaded | None:
    """Put weights that lie in a file into a network; say what came, None without a file.

    The head gets as many outputs as the file's has, unless only a part is to fit.
    """
    if located.path is None:
        return None
    if located.in_order and isinstance(spec, SegmenterBase):
        return _load_encoder(network, spec, located, located.path)
    found = read(located, spec.weights, tuple(network.state_dict()))
    layout = _BUILDERS[spec.kind].layout
    tensors = layout(network, found) if layout is not None else found
    partial = bool(spec.weights.partial)
    if spec.has_head and not (partial or located.in_order):
        head.like(network, tensors)
    return load(network, tensors, partial=partial, file=located.path.name)


def _load_encoder(network: nn.Module, spec: SegmenterBase, located: Located, file: Path) -> Loaded:
    """Put a classifier's weights into the encoder; the rest stays as it is."""
    from hardy.models.segmenters.build import check_encoder, encoder_order

    tensors = read(located, spec.weights, encoder_order(spec))
    check_encoder(network, tensors, file.name)
    return load(network, tensors, partial=True, file=file.name)


def ready(model: Model, device: torch.device | str) -> Model:
    """Move a model that has its weights, set it to evaluation, let it read its texts."""
    if torch.device(device).type == "cuda":
        _same_numbers_each_time()
    model.to(device).eval()
    read_texts = getattr(model.network, "read_texts", None)
    if read_texts is not None:
        read_texts()
    return model


def _same_numbers_each_time() -> None:
    """Let cuDNN compute in the precision that was asked for, by algorithms that repeat.

    Its convolutions round 32-bit numbers to TensorFloat-32 (10 bits) unless told otherwise, and
    some of its gradients add up in any order.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def build_network(
    spec: ModelSpec,
    *,
    texts: tuple[str, ...] = (),
    outputs: int | None = None,
    of_image: bool = False,
    seed: int = 0,
    download: bool = False,
) -> tuple[nn.Module, Preprocess]:
    """Build an architecture and say how its input is prepared.

    Args:
        spec: Architecture; its weights matter only for the transform, and its `input` wins there.
        texts: What an image-text model compares images with; it reads them in `ready`.
        outputs: Channels, of a kind that has as many as its task.
        of_image: Whether these are an image's own channels, and no classes.
        seed: Seed of the initial weights.
        download: Whether the library may fetch the weights that the spec names.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "weights") & (2**63 - 1))
        wanted = _Wanted(texts, outputs, of_image, download)
        network, record = _BUILDERS[spec.kind].network(spec, wanted)
    return network, _with(record, spec.input)


def _with(record: Preprocess, stated: InputSpec | None) -> Preprocess:
    """Return the weights' own record with what a spec states in its place."""
    if stated is None:
        return record
    values = {name: getattr(stated, name) for name in InputSpec.model_fields}
    changed = replace(record, **{name: v for name, v in values.items() if v is not None})
    return changed if changed.fit == "shorter_side" else replace(changed, resize=None)


def _own(spec: HardyModel, wanted: _Wanted) -> Built:
    if spec.name == "vit":
        from hardy.models.vit import build_vit

        return build_vit(spec)
    from hardy.models.resnet26 import ResNet26

    half = (0.5, 0.5, 0.5)
    # Images of 32 px, which CIFAR-10's are, pass unchanged through this geometry.
    return ResNet26(spec.classes), Preprocess(32, 32, "bilinear", half, half)


def _segmenter(spec: Segmenter, wanted: _Wanted) -> Built:
    from hardy.models.segmenters.build import build_segmenter

    return _fetch(
        lambda: build_segmenter(
            spec, wanted.outputs, of_image=wanted.of_image, download=wanted.download
        ),
        spec,
    )


def _timm(spec: TimmModel, wanted: _Wanted) -> Built:
    import timm
    from timm.data import resolve_data_config

    fetched = wanted.download and str(spec.weights) == "pretrained"
    options = {} if spec.drop_path is None else {"drop_path_rate": spec.drop_path}
    try:
        network = _fetch(lambda: timm.create_model(spec.name, pretrained=fetched, **options), spec)
    except TypeError as error:
        if spec.drop_path is None:
            raise
        raise _without_drop_path(spec) from error
    # Some take the option and have nothing to drop.
    if spec.drop_path is not None and not any(
        getattr(each, "drop_prob", None) for each in network.modules()
    ):
        raise _without_drop_path(spec)
    config = resolve_data_config({}, model=network)
    size = config["input_size"][-1]
    return network, Preprocess(
        size=size,
        resize=math.floor(size / config["crop_pct"]),
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def _without_drop_path(spec: TimmModel) -> SpecError:
    message = f"model.drop_path: timm's {spec.name} has no paths to drop"
    return SpecError(message, hint="Leave model.drop_path out.")


def _torchvision(spec: TorchvisionModel, wanted: _Wanted) -> Built:
    from torchvision import models

    choices = models.get_model_weights(spec.name)
    source = spec.weights.source
    tag = source.tag if isinstance(source, Library) else "pretrained"
    if tag != "pretrained" and tag not in choices.__members__:
        message = f"torchvision has no weights {tag} for {spec.name}"
        raise WeightsError(message, hint=f"It has {', '.join(choices.__members__)}.")
    weights = choices.DEFAULT if tag == "pretrained" else choices[tag]
    fetched = weights if wanted.download and isinstance(source, Library) else None
    network = _fetch(lambda: models.get_model(spec.name, weights=fetched), spec)
    transform = weights.transforms()
    return network, Preprocess(
        size=transform.crop_size[0],
        resize=transform.resize_size[0],
        interpolation=transform.interpolation.value,
        mean=tuple(transform.mean),
        std=tuple(transform.std),
    )


def _open_clip(spec: OpenClipModel, wanted: _Wanted) -> Built:
    from hardy.models.clip.build import build_zero_shot

    return _fetch(lambda: build_zero_shot(spec, wanted.texts, download=wanted.download), spec)


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


def _class_texts(spec: OpenClipModel, classes: Texts, indices: tuple[int, ...] | None) -> Texts:
    from hardy.models.clip.texts import class_texts

    return class_texts(spec, classes, indices)


def _open_clip_layout(network: nn.Module, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    from hardy.models.clip.build import tensors_of

    return tensors_of(network, tensors)


@dataclass(frozen=True)
class _Builder:
    """How models of a kind are built; what a library needs is imported when it is called.

    Attributes:
        network: Builds the architecture and says how its input is prepared.
        texts: Names the classes, for a kind that compares images with texts.
        layout: Returns the tensors of a file that has others beside the network's.
    """

    network: Callable[[Any, _Wanted], Built]
    texts: Callable[[Any, Texts, tuple[int, ...] | None], Texts] | None = None
    layout: Callable[[nn.Module, Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None


_BUILDERS: dict[str, _Builder] = {
    "timm": _Builder(_timm),
    "torchvision": _Builder(_torchvision),
    "hardy": _Builder(_own),
    "segmenter": _Builder(_segmenter),
    "open_clip": _Builder(_open_clip, _class_texts, _open_clip_layout),
}
