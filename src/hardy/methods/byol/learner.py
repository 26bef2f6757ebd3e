"""What BYOL trains: a network with two heads, and a target that follows it.

Grill et al. 2020, "Bootstrap your own latent", arXiv:2006.07733. With the network f, the projector
g, the predictor q, their slower copies f' and g', and two views v, v' of an image, the loss is the
mean over samples of

    [2 - 2 cos(q(g(f(v))), g'(f'(v')))] + [2 - 2 cos(q(g(f(v'))), g'(f'(v)))],

without a gradient into f' and g', whose parameters θ' follow by θ' ← m θ' + (1 - m) θ.
"""

import copy
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from hardy.core.seeding import derive
from hardy.data.item import Batch
from hardy.methods.byol.monitors import MOST, floor_of, monitors_of
from hardy.methods.byol.pictures import SHOWN, pairs, pixels_of
from hardy.methods.byol.probe import OnlineProbe
from hardy.methods.byol.spec import ByolSpec, Heads
from hardy.methods.byol.views import sigma_of, views_of_batch
from hardy.methods.fitting import Source
from hardy.methods.learner import Learner, Means
from hardy.methods.neighbours import neighbour_log_probabilities
from hardy.models import head
from hardy.models.model import Model
from hardy.models.state import bare
from hardy.tasks.base import Task

_MOST = 2**63 - 1


def head_of(width: int, heads: Heads) -> nn.Sequential:
    """Return Linear - BatchNorm - ReLU - Linear."""
    return nn.Sequential(
        nn.Linear(width, heads.hidden),
        nn.BatchNorm1d(heads.hidden),
        nn.ReLU(inplace=True),
        nn.Linear(heads.hidden, heads.size),
    )


def distance(foretold: Tensor, target: Tensor) -> Tensor:
    """Return 2 - 2 cos of rows (B, K), in float32: (B,)."""
    return 2 - 2 * functional.cosine_similarity(foretold.float(), target.float(), dim=1)


def momentum_at(spec: ByolSpec, step: int, steps: int) -> float:
    """Return the momentum of a step, counted from 1: m_T - (m_T - m_0)(cos(π (t - 1)/T) + 1)/2."""
    if spec.momentum_to is None:
        return spec.momentum
    left = (math.cos(math.pi * (step - 1) / steps) + 1) / 2
    return spec.momentum_to - (spec.momentum_to - spec.momentum) * left


