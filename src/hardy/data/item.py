"""What is known of samples beside their images."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Targets(NamedTuple):
    """The truth of B samples; a part that the dataset lacks, or that no one asked for, is None.

    Attributes:
        label: Classes (B,), int64.
        mask: Classes of pixels (B, h, w), int64, moved along with the image to the network's size;
            the dataset's `void` counts for nothing.
        image: The image before any shift (B, 3, h, w), in [0, 255].
        caption: What the samples show, in words; empty where the dataset has no captions.
    """

    label: "Tensor | None" = None
    mask: "Tensor | None" = None
    image: "Tensor | None" = None
    caption: tuple[str, ...] = ()


class Batch(NamedTuple):
    """Samples as a training sees them, on the model's device.

    Attributes:
        inputs: Images (B, 3, h, w) in [0, 255].
        targets: Their truth.
        ids: The samples' stable names; with the seed and the epoch, they derive every random
            number.
        seed: The experiment's seed.
        epoch: Counted from 1; 0 where the batch is only measured, and nothing is drawn.
    """

    inputs: "Tensor"
    targets: Targets
    ids: tuple[str, ...]
    seed: int = 0
    epoch: int = 0
