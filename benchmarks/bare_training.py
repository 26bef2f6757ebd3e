"""The loop that one writes without hardy: torch, torchvision, and nothing that is kept track of."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Sampler
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, PILToTensor, Resize
from torchvision.transforms.functional import pil_to_tensor

from hardy.core.seeding import generator
from hardy.data.dataset import Dataset
from hardy.data.preprocess import Preprocess
from hardy.engine.setup import Setup
from hardy.methods.optim import schedule
from hardy.models import head

LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}

Item = tuple[Tensor, int, int]


class Files(ImageFolder):
    """Photographs of a dataset as uint8 (3, h, w), each with its class and its place.

    Args:
        dataset: Names the files and their order.
        root: Its folder of class folders.
        preprocess: Geometry of the network's input.
    """

    def __init__(self, dataset: Dataset, root: Path, preprocess: Preprocess) -> None:
        filters = {"bicubic": InterpolationMode.BICUBIC, "bilinear": InterpolationMode.BILINEAR}
        resize = Resize(preprocess.resize or preprocess.size, filters[preprocess.interpolation])
        crop = CenterCrop([preprocess.height, preprocess.width])
        super().__init__(str(root), Compose([resize, crop, PILToTensor()]))
        self.samples = [(str(sample.path), sample.label) for sample in dataset.samples]

    def __getitem__(self, place: int) -> Item:
        image, label = super().__getitem__(place)
        return image, label, place


class Order(Sampler[int]):
    """Places, in an order that each epoch sets."""

    def __init__(self) -> None:
        self.places: Sequence[int] = ()

    def __iter__(self) -> Iterator[int]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


class FromFiles:
    """Batches by a DataLoader, each epoch anew; its workers stay from round to round."""

    def __init__(self, files: Files, batch: int, workers: int) -> None:
        self.order = Order()
        self.loader = DataLoader(
            files, batch, sampler=self.order, num_workers=workers, persistent_workers=workers > 0
        )

    def start(self) -> None:
        """Forget what was read."""

    def batches(self, order: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield levels (B, 3, h, w), uint8, and classes (B,)."""
        self.order.places = order
        for images, labels, _ in self.loader:
            yield images, labels


