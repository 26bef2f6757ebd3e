"""Test-time prompt tuning (TPT).

Shu et al. 2022, "Test-Time Prompt Tuning for Zero-Shot Generalization in Vision-Language Models",
arXiv:2209.07511. For each test point x, with views x_1..x_B and the set S of the most confident:
p' = p - η ∇_p H( (1/|S|) Σ_{i∈S} P_p(·|x_i) ), P_p(y|x) = softmax_y( exp(s) f(x) · t_p(y) ), t_p(y)
the text feature of class y in prompt p; then ŷ = argmax P_p'(·|x), then p again.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hardy.core.cache import Cache
from hardy.core.errors import SpecError
from hardy.methods.adapter import Adapter
from hardy.methods.base import Subject
from hardy.methods.features import FeatureMemory
from hardy.methods.marginal import select_confident
from hardy.methods.optim import build_optimizer
from hardy.methods.snapshot import Snapshot
from hardy.methods.tpt.align import Aligner
from hardy.methods.tpt.context import prompt_tokens, read_context, start_values
from hardy.methods.tpt.spec import TptSpec
from hardy.models.clip.text import PromptEncoder
from hardy.models.clip.zero_shot import ZeroShot
from hardy.models.model import Model
from hardy.models.state import state_sha256
from hardy.tasks.base import Task


class Tpt(Adapter):
    """Tunes the tokens of a prompt to one test point by a step or more, then answers.

    Beside an adapter's answers it gives `zero_shot`, the untuned prompt's on the unchanged image:
    `source` may use other templates.

    Args:
        model: The source model, whose network is a `ZeroShot`.
        spec: Context, views to select, steps, optimizer.

    Raises:
        SpecError: If the model is none of images and texts, or a prompt is too long for it.
        WeightsError: If a checkpoint is absent, or does not fit.
    """

    looks = ("views", "encode")
    remembers = True

    def __init__(self, model: Model, spec: TptSpec) -> None:
        super().__init__(model)
        self.spec: TptSpec = spec
        self.network = _zero_shot(model)
        clip: Any = self.network.clip
        tokenizer, names = self.network.tokenizer, self.network.class_names
        embedding = getattr(clip, "text", clip).token_embedding.weight.detach()
        self.context = read_context(spec.context, tokenizer.encode, embedding, len(names))
        prompts = prompt_tokens(
            self.context, names, tokenizer, clip.context_length, learn_classes=spec.learn_classes
        )
        self.encoder = PromptEncoder(clip, prompts)
        self._width, self._classes = embedding.shape[1], len(names) if spec.learn_classes else 0
        self.rows = nn.Parameter(self._values(0))
        self.tuned = [self.rows]
        self.optimizer = build_optimizer(spec.optimizer, [self.rows])
        self.aligner = Aligner(clip.visual, spec) if spec.align_steps else None
        self.source = Snapshot([self.network.text_features])
        self.memory = FeatureMemory("this process")
        self._seed: int | None = None
        self._seen: Subject | None = None

    def remember(self, cache: Cache | None, precision: str) -> None:
        """Keep the features of views, which no step on a prompt changes, in a cache."""
        encoder = f"{state_sha256(self.network.clip.visual)} {precision}"  # type: ignore[arg-type]
        self.memory = FeatureMemory(encoder, cache)

    def prepare(self, subjects: Sequence[Subject]) -> None:
        """Encode the views of several images in one batch."""
        self.memory.of([subject.views for subject in subjects], self._encode)

    @torch.no_grad()
    def before(self, subject: Subject) -> Tensor:
        """Return the unchanged image's logits (C,) by the source model's own texts."""
        return self._compare(self._look(subject)[:1], self.network.text_features)[0]

    def begin(self, subject: Subject) -> None:
        """Take up an image: the prompt as it begins, and the views that it finds confident."""
        source = self._look(subject)
        self._image = source[:1]
        self._texts: Tensor | None = self._begin_prompt(subject.seed)
        views = self.spec.views.for_loss(source)
        with torch.no_grad():
            self._untuned = self._compare(self._image, self._texts)[0]
            everything = self._compare(views, self._texts)
        self.selected = select_confident(everything, self.spec.keep(len(views)))
        self.stages.done("ensemble")
        self.first = everything[self.selected]
        self._chosen = views[self.selected]
        if self.aligner:
            self._align(subject, self.aligner)

    def logits(self) -> Tensor:
        """Return the selected views' logits (n, C) with a graph to the prompt."""
        texts, self._texts = self._texts, None
        return self._compare(self._chosen, self.encoder(self.rows) if texts is None else texts)

    def step(self) -> None:
        """Take an optimizer step, and drop the gradients."""
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.no_grad()
    def answer(self) -> Tensor:
        """Return the unchanged image's logits (C,) by the prompt as tuned so far.

        The network then compares images with this prompt, until `reset`.
        """
        texts = self.encoder(self.rows)
        self.network.text_features.copy_(texts)
        return self._compare(self._image, texts)[0]

    def further(self) -> dict[str, Tensor]:
        """Return the untuned prompt's logits (C,) on the unchanged image."""
        return {"zero_shot": self._untuned}

    def needs(self) -> dict[str, tuple[str, ...]]:
        """Return the stages that each answer needs.

        The unchanged image is encoded along with its views: what `source` takes is not known.
        """
        return {name: stages for name, stages in super().needs().items() if name != "source"}

    def reset(self) -> None:
        """Restore the network in place, drop gradients and the optimizers' state."""
        self.source.restore()
        self.optimizer.zero_grad()
        self.optimizer.state.clear()
        self._texts = None
        if self.aligner:
            self.aligner.restore()

    @torch.no_grad()
    def _encode(self, views: Tensor) -> Tensor:
        return self.network.image_features(views)

    def _look(self, subject: Subject) -> Tensor:
        """Return all views' features (V, D) by the source model, computed once an image."""
        if self._seen is not subject:
            known = self.memory.encoded
            (self._source,) = self.memory.of([subject.views], self._encode)
            self._seen = subject
            if self.memory.encoded > known:
                self.stages.done("encode")
            else:
                self.stages.skip()
        return self._source

    def _compare(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return logits (B, C) in float32, whatever the precision around it."""
        with torch.autocast(images.device.type, enabled=False):
            return self.network.compare(images.float(), texts)

    def _begin_prompt(self, seed: int) -> Tensor:
        """Put the tuned tokens where they begin; return the texts' features, with a graph."""
        shift = self.context.shift
        if self._seed != seed:
            self._seed, self._start = seed, self._values(seed)
            self._kept = None if shift else self.encoder.remember(self._start)
        with torch.no_grad():
            self.rows.copy_(self._start)
            if shift:
                self.rows[: self.context.count] += shift(self._image)
        return self._kept(self.rows) if self._kept else self.encoder(self.rows)

    def _values(self, seed: int) -> Tensor:
        """Return what the tuned tokens begin with, but for what the image adds, (R, W)."""
        values = start_values(self.context, self._width, self._classes, seed)
        return values.to(self.network.text_features.device)

    def _align(self, subject: Subject, aligner: Aligner) -> None:
        """Align the image encoder on the selected views, and look at them again."""
        chosen = self.spec.views.for_loss(subject.views)[self.selected]
        aligner.run(self.network.image_features, chosen)
        again = self._encode(torch.cat([subject.views[:1], chosen]))
        self._image, self._chosen = again[:1], again[1:]


def _zero_shot(model: Model) -> ZeroShot:
    """Return the network, if it compares images with texts, and cuts these up as CLIP does."""
    network = model.network
    tokenizer = getattr(network, "tokenizer", None)
    if not isinstance(network, ZeroShot) or not hasattr(tokenizer, "sot_token_id"):
        got = type(network).__name__ if tokenizer is None else type(tokenizer).__name__
        message = f"method tpt needs an image-text model with CLIP's tokenizer, got {got}"
        raise SpecError(message, hint="Set model.kind to open_clip, and model.name to ViT-B-16.")
    return network


def build(spec: TptSpec, models: Sequence[Model], task: Task) -> Tpt:
    """Build the method from its schema."""
    del task  # its answers are those of `classify`
    return Tpt(models[0], spec)
