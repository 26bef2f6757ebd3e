"""A CLIP text encoder run on prompts that hold learned tokens, exact and fast.

The encoder is causal and a prompt's feature is that of its end-of-text token (Radford et al. 2021,
arXiv:2103.00020, section 2.4). So nothing after that token matters, and what all prompts begin with
has the same keys and values in each of them. All prompts are laid end to end behind their common
beginning, without padding: linear layers see one matrix; attention sees the prompts of one length
at a time. In the last block only the end-of-text tokens go on.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hardy.core.errors import SpecError

Features = Callable[[Tensor], Tensor]
Module = TypeVar("Module", bound=nn.Module)

MEMORY = 4e9
"""Bytes that the graph of a pass over all prompts may take."""

# What autograd keeps a token and block, in multiples of the width, measured: 14 with GELU, 19 with
# QuickGELU.
_KEPT = 20


def learned(row: int) -> int:
    """Return what stands in a prompt for a row of the learned tokens."""
    return -1 - row


@dataclass(frozen=True)
class _Pack:
    """Prompts end to end behind their common beginning, the shorter ones first.

    Attributes:
        fixed: (N, W), positions and tokens that are not learned.
        slots: (M,), the places of learned tokens.
        rows: (M,), which learned tokens these are.
        shared: Tokens of the common beginning, which come first.
        groups: For each length behind the beginning, how many prompts have it, and it.
        ends: (B,), the places of the end-of-text tokens.
        order: (B,), which class each prompt is of.
    """

    fixed: Tensor
    slots: Tensor
    rows: Tensor
    shared: int
    groups: tuple[tuple[int, int], ...]
    ends: Tensor
    order: Tensor


class PromptEncoder:
    """Maps learned tokens (R, W) to unit-length features (C, D) of the prompts they stand in.

    It works for open_clip's own transformer with a causal mask and the feature at the end-of-text
    token, as in all of OpenAI's models and most of open_clip's. The network's tensors are used in
    place, and no gradient of them is asked for.

    Args:
        clip: A model of open_clip.
        prompts: For each class its tokens from start to end of text: indices of the vocabulary,
            or `learned(row)`.
        memory: Bytes that a graph may take; with more to keep, a backward pass goes through the
            prompts in parts and runs each once more.

    Raises:
        SpecError: If the text encoder is built otherwise.
    """

    def __init__(
        self, clip: nn.Module, prompts: Sequence[Sequence[int]], memory: float = MEMORY
    ) -> None:
        tower: Any = getattr(clip, "text", clip)
        _check(tower)
        self._blocks = [_frozen(block) for block in tower.transformer.resblocks]
        self._norm = _frozen(tower.ln_final)
        self._project = _projection(tower.text_projection)
        self._heads: int = self._blocks[0].attn.num_heads
        embedding, positions = tower.token_embedding.weight, tower.positional_embedding
        bytes_a_token = 4 * _KEPT * embedding.shape[1] * len(self._blocks)
        most = int(memory / bytes_a_token)
        self._packs = [
            _pack(prompts, part, embedding.detach(), positions.detach())
            for part in _parts(prompts, most)
        ]
        places = torch.cat([pack.order for pack in self._packs])
        self._places = places.argsort()

    def __call__(self, rows: Tensor) -> Tensor:
        """Return features (C, D) in float32, differentiable in the learned tokens (R, W)."""
        if len(self._packs) == 1 or not (torch.is_grad_enabled() and rows.requires_grad):
            return self._encode(rows)
        return self.remember(rows)(rows)

    def remember(self, rows: Tensor) -> Features:
        """Encode once for many backward passes.

        Args:
            rows: (R, W).

        Returns:
            A function of learned tokens that must equal these: it gives the features at no cost,
            and their gradient is one vector-Jacobian product, through a graph that is kept where
            memory allows it.
        """
        rows = rows.detach().clone().requires_grad_()
        with torch.set_grad_enabled(len(self._packs) == 1):
            value = self._encode(rows)
        pull = partial(_product, value, rows) if value.requires_grad else partial(self._pull, rows)

        def known(given: Tensor) -> Tensor:
            features: Tensor = _Known.apply(given, value, pull)
            return features

        return known

    def _encode(self, rows: Tensor) -> Tensor:
        features = [self._run(pack, rows) for pack in self._packs]
        return torch.cat(features)[self._places]

    def _pull(self, rows: Tensor, gradient: Tensor) -> Tensor:
        """Return the gradient (R, W) of features whose own is given, a part's graph at a time."""
        total = torch.zeros_like(rows)
        for pack in self._packs:
            with torch.enable_grad():
                features = self._run(pack, rows)
            total += torch.autograd.grad(features, rows, gradient[pack.order])[0]
        return total

    def _run(self, pack: _Pack, rows: Tensor) -> Tensor:
        """Return the features (B, D) of a pack's prompts, in its order."""
        x = pack.fixed.index_add(0, pack.slots, rows[pack.rows])
        *blocks, last = self._blocks
        for block in blocks:
            query, key, value = self._qkv(block, x)
            x = _rest(block, x, _attend(query, key, value, pack))
        query, key, value = self._qkv(last, x)
        ends = pack.ends
        x = _rest(last, x[ends], _attend(query[ends], key, value, pack))
        return functional.normalize(self._project(self._norm(x)).float(), dim=-1)

    def _qkv(self, block: Any, x: Tensor) -> tuple[Tensor, ...]:  # noqa: ANN401 - open_clip's
        """Return queries, keys and values (N, H, W / H) of tokens (N, W)."""
        attention = block.attn
        joint = functional.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
        return joint.view(len(x), 3, self._heads, -1).unbind(1)


