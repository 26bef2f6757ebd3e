"""Samples as they are handed on: prepared one by one, or in batches; and what is known of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from hardy.core.seeding import generator, torch_generator

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from hardy.data.preprocess import Preprocess


class OwnMask(NamedTuple):
    """A mask at its image's own size, and how the image came to the network's.

    Attributes:
        mask: Classes of pixels (h, w), int64.
        preprocess: The geometry of the network's input.
    """

    mask: "Tensor"
    preprocess: "Preprocess"


MIRROR = "mirror"
"""The name of the operation after which a view shows left on the right, and nothing else moved."""


class Targets(NamedTuple):
    """The truth of B samples; a part that the dataset lacks, or that no one asked for, is None.

    Attributes:
        label: Classes (B,), int64.
        mask: Classes of pixels (B, h, w), int64, moved along with the image to the network's size;
            the dataset's `void` counts for nothing.
        image: The image before any shift (B, 3, h, w), in [0, 255].
        caption: What the samples show, in words; empty where the dataset has no captions.
        own: The masks at the images' own sizes; empty unless answers are scored there.
    """

    label: "Tensor | None" = None
    mask: "Tensor | None" = None
    image: "Tensor | None" = None
    caption: tuple[str, ...] = ()
    own: tuple[OwnMask, ...] = ()


class Batch(NamedTuple):
    """Samples as a training sees them, on the model's device.

    What is drawn at random is drawn for the whole batch, of which these are the rows of one
    process, so that it depends on neither the number of processes nor the device of the network.

    Attributes:
        inputs: Images (B, 3, h, w) in [0, 255], or features (B, D).
        targets: Their truth.
        ids: The samples' stable names.
        seed: The experiment's seed.
        epoch: Counted from 1; 0 where the batch is only measured, and nothing is drawn.
        step: Number of the batch within the epoch, from 0.
        rank: Which of the processes that share the batch has these rows.
        ranks: How many share it; the rows are `rank::ranks` of it.
        whole: Rows of the batch over all processes; 0 for as many as there are here.
    """

    inputs: "Tensor"
    targets: Targets
    ids: tuple[str, ...]
    seed: int = 0
    epoch: int = 0
    step: int = 0
    rank: int = 0
    ranks: int = 1
    whole: int = 0

    def uniform(self, name: str, columns: int) -> "Tensor":
        """Return numbers (B, columns) in [0, 1), float32, the same on every device.

        Args:
            name: What they are for; together with the seed, the epoch and the step, it says which
                numbers they are.
            columns: How many a sample.
        """
        import numpy as np
        import torch

        rng = generator(self.seed, name, self.epoch, self.step)
        drawn = rng.random((self.whole or len(self.ids), columns), np.float32)
        return torch.from_numpy(drawn[self.rank :: self.ranks]).to(self.inputs.device)

    def normal(self, name: str, shape: tuple[int, ...]) -> "Tensor":
        """Return standard normal numbers (B, *shape), float32, drawn on the device.

        Args:
            name: As in `uniform`.
            shape: A sample's.
        """
        import torch

        device = self.inputs.device
        rng = torch_generator(self.seed, name, self.epoch, self.step, device=device)
        rows = self.whole or len(self.ids)
        drawn = torch.randn(rows, *shape, generator=rng, dtype=torch.float32, device=device)
        return drawn[self.rank :: self.ranks]


@dataclass(frozen=True)
class Prepared:
    """A sample, ready for the network but for the normalisation.

    Attributes:
        index: Its place in the dataset's manifest.
        id: Its name in the manifest.
        targets: Its truth, of one sample (1, ...): its class and caption where the dataset has
            any, and what was asked for beside them.
        pixels: Views (V, 3, H, W) in [0, 255], uint8 or float32; view 0 is the unchanged image.
        names: For each view, the operations it went through; none for view 0.
        ms: Time that decoding, shift and views took, in milliseconds.
        stages: What of it some answers need alone, in milliseconds: `read`, from the file to the
            image; `image`, from there to the unchanged image at the network's size; `views.K`, the
            Kth further set, from the image.
        canvas: The image that views are cut from, (h, w, 3) of uint8, where it was asked for and
            is not the unchanged image itself.
        others: The views of each further set, like `pixels`.
    """

    index: int
    id: str
    targets: Targets
    pixels: "Tensor"
    names: list[list[str]]
    ms: float
    canvas: "np.ndarray | None" = None
    others: "tuple[Tensor, ...]" = ()
    stages: Mapping[str, float] = field(default_factory=dict)


def mirrored(names: Sequence[Sequence[str]]) -> tuple[bool, ...]:
    """Return which views are mirrored, by the operations that each went through."""
    return tuple(MIRROR in each for each in names)


@dataclass(frozen=True)
class BadSample:
    """A sample whose file is broken; the engine decides whether to stop or to go on.

    Attributes:
        index: Its place in the dataset's manifest.
        id: Its name in the manifest.
        reason: What is wrong with which file.
        hint: What to do about it.
    """

    index: int
    id: str
    reason: str
    hint: str = ""
