"""What is tuned in a prompt, how it begins, and where it stands.

A prompt is [start] [context before] [class] [context after] [.] [end]. Every kind of context comes
down to the values that the tuned tokens begin with and how many of them stand before the class.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hardy.core.errors import SpecError, WeightsError
from hardy.core.seeding import torch_generator
from hardy.methods.tpt.checkpoint import read_checkpoint
from hardy.methods.tpt.spec import CLASS, Cocoop, ContextSpec, Coop, Random, Words
from hardy.models.clip.text import learned

STD = 0.02
"""Of the noise that tokens begin with (CoOp, arXiv:2109.01134)."""


@dataclass(frozen=True)
class Context:
    """The tuned tokens around a class's name.

    Attributes:
        count: n, tokens of the context.
        before: How many of them stand before the class.
        stop: What follows that is not tuned: a full stop, or nothing.
        values: What they begin with, (n, W) or (C, n, W); None for noise, which needs a seed.
        shift: What unit-length features (1, D) of the image add to each token, (1, W); None where
            all images begin alike.
    """

    count: int
    before: int
    stop: str
    values: Tensor | None = None
    shift: Callable[[Tensor], Tensor] | None = None


def read_context(spec: ContextSpec, encode: Any, embedding: Tensor, classes: int) -> Context:  # noqa: ANN401
    """Return a schema's context.

    Args:
        spec: The schema.
        encode: Maps a text to a list of tokens, without start and end of text.
        embedding: What the encoder's tokens stand for, (vocabulary, W).
        classes: Number of classes.

    Raises:
        WeightsError: If a checkpoint is absent, or does not fit.
    """
    if isinstance(spec, Words):
        return _words(spec, encode, embedding)
    if isinstance(spec, Random):
        return Context(spec.tokens, _before(spec, spec.tokens), stop=".")
    width = embedding.shape[1]
    held = read_checkpoint(spec.checkpoint, width, classes, meta=isinstance(spec, Cocoop))
    held = {name: tensor.to(embedding.device) for name, tensor in held.items()}
    values = held["ctx"]
    count = values.shape[-2]
    shift = partial(_meta_net, held) if isinstance(spec, Cocoop) else None
    return Context(count, _before(spec, count), stop=".", values=values, shift=shift)


def _words(spec: Words, encode: Any, embedding: Tensor) -> Context:  # noqa: ANN401 - a tokenizer's
    left, right = spec.prompt.split(CLASS)
    before, after = encode(left), encode(right)
    stop = ""
    if after[-1:] == encode("."):
        after = after[:-1]
        stop = "." if after else right
    tuned = before + after
    values = embedding[torch.tensor(tuned, device=embedding.device)]
    return Context(len(tuned), len(before), stop, values)


def _before(spec: Random | Coop | Cocoop, count: int) -> int:
    return {"end": count, "middle": count // 2, "front": 0}[spec.position]


def _meta_net(held: dict[str, Tensor], image: Tensor) -> Tensor:
    """Return linear(relu(linear(f))) (1, W) of an image's features f (1, D)."""
    for name in ("linear1", "linear2"):
        image = image if name == "linear1" else image.relu()
        weight, bias = held[f"meta_net.{name}.weight"], held[f"meta_net.{name}.bias"]
        if weight.shape[1] != image.shape[1]:
            message = f"meta_net.{name} takes {weight.shape[1]} features, not {image.shape[1]}"
            raise WeightsError(message, hint="Choose the model that the context was trained with.")
        image = functional.linear(image, weight, bias)
    return image


def prompt_tokens(
    context: Context,
    names: Sequence[str],
    tokenizer: Any,  # noqa: ANN401 - open_clip's
    length: int,
    *,
    learn_classes: bool,
) -> list[list[int]]:
    """Return each class's prompt, the learned tokens as `learned(row)`.

    Rows are the context's, class after class where each has its own, then one a class where
    classes are learned.

    Args:
        context: The tuned tokens.
        names: The classes' texts.
        tokenizer: open_clip's.
        length: Most tokens that the encoder takes.
        learn_classes: Whether a learned token stands for the name.

    Raises:
        SpecError: If a prompt is too long.
    """
    apart = context.values is not None and context.values.dim() == 3
    shared = context.count * (len(names) if apart else 1)
    prompts = []
    for index, name in enumerate(names):
        first = context.count * index * apart
        tuned = [learned(first + place) for place in range(context.count)]
        before, after = tuned[: context.before], tuned[context.before :]
        if learn_classes:
            rest = [learned(shared + index), *after, *tokenizer.encode(context.stop)]
        elif after:
            rest = [*tokenizer.encode(name), *after, *tokenizer.encode(context.stop)]
        else:  # read as one, for `)` and `.` are one token
            rest = tokenizer.encode(name + context.stop)
        prompts.append([tokenizer.sot_token_id, *before, *rest, tokenizer.eot_token_id])
    _check_length(context, names, prompts, length)
    return prompts


def _check_length(
    context: Context, names: Sequence[str], prompts: list[list[int]], length: int
) -> None:
    longest = max(range(len(names)), key=lambda index: len(prompts[index]))
    tokens = len(prompts[longest])
    if tokens > length:
        around = 2 + bool(context.stop)
        message = (
            f"method.context: the prompt of class {names[longest]!r} has {tokens} tokens "
            f"({context.count} of the context, {tokens - context.count - around} of the class, "
            f"{around} around them), the model takes {length}"
        )
        raise SpecError(message, hint="Shorten the context, or the class's name.")


def start_values(context: Context, width: int, classes: int, seed: int) -> Tensor:
    """Return what all learned tokens begin with, (R, W), but for what an image adds.

    Args:
        context: The tuned tokens.
        width: W.
        classes: How many classes have a learned token.
        seed: The experiment's.
    """
    values = context.values
    if values is None:
        values = _noise(context.count, width, seed, "context")
    names = _noise(classes, width, seed, "classes")
    return torch.cat([values.reshape(-1, width), names.to(values)])


def _noise(count: int, width: int, seed: int, name: str) -> Tensor:
    return STD * torch.randn(count, width, generator=torch_generator(seed, "tpt", name))