def _attend(query: Tensor, key: Tensor, value: Tensor, pack: _Pack) -> Tensor:
    """Return what each query attends to, (Q, W).

    Args:
        query: (Q, H, d), of all tokens, or of the end-of-text tokens alone.
        key: (N, H, d).
        value: (N, H, d).
        pack: Says which tokens belong together.
    """
    everything = len(query) == len(key)  # there are more tokens than ends: start of text is one
    shared_k, shared_v = (tensor[: pack.shared].transpose(0, 1) for tensor in (key, value))
    found, begin, start = [], 0, pack.shared
    if everything:
        begin = pack.shared
        first = query[:begin].transpose(0, 1)
        own = functional.scaled_dot_product_attention(first, shared_k, shared_v, is_causal=True)
        found.append(own.transpose(0, 1))
    for count, length in pack.groups:
        asked = length if everything else 1
        here = slice(begin, begin + count * asked)
        there = slice(start, start + count * length)
        k, v = (
            torch.cat([common.expand(count, -1, -1, -1), _split(tensor[there], count)], dim=2)
            for tensor, common in ((key, shared_k), (value, shared_v))
        )
        mask = _causal(length, pack.shared, query) if everything else None
        own = functional.scaled_dot_product_attention(
            _split(query[here], count), k, v, attn_mask=mask
        )
        found.append(own.transpose(1, 2).flatten(0, 1))
        begin, start = here.stop, there.stop
    return torch.cat(found).flatten(1)


def _split(tensor: Tensor, count: int) -> Tensor:
    """Turn tokens (B · L, H, d) of B prompts into (B, H, L, d)."""
    return tensor.view(count, -1, *tensor.shape[1:]).transpose(1, 2)


def _causal(length: int, shared: int, like: Tensor) -> Tensor:
    """Return a mask (L, P + L) by which a token sees the beginning, itself, and those before."""
    mask = torch.ones(length, shared + length, dtype=torch.bool, device=like.device)
    return mask.tril(shared)


def _rest(block: Any, x: Tensor, attended: Tensor) -> Tensor:  # noqa: ANN401 - open_clip's
    """Return what a block makes of tokens (N, W) and what they attended to."""
    x = x + block.ls_1(block.attn.out_proj(attended))
    out: Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
    return out


