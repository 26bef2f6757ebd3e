"""Decoders of segmentation-models-pytorch over timm's encoders; sides that they refuse are padded.

Their tensors have the library's own names, so that weights go both ways.
"""

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from hardy.core.errors import SpecError
from hardy.models.segmenters.padded import Padded
from hardy.models.segmenters.spec import SmpModel


class _Padded(Padded):
    """A network of smp's that says what must divide its sides."""

    @property
    def multiple(self) -> int:  # type: ignore[override]  # known once the encoder is there
        """The encoder's coarsest scale, in pixels."""
        return int(self.encoder.output_stride)  # type: ignore[arg-type, union-attr]

    def planes(self, images: Tensor) -> Tensor:
        """Map images whose sides fit, as the library does."""
        return smp.base.SegmentationModel.forward(self, images)  # type: ignore[no-any-return]


class _Linknet(_Padded, smp.Linknet):  # type: ignore[misc]  # the library has no types
    pass


class _FPN(_Padded, smp.FPN):  # type: ignore[misc]
    pass


class _DeepLabV3Plus(_Padded, smp.DeepLabV3Plus):  # type: ignore[misc]
    pass


_NETWORKS = {
    "linknet": _Linknet,
    "unet": smp.Unet,  # takes any size
    "fpn": _FPN,
    "deeplabv3plus": _DeepLabV3Plus,
}


def build_smp(spec: SmpModel, outputs: int, *, pretrained: bool) -> nn.Module:
    """Build a network of smp's.

    Args:
        spec: Decoder and encoder.
        outputs: Channels of the answer.
        pretrained: Whether the library fetches the encoder's weights.

    Raises:
        SpecError: If the decoder cannot stand on the encoder.
    """
    try:
        network: nn.Module = _NETWORKS[spec.name](
            encoder_name=spec.encoder,
            encoder_weights=True if pretrained else None,
            classes=outputs,
        )
    # smp checks no encoder beforehand: its decoders meet features of other scales or layouts, and
    # fail as whatever line first uses them does. All of it is a choice that the spec made.
    except (ValueError, TypeError, NotImplementedError, AssertionError, IndexError) as error:
        reason = (str(error).strip().splitlines() or [repr(error)])[0]
        message = f"model.encoder: {spec.name} cannot stand on {spec.encoder}: {reason}"
        raise SpecError(message, hint="Take another encoder, or another decoder.") from error
    return network
