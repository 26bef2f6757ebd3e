"""Builds segmenters from their specs, and says how their input is prepared."""

from collections.abc import Mapping

from torch import Tensor, nn

from hardy.core.errors import SpecError, WeightsError
from hardy.data.preprocess import Preprocess
from hardy.models.segmenters.spec import (
    LinkNetSeed,
    SegmenterBase,
    SegNet,
    SmpModel,
    UNetSmall,
    VqVae,
)

_HALF = (0.5, 0.5, 0.5)
# Levels as they are, in [0, 1], at the seed COMP0197's size.
_PLAIN = Preprocess(120, None, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), fit="squeeze")


def build_segmenter(
    spec: SegmenterBase, outputs: int | None, *, of_image: bool, download: bool
) -> tuple[nn.Module, Preprocess]:
    """Build an architecture with random weights, or with its encoder's own.

    Args:
        spec: The architecture.
        outputs: Channels; as many as its task has.
        of_image: Whether outputs are an image's own channels.
        download: Whether the library may fetch the encoder's weights that the spec names.

    Raises:
        SpecError: If the number of outputs is unknown or not the one that the spec implies, or if a
            decoder cannot stand on the encoder.
    """
    if outputs is None:
        message = f"{spec.kind} {spec.name} has as many channels as its task, and none is known"
        raise SpecError(message, hint="Build it by the task: `build_network(..., outputs=N)`.")
    if spec.stated_outputs not in (None, outputs):
        message = f"model.head: shared is the layer of {spec.stated_outputs} outputs that "
        message += f"reconstructs an image, and the task has {outputs}"
        raise SpecError(message, hint="Set model.head: own.")
    fetched = download and str(spec.weights) == "pretrained"
    match spec:
        case UNetSmall():
            from hardy.models.segmenters.encoder_decoder import UNet

            return UNet(outputs, spec.width), _squeezed(64)
        case VqVae():
            from hardy.models.segmenters.vqvae import VQVAE

            own = spec.head == "own" and not of_image
            return VQVAE(outputs, spec, own_head=own), _PLAIN
        case SegNet():
            from hardy.models.segmenters import segnet

            return segnet.SegNet(outputs, spec.width, cap=spec.cap), _PLAIN
        case LinkNetSeed():
            from hardy.models.segmenters.linknet import LinkNet

            return LinkNet(outputs, pretrained=fetched), _squeezed(256)
        case SmpModel():
            from hardy.models.segmenters.smp import build_smp

            return build_smp(spec, outputs, pretrained=fetched), _of_timm(spec.encoder[3:])
    raise TypeError(spec.name)


def _squeezed(size: int) -> Preprocess:
    return Preprocess(size, None, "bilinear", _HALF, _HALF, fit="squeeze")


def _of_timm(name: str) -> Preprocess:
    """Return how an encoder's own weights were shown images, squeezed to a square."""
    import timm
    from timm.data import resolve_data_config

    config = resolve_data_config({}, pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    return Preprocess(
        size=config["input_size"][-1],
        resize=None,
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        fit="squeeze",
    )


def encoder_order(spec: SegmenterBase) -> tuple[str, ...]:
    """Return the names of a whole classifier's tensors in order, as its encoder has them here."""
    import timm
    import torch

    with torch.device("meta"):
        classifier = timm.create_model(spec.pretrained_encoder)
    return tuple(f"encoder.model.{name}" for name in classifier.state_dict())


def check_encoder(network: nn.Module, tensors: Mapping[str, Tensor], file: str) -> None:
    """Make sure that a classifier's file has all that the encoder needs.

    Raises:
        WeightsError: If it has not.
    """
    own = {name: t for name, t in network.state_dict().items() if name.startswith("encoder.")}
    absent = [n for n, t in own.items() if n not in tensors or tensors[n].shape != t.shape]
    if absent:
        message = f"{file} lacks {len(absent)} of the encoder's tensors, such as {absent[0]}"
        raise WeightsError(message, hint="Check model.encoder and model.weights.")
