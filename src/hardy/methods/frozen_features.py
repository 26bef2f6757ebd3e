"""Features by a network that does not learn: of each sample once, kept for other runs."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from hardy.core.seeding import torch_generator
from hardy.data.item import Batch
from hardy.methods.base_spec import MethodBase, Role
from hardy.methods.fitting import Work
from hardy.methods.tensor_source import TensorSource
from hardy.models import head
from hardy.models.model import Model

_KIND = "head-inputs"


@dataclass(frozen=True)
class Features:
    """What the head is given of a role's samples, on the CPU.

    Attributes:
        inputs: (L, N, D), float32: of each level of noise, of each sample.
        labels: Classes (N,), int64.
        ids: The samples' names.
    """

    inputs: Tensor
    labels: Tensor
    ids: tuple[str, ...]

    def source(self, work: Work) -> TensorSource:
        """Return all rows, those of one level after those of the other, for a training."""
        levels = len(self.inputs)
        return TensorSource(
            self.inputs.flatten(0, 1).to(work.device),
            self.labels.repeat(levels).to(work.device),
            self.ids * levels,
            work.seed,
        )


def features_of(
    work: Work, role: Role, model: Model, spec: MethodBase, noise: Sequence[float] = (0.0,)
) -> Features:
    """Return features of a role's samples, which are evaluation's pixels under its shift.

    The network is in evaluation mode, and nothing of it moves. It sees as many samples at once as
    in answering.

    Args:
        work: The engine's.
        role: Whose samples.
        model: Its network makes the features.
        spec: The method's schema, which says how many samples are answered together.
        noise: Standard deviations of normal noise on the normalised pixels, each drawn by the seed,
            the level and the sample; 0 for none.
    """
    known, made = work.data(role), []
    block = spec.block(model.preprocess.height, model.preprocess.width, work.device.type)

    def make() -> dict[str, Tensor]:
        made.append(role)
        work.say(f"computes features of {len(known.samples)} samples ({role})")
        return _computed(work, role, model, block, noise)

    found = work.kept(_KIND, {"noise": list(noise), "block": block}, make, role)
    inputs, labels, places = (found[name] for name in ("features", "labels", "places"))
    levels, count, width = inputs.shape
    rows = f"{levels * count:,} features of {width}"
    how = "" if made else " (kept)"
    work.say(f"{rows} from {count:,} samples to {role}, by a network that stays as it is{how}")
    ids = tuple(known.samples[place].id for place in places.tolist())
    return Features(inputs, labels, ids)


@torch.no_grad()
def _computed(
    work: Work, role: Role, model: Model, block: int, noise: Sequence[float]
) -> dict[str, Tensor]:
    model.eval()
    source = work.source(role)
    place_of = {sample.id: place for place, sample in enumerate(work.data(role).samples)}
    found: list[list[Tensor]] = [[] for _ in noise]
    labels: list[Tensor] = []
    places: list[int] = []
    with closing(source.batches(range(len(source)), block, 0)) as batches, work.autocast():
        for batch in batches:
            pixels = batch.inputs.contiguous(memory_format=torch.channels_last)  # as in answering
            images = model.preprocess.normalise(pixels)
            for level, rows in zip(noise, found, strict=True):
                seen = images + level * _noise(batch, level) if level else images
                rows.append(head.features(model.network, seen).float().cpu())
            if batch.targets.label is not None:
                labels.append(batch.targets.label.cpu())
            places += [place_of[id_] for id_ in batch.ids]
    return {
        "features": torch.stack([torch.cat(rows) for rows in found]),
        "labels": torch.cat(labels),
        "places": torch.tensor(places),
    }


def _noise(batch: Batch, level: float) -> Tensor:
    """Draw normal numbers like a batch's images, those of a sample whatever the batch.

    On the CPU: a GPU's generator draws others from the same seed.
    """
    drawn = [
        torch.randn(
            batch.inputs.shape[1:], generator=torch_generator(batch.seed, "noise", repr(level), id_)
        )
        for id_ in batch.ids
    ]
    return torch.stack(drawn).to(batch.inputs.device)