class FromMemory:
    """Batches of what lies in memory: decoded by a DataLoader the first time, or there before."""

    def __init__(
        self, batch: int, *, levels: Tensor | None = None, labels: Tensor, files: FromFiles | None
    ) -> None:
        self.batch, self.levels, self.labels, self.files = batch, levels, labels, files
        self.there = files is None

    def start(self) -> None:
        """Forget what was read from files."""
        self.there = self.files is None

    def batches(self, order: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield levels (B, 3, h, w), uint8, and classes (B,)."""
        if self.there or self.files is None:
            for places in torch.tensor(order).split(self.batch):
                yield self.levels[places], self.labels[places]  # type: ignore[index]
            return
        self.files.order.places = order
        for images, labels, places in self.files.loader:
            if self.levels is None:
                self.levels = torch.empty((len(self.labels), *images.shape[1:]), dtype=torch.uint8)
            self.levels[places] = images
            yield images, labels
        self.there = True


Reader = FromFiles | FromMemory


@dataclass(frozen=True)
class Bare:
    """A loop over epochs: train, validate, save the weights where they are the best so far.

    Attributes:
        network: Its initial weights.
        kept: Outputs that are classes here; None for all.
        layout: Of weights and images in memory.
        preprocess: Normalisation.
        head: Name of the layer that learns; empty for all.
        fit: Samples to learn from.
        validate: Those that each epoch is measured on.
        orders: Places of the samples to learn from, epoch by epoch.
        validated: How many they are.
        lr: Highest learning rate of AdamW.
        decay: Weight decay of all but gains and biases.
        share: Share of the highest rate at a step, counted from 0.
        file: Where the best weights go.
    """

    network: nn.Module
    kept: list[int] | None
    layout: torch.memory_format
    preprocess: Preprocess
    head: str
    fit: Reader
    validate: Reader
    orders: list[list[int]]
    validated: int
    lr: float
    decay: float
    share: Callable[[int], float]
    file: Path

    def __call__(self) -> list[dict[str, float]]:
        """Return each epoch's training loss, validation loss and accuracy."""
        self.fit.start()
        self.validate.start()
        network = deepcopy(self.network).to(memory_format=self.layout)
        if self.head:
            network.requires_grad_(False)
            network.get_submodule(self.head).requires_grad_(True)
        learned = [p for p in network.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in learned if p.ndim > 1], "weight_decay": self.decay},
            {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, self.lr)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.share)
        measures, highest = [], -1.0
        for order in self.orders:
            network.train(not self.head)  # a frozen part's batch norms count nothing
            total = 0.0
            for levels, labels in self.fit.batches(order):
                loss = functional.cross_entropy(self._outputs(network, levels), labels)
                loss.backward()
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
                total += float(loss.detach()) * len(labels)
            found = {"loss": total / len(order), **self._validated(network)}
            measures.append(found)
            if found["accuracy"] > highest:
                highest = found["accuracy"]
                torch.save(network.state_dict(), self.file)
        return measures

    @torch.no_grad()
    def _validated(self, network: nn.Module) -> dict[str, float]:
        network.eval()
        total, right = 0.0, 0
        for levels, labels in self.validate.batches(range(self.validated)):
            outputs = self._outputs(network, levels)
            total += float(functional.cross_entropy(outputs, labels)) * len(labels)
            right += int((outputs.argmax(1) == labels).sum())
        return {"validation": total / self.validated, "accuracy": right / self.validated}

    def _outputs(self, network: nn.Module, levels: Tensor) -> Tensor:
        mean, std = (
            255 * torch.tensor(each).view(1, 3, 1, 1)
            for each in (self.preprocess.mean, self.preprocess.std)
        )
        images = levels.to(torch.float32, memory_format=self.layout).sub_(mean).div_(std)
        outputs: Tensor = network(images)
        return outputs if self.kept is None else outputs[:, self.kept]


def bare(setup: Setup, reads: dict[str, Reader], layout: torch.memory_format, file: Path) -> Bare:
    """Return the bare loop over the same samples with the same initial weights."""
    data, method = setup.data, setup.experiment.method
    count = len(data["fit"].samples)
    seed = setup.experiment.seed
    epochs = range(1, method.epochs + 1)
    steps = method.epochs * -(-count // method.batch)
    return Bare(
        network=setup.model.network,
        kept=setup.model.model_indices,
        layout=layout,
        preprocess=setup.model.preprocess,
        head=head.find(setup.model.network) if method.tune == "head" else "",
        fit=reads["fit"],
        validate=reads["validate"],
        orders=[generator(seed, "order", e).permutation(count).tolist() for e in epochs],
        validated=len(data["validate"].samples),
        lr=method.optimizer.lr,
        decay=method.optimizer.weight_decay,
        share=lambda step: schedule(min(step, steps - 1), steps, method.warmup),
        file=file,
    )


def readers(setup: Setup, root: Path, workers: int, *, keeps: bool) -> dict[str, Reader]:
    """Return what reads the samples to learn from, and those to validate.

    Args:
        setup: The experiment's parts.
        root: Folder of the photographs; images of 32 pixels lie in memory beforehand.
        workers: Of a DataLoader.
        keeps: Whether images stay in memory once they are decoded.
    """
    found: dict[str, Reader] = {}
    batch = setup.experiment.method.batch
    for role in ("fit", "validate"):
        dataset = setup.data[role]
        labels = torch.tensor([sample.label for sample in dataset.samples])
        if setup.model.preprocess.side == 32:
            levels = torch.stack([pil_to_tensor(dataset.read(each)) for each in dataset.samples])
            found[role] = FromMemory(batch, levels=levels, labels=labels, files=None)
            continue
        files = FromFiles(Files(dataset, root, setup.model.preprocess), batch, workers)
        found[role] = FromMemory(batch, labels=labels, files=files) if keeps else files
    return found