class ByolLearner(Learner):
    """The network, its heads, their slower copies, and what judges the features meanwhile.

    Args:
        model: Its network is trained in place; its head stays as it is.
        spec: Schedule, views, heads.
        task: Judges answers; by labels, where it is about them.
        source: Samples to learn from, of which some are the bank.
        say: Told when features collapse.
        picture: Takes pictures by their paths.
        autocast: Gives the precision of answers, in which the bank is computed too.

    Attributes:
        target: The network's slower copy, under the same names.
        target_projector: The projector's.
        highest: The highest value that each monitor had.
        collapsed: The epoch in which features collapsed; 0 for none.
    """

    spec: ByolSpec
    highest: Tensor
    collapsed: Tensor

    def __init__(
        self,
        model: Model,
        spec: ByolSpec,
        task: Task,
        source: Source,
        *,
        say: Callable[[str], None] = lambda _: None,
        picture: Callable[[str, Image.Image], None] = lambda *_: None,
        autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        super().__init__(model.network, spec)
        self.task, self.preprocess = task, model.preprocess
        self._source, self._say, self._picture = source, say, picture
        self._autocast = autocast
        self._head = head.find(bare(model.network))
        self._epochs, self._steps = spec.lasts(len(source))
        self._epoch = 0
        width = self._width()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(source.seed, "byol") & _MOST)
            self.projector = head_of(width, spec.projector)
            size = spec.projector.size
            self.predictor = head_of(size, spec.predictor) if spec.predictor else nn.Identity()
        self.target = copy.deepcopy(model.network).requires_grad_(requires_grad=False)
        self.target_projector = copy.deepcopy(self.projector).requires_grad_(requires_grad=False)
        self.labelled = task.target == "label" and bool(task.names)
        wanted = self.labelled and spec.online_probe is not False
        self.probe = OnlineProbe(width, len(task.names)) if wanted else None
        self._bank: Bank | None = None
        # They go into checkpoints: a training that goes on knows what was, and has said it once.
        self.register_buffer("highest", torch.zeros(4))
        self.register_buffer("collapsed", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def _width(self) -> int:
        parameter = next(self.network.parameters())
        shape = self.preprocess.height, self.preprocess.width
        mode = self.network.training
        self.network.eval()
        grey = torch.zeros(1, 3, *shape, device=parameter.device)
        width = head.features(bare(self.network), grey, self._head).shape[1]
        self.network.train(mode)
        return width

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the target's parts are in that of what they follow.

        So in training its batch norms go by the batch, as the paper's do.
        """
        super().train(mode)
        for ours, theirs in self._pairs():
            for one, other in zip(ours.modules(), theirs.modules(), strict=True):
                other.training = one.training
        return self

    def _pairs(self) -> tuple[tuple[nn.Module, nn.Module], ...]:
        return (self.network, self.target), (self.projector, self.target_projector)

    def features(self, images: Tensor) -> Tensor:
        """Return the network's features (B, D) of normalised images."""
        return head.features(bare(self.network), images, self._head)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mean loss of a batch, differentiable."""
        views = self._views(batch)
        losses, features = self._losses(*views)
        if self.training:
            if self.probe is not None and batch.targets.label is not None:
                self.probe.learn(features.detach(), batch.targets.label)
            if batch.step == 0 and batch.epoch in self.spec.view_grids:
                self._draw(views, batch.epoch)
        return {"loss": losses.mean()}

    def _views(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return views_of_batch(batch, self.spec, self.preprocess, self.sigma(batch.epoch))

    def _losses(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Return each sample's loss (B,), and the features of the second views (B, D)."""
        features = [self.features(view) for view in (first, second)]
        foretold = [self.predictor(self.projector(each)) for each in features]
        with torch.no_grad():
            network = bare(self.target)
            wanted = [
                self.target_projector(head.features(network, view, self._head))
                for view in (first, second)
            ]
        return distance(foretold[0], wanted[1]) + distance(foretold[1], wanted[0]), features[1]

    def sigma(self, epoch: int) -> float:
        """Return the noise of an epoch, counted from 1; of validation for 0."""
        noise, stated = self.spec.noise, self.spec.validate_sigma
        if noise is None:
            return 0.0
        if epoch == 0 and isinstance(stated, int | float):
            return stated
        if epoch == 0:
            epoch = self._epoch if stated == "current" else self._epochs
        return sigma_of(noise, epoch, self._epochs)

    @torch.no_grad()
    def measure(self, batch: Batch) -> tuple[Means, Tensor | None]:
        """Return the loss of a validation batch, and answers for its plain images."""
        losses, features = self._losses(*self._views(batch))
        means: dict[str, Tensor | float] = {"loss": losses.mean()}
        if self.spec.augment:
            features = self.features(self._plain(batch))
        if not self.labelled:
            return means, self.task.answer(features)
        if self.probe is not None and batch.targets.label is not None:
            right = self.probe(features).argmax(1) == batch.targets.label
            means["probe_accuracy"] = right.float().mean()
        return means, self.task.answer(self.bank().votes(features, self.spec, self.task))

    def _plain(self, batch: Batch) -> Tensor:
        """Return a batch as it is, normalised; before `shift`, where there is one."""
        image = batch.targets.image
        pixels = self.preprocess.normalise(batch.inputs if image is None else image)
        return pixels.contiguous(memory_format=torch.channels_last)

    def merit(self, measures: Mapping[str, float]) -> float:
        """Return the neighbours' accuracy where there are labels, else the loss turned about."""
        # A mean over batches may differ in its last bits where as many samples are right.
        if self.labelled and "accuracy" in measures:
            return round(measures["accuracy"], 9)
        return -measures["loss"]

    def start_epoch(self, epoch: int) -> dict[str, float]:
        """Return the noise and the momentum that the epoch begins with."""
        self._epoch = epoch
        if not self.highest.any():  # before the first step
            self.highest.copy_(self._seen())
        done = (epoch - 1) * self.spec.batches(len(self._source))
        noted = {"momentum": momentum_at(self.spec, done + 1, self._steps)}
        return noted | ({"sigma": self.sigma(epoch)} if self.spec.noise is not None else {})

    @torch.no_grad()
    def end_step(self, step: int) -> None:
        """Move the target: its parameters; its buffers are its own, such as running statistics."""
        share = 1 - momentum_at(self.spec, step, self._steps)
        for ours, theirs in self._pairs():
            torch._foreach_lerp_(list(theirs.parameters()), list(ours.parameters()), share)

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Return how far the bank's features spread, and the projections; say if they collapse."""
        found = self.bank().monitors
        highest = dict(zip(found, self.highest.tolist(), strict=True))
        fallen = [name for name in found if found[name] < floor_of(name, highest[name])]
        if fallen and not self.collapsed:
            self.collapsed.fill_(epoch)
            told = [f"{n} is {found[n]:.3g}, once {highest[n]:.3g}" for n in fallen]
            self._say(
                f"warning: the features collapse in epoch {epoch}: {'; '.join(told)}. All images "
                "become alike: lower method.optimizer.lr, or raise method.momentum"
            )
        self.highest.copy_(self.highest.maximum(self._seen()))
        return {**found, "collapsed": float(bool(fallen))}

    def _seen(self) -> Tensor:
        return torch.tensor(list(self.bank().monitors.values()), device=self.highest.device)

    def refresh(self) -> None:
        """Let the bank be computed anew when it is next asked for."""
        self._bank = None

    def bank(self) -> "Bank":
        """Return features of training samples by the weights as they are, in evaluation mode."""
        if self._bank is None:
            mode = self.training
            self.eval()
            with self._autocast():
                self._bank = self._filled()
            self.train(mode)
        return self._bank

    @torch.no_grad()
    def _filled(self) -> "Bank":
        count, most = len(self._source), self.spec.neighbours.bank
        drawn = torch.Generator().manual_seed(derive(self._source.seed, "bank") & _MOST)
        order = torch.randperm(count, generator=drawn)[:most].tolist()
        features, labels = [], []
        for batch in self._source.batches(order, self.spec.batch, 0):
            features.append(self.features(self._plain(batch)).float())
            if self.labelled and batch.targets.label is not None:
                labels.append(batch.targets.label)
        found = torch.cat(features)
        few = found[:MOST]
        monitors = monitors_of("features", few) | monitors_of("projections", self._projected(few))
        unit = functional.normalize(found, dim=1)
        return Bank(unit, torch.cat(labels) if labels else None, monitors)

    def _projected(self, features: Tensor) -> Tensor:
        """Return projections by the statistics of these features: running ones lag behind."""
        into, norm, relu, out = self.projector
        gains: Any = {"weight": norm.weight, "bias": norm.bias}
        hidden = functional.batch_norm(into(features), None, None, training=True, **gains)
        projected: Tensor = out(relu(hidden))
        return projected

    def _draw(self, views: tuple[Tensor, Tensor], epoch: int) -> None:
        first, second = (pixels_of(view[:SHOWN].detach(), self.preprocess) for view in views)
        what = "augmented" if self.spec.augment else "clean"
        noisy = what
        if self.spec.shift is not None:
            noisy = self.spec.shift.label
        elif self.spec.noise is not None:
            noisy = f"{what}, noise σ {self.sigma(epoch):.3g} ({self.spec.noise.space})"
        titles = f"epoch {epoch}, view 1: {noisy}", f"view 2: {what}"
        self._picture(f"views/epoch-{epoch:04d}.png", pairs(first, second, titles))


class Bank:
    """Features of training samples.

    Args:
        features: (N, D), each of length 1.
        labels: (N,); None where there are none.
        monitors: What tells whether they collapse, by name.
    """

    def __init__(
        self, features: Tensor, labels: Tensor | None, monitors: Mapping[str, float]
    ) -> None:
        self.features, self.labels, self.monitors = features, labels, dict(monitors)

    def votes(self, features: Tensor, spec: ByolSpec, task: Task) -> Tensor:
        """Return log-probabilities (B, C) of the task's classes for features (B, D)."""
        assert self.labels is not None  # noqa: S101 - for mypy
        about = spec.neighbours
        given = features, self.features, self.labels, len(task.names)
        return neighbour_log_probabilities(*given, about.k, about.temperature)
