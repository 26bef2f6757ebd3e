"""Test-time prompt tuning from the paper's equations, in float64 and without hardy's own code.

Embedded prompts at full length, positions, open_clip's own transformer under its causal mask, the
feature at the end-of-text token; every image encoded in every forward pass; AdamW by hand.
"""

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from hardy.methods.tpt.spec import TptSpec
from hardy.models.model import Model
from tests.contracts.zero_shot import NAMES, tokenizer

WIDTH = 16


@dataclass
class Plain:
    """The reference: what is tuned, by hand, before and after the name, as tensors of their own.

    Attributes:
        clip: A copy of the model in float64.
        before: Tuned tokens (n, W), or (C, n, W), before the name.
        after: The same, after it.
        stop: Whether a full stop follows.
        classes: (C, W), tuned tokens in place of the names.
    """

    clip: nn.Module
    before: Tensor
    after: Tensor
    stop: bool
    classes: Tensor | None = None
    tuned: list[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        given = (self.before, self.after, self.classes)
        for name, tensor in zip(("before", "after", "classes"), given, strict=True):
            if tensor is not None:
                setattr(self, name, tensor.double().detach().clone().requires_grad_())
        held = (self.before, self.after, self.classes)
        self.tuned = [tensor for tensor in held if tensor is not None and tensor.numel()]

    def embedded(self, ids: list[int]) -> Tensor:
        return self.clip.token_embedding(torch.tensor(ids, dtype=torch.long)).detach()

    def prompt(self, label: int) -> tuple[Tensor, int]:
        """Return one class's prompt (77, W), padded with token 0, and where its text ends."""
        words = tokenizer(77)
        name = self.embedded(words.encode(NAMES[label]))
        if self.classes is not None:
            name = self.classes[label : label + 1]
        own = [t[label] if t.dim() == 3 else t for t in (self.before, self.after)]
        ending = words.encode(".") * self.stop + [49407]
        parts = [self.embedded([49406]), own[0], name, own[1], self.embedded(ending)]
        text = torch.cat(parts)
        return torch.cat([text, self.embedded([0] * (77 - len(text)))]), len(text) - 1

    def texts(self) -> Tensor:
        prompts, ends = zip(*(self.prompt(label) for label in range(len(NAMES))), strict=True)
        clip = getattr(self.clip, "text", self.clip)
        x = torch.stack(prompts) + clip.positional_embedding
        x = clip.ln_final(clip.transformer(x, attn_mask=clip.attn_mask))
        x = x[torch.arange(len(NAMES)), torch.tensor(ends)] @ clip.text_projection
        return x / x.norm(dim=-1, keepdim=True)

    def images(self, views: Tensor) -> Tensor:
        features = self.clip.encode_image(views.double())
        return features / features.norm(dim=-1, keepdim=True)

    def logits(self, views: Tensor) -> Tensor:
        with torch.no_grad():
            images = self.images(views)
        return self.clip.logit_scale.exp() * images @ self.texts().T

    def align(self, views: Tensor, steps: int, lr: float) -> None:
        """Move the image encoder down 1 - mean cosine of these views' features by AdamW."""
        named = self.clip.visual.named_parameters()
        tuned = [tensor for name, tensor in named if "attnpool" not in name]
        step = by_hand(tuned, lr)
        for _ in range(steps):
            features = self.images(views)
            loss = 1 - torch.stack([a @ b for a in features for b in features]).mean()
            step(torch.autograd.grad(loss, tuned))


def by_hand(tensors: list[Tensor], lr: float, decay: float = 0.01):
    """AdamW from its paper (arXiv:1711.05101): decay, then moments without their bias."""
    state = [(torch.zeros_like(t), torch.zeros_like(t)) for t in tensors]
    count = 0

    @torch.no_grad()
    def step(gradients):
        nonlocal count
        count += 1
        for tensor, gradient, (mean, square) in zip(tensors, gradients, state, strict=True):
            mean.mul_(0.9).add_(0.1 * gradient)
            square.mul_(0.999).add_(0.001 * gradient**2)
            tensor.mul_(1 - lr * decay)
            unbiased = (square / (1 - 0.999**count)).sqrt() + 1e-8
            tensor.sub_(lr * (mean / (1 - 0.9**count)) / unbiased)

    return step


def entropy(p: Tensor) -> Tensor:
    return -(p * p.log()).sum(-1)


@dataclass
class Found:
    untuned: Tensor
    chosen: list[int]
    losses: list[float]
    gradient: Tensor
    tuned: Tensor


def follow(plain: Plain, views: Tensor, spec: TptSpec) -> Found:
    """Tune the reference's prompt: the equations of the paper, in their order."""
    with torch.no_grad():
        p = plain.logits(views).softmax(-1)
    chosen = entropy(p).argsort()[: int(len(views) * spec.select)]
    plain.align(views[chosen], spec.align_steps, spec.align_optimizer.lr)
    step, losses, first = by_hand(plain.tuned, 5e-3), [], None
    for _ in range(spec.steps):
        loss = entropy(plain.logits(views)[chosen].softmax(-1).mean(0))
        gradients = torch.autograd.grad(loss, plain.tuned)
        names = gradients[len(gradients) - (plain.classes is not None) :]
        context = torch.cat(gradients[: len(gradients) - len(names)], dim=-2)
        flat = torch.cat([context.reshape(-1, WIDTH), *names])
        first = flat if first is None else first
        losses.append(loss.item())
        step(gradients)
    with torch.no_grad():
        after = plain.logits(views[:1])[0]
    return Found(p[0].log(), sorted(chosen.tolist()), losses, first, after.log_softmax(-1))


def double(model: Model) -> nn.Module:
    return copy.deepcopy(model.network.clip).double()