class _Known(torch.autograd.Function):
    """A value that is known before, whose gradient another function gives."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, value: Tensor, pull: Features) -> Tensor:  # noqa: ANN401
        """Return the value."""
        ctx.pull = pull
        return value.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        """Return the gradient of the rows."""
        return ctx.pull(gradient), None, None


def _product(value: Tensor, rows: Tensor, gradient: Tensor) -> Tensor:
    """Return the vector-Jacobian product through a graph that is kept for the next one."""
    return torch.autograd.grad(value, rows, gradient, retain_graph=True)[0]


def _parts(prompts: Sequence[Sequence[int]], most: int) -> list[list[int]]:
    """Return the classes, those of shorter prompts first, in parts of at most so many tokens."""
    shared = _common(prompts)
    parts: list[list[int]] = [[]]
    tokens = shared
    for index in sorted(range(len(prompts)), key=lambda index: len(prompts[index])):
        own = len(prompts[index]) - shared
        if parts[-1] and tokens + own > most:
            parts.append([])
            tokens = shared
        parts[-1].append(index)
        tokens += own
    return parts


def _pack(
    prompts: Sequence[Sequence[int]], part: list[int], embedding: Tensor, positions: Tensor
) -> _Pack:
    texts = [prompts[index] for index in part]
    shared = _common(texts)
    # Every token of the pack with its position: the beginning once, then each prompt's own.
    tokens = [*texts[0][:shared], *(token for text in texts for token in text[shared:])]
    where = [*range(shared), *(place for text in texts for place in range(shared, len(text)))]
    device = embedding.device
    ids = torch.tensor(tokens, device=device)
    slots = (ids < 0).nonzero()[:, 0]
    fixed = embedding[ids.clamp(min=0)]
    fixed[slots] = 0
    fixed += positions[torch.tensor(where, device=device)]
    lengths = [len(text) - shared for text in texts]
    groups = tuple((len(list(group)), length) for length, group in groupby(lengths))
    ends = shared - 1 + torch.tensor(lengths, device=device).cumsum(0)
    return _Pack(
        fixed, slots, -1 - ids[slots], shared, groups, ends, torch.tensor(part, device=device)
    )


def _common(texts: Sequence[Sequence[int]]) -> int:
    """Return with how many tokens all texts begin, the last of a text left out."""
    least = min(len(text) for text in texts) - 1
    columns = zip(*(text[:least] for text in texts), strict=True)
    return next((place for place, column in enumerate(columns) if len(set(column)) > 1), least)


def _frozen(module: Module) -> Module:
    """Return a copy of a module that shares its tensors and asks for no gradient of them."""
    held: dict[int, Any] = {
        id(tensor): nn.Parameter(tensor.detach(), requires_grad=False)
        for tensor in module.parameters()
    }
    return copy.deepcopy(module, held)


def _projection(projection: nn.Module | Tensor | None) -> Features:
    if projection is None:
        return lambda x: x
    if isinstance(projection, nn.Module):
        return _frozen(projection)
    matrix = projection.detach()
    return lambda x: x @ matrix


def _check(tower: Any) -> None:  # noqa: ANN401 - open_clip's models share no type
    """Raise a SpecError if a text encoder is not the one that this file writes out."""
    blocks = getattr(getattr(tower, "transformer", None), "resblocks", ())
    plain = blocks and all(type(block).__name__ == "ResidualAttentionBlock" for block in blocks)
    pool = getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", None)
    causal = getattr(tower, "attn_mask", None) is not None
    extra = getattr(tower, "cls_emb", None) is not None
    if not plain or not causal or extra or pool not in ("argmax", "eos"):
        message = (
            "a prompt can be tuned before open_clip's causal text transformer only; "
            f"{type(tower).__name__} is built otherwise"
        )
        raise SpecError(message, hint="Choose a model.name such as ViT-B-16, ViT-L-14 or RN50.")
