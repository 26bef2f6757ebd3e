"""Which codes of a network's codebook are used, what for, and how near they are to each other."""

from collections.abc import Iterator
from typing import Protocol, cast

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from hardy.explain.drawing import GAP, GREY, INK, canvas, font, legible, tile
from hardy.explain.figure import BLUE, DPI, ORANGE, headline, render
from hardy.explain.pairs import Pairs
from hardy.explain.planes import levels
from hardy.explain.spec import CodebookSpec
from hardy.models.segmenters.codebook import Codebook, Coded
from hardy.models.state import bare

_FOLDER = "codebook"
_ROWS, _PATCHES, _PATCH, _BETWEEN, _TOP, _TEXT = 12, 6, 56, 4, 84, 150


class WithCodebook(Coded, Protocol):
    """A network with a codebook that lies open."""

    codebook: Codebook


def coded(network: nn.Module) -> WithCodebook:
    """Return a network as one that has a codebook."""
    return cast("WithCodebook", bare(network))


def draw(spec: CodebookSpec, pairs: Pairs) -> Iterator[tuple[str, Image.Image | str | float]]:
    """Yield the table of codes, how they are used, the nearest ones, and the shares as metrics.

    `codebook/usage` is the share of codes that some place of some sample has, `codebook/perplexity`
    exp of the entropy of their shares in nats: as many codes, used alike, would have that entropy.
    """
    book = coded(pairs.model.network).codebook.codes.T.detach().double().cpu().numpy()
    counts, patches = _looked(spec, pairs, len(book))
    shares = counts / max(1, counts.sum())
    usage, spread = float((counts > 0).mean()), perplexity(counts)
    near, distance = nearest(book)
    table = pd.DataFrame(
        {
            "code": np.arange(len(book)),
            "count": counts,
            "share": shares,
            "nearest": near,
            "distance": distance,
        }
    )
    yield f"{_FOLDER}/codes.csv", str(table.to_csv(index=False, lineterminator="\n"))
    yield f"{_FOLDER}/usage.png", usage_picture(counts)
    yield f"{_FOLDER}/nearest.png", nearest_picture(table, patches)
    yield "codebook/usage", usage
    yield "codebook/perplexity", spread
    yield "codebook/places", float(counts.sum())


def perplexity(counts: np.ndarray) -> float:
    """Return exp of the entropy in nats of codes that were counted (K,)."""
    shares = counts[counts > 0] / max(1, counts.sum())
    return float(np.exp(-(shares * np.log(shares)).sum()))


def nearest(book: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return of each code (K, D) the nearest other one, and its Euclidean distance.

    A single code has none: -1, at an infinite distance.
    """
    squares = np.square(book).sum(1)
    between = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * book @ book.T, 0))
    np.fill_diagonal(between, np.inf)
    found = between.argmin(1)
    return (found if len(book) > 1 else found - 1), between.min(1)


@torch.no_grad()
def _looked(
    spec: CodebookSpec, pairs: Pairs, codes: int
) -> tuple[np.ndarray, dict[int, list[np.ndarray]]]:
    """Return how often each code is taken, and cut-outs of the first samples that take it.

    A cut-out is a code's place with one place about it; there is at most one of a sample.
    """
    network = coded(pairs.model.network)
    counts = np.zeros(codes, int)
    patches: dict[int, list[np.ndarray]] = {}
    for items in pairs.answered(spec.samples):
        with pairs.autocast():
            found = network.codes(pairs.images(items)).cpu().numpy()
        counts += np.bincount(found.ravel(), minlength=codes)
        for item, plane in zip(items, found, strict=True):
            pixels = levels(item.pixels[0])
            for code, first in zip(*np.unique(plane, return_index=True), strict=True):
                kept = patches.setdefault(int(code), [])
                if len(kept) < _PATCHES:
                    row, column = divmod(int(first), plane.shape[1])
                    kept.append(_cut(pixels, row, column, plane.shape))
    return counts, patches


def _cut(pixels: np.ndarray, row: int, column: int, places: tuple[int, ...]) -> np.ndarray:
    """Return the pixels of a place and those about it, (h, w, 3); at the sides there are fewer."""
    spans = []
    for at, count, length in zip((row, column), places, pixels.shape, strict=False):
        size = length / count
        first, last = max(0, round((at - 1) * size)), min(length, round((at + 2) * size))
        spans.append(slice(first, last))
    return pixels[tuple(spans)].copy()


def usage_picture(counts: np.ndarray) -> Image.Image:
    """Draw the codes' shares of all places, the most used first.

    Args:
        counts: How often each is taken (K,).
    """
    total, used = max(1, int(counts.sum())), int((counts > 0).sum())
    figure = Figure(figsize=(9, 4.4), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    shares = 100 * np.sort(counts)[::-1] / total
    axes.bar(np.arange(1, len(counts) + 1), shares, width=1.0, color=BLUE, linewidth=0)
    axes.axhline(100 / len(counts), color=ORANGE, linewidth=1, linestyle="--", label="all alike")
    axes.set(xlabel="codes, the most used first", ylabel="share of the places (%)")
    axes.set_xlim(0.5, len(counts) + 0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    text = f"{used} of {len(counts)} codes used ({100 * used / len(counts):.1f} %)"
    headline(axes, f"{text}, perplexity {perplexity(counts):.1f}, {total} places")
    return render(figure)


def nearest_picture(table: pd.DataFrame, patches: dict[int, list[np.ndarray]]) -> Image.Image:
    """Draw what the most used codes are taken for, and beside each the nearest other code.

    Args:
        table: Columns `code`, `count`, `share`, `nearest`, `distance`.
        patches: Cut-outs (h, w, 3) of uint8 by code.
    """
    used = table[table["count"] > 0]
    shown = used.sort_values("count", ascending=False, kind="stable").head(_ROWS)
    half = _TEXT + _PATCHES * (_PATCH + _BETWEEN)
    drawn, pen = canvas(2 * half + 3 * GAP, _TOP + len(shown) * (_PATCH + GAP))
    face = font(legible(14, drawn.width))
    pen.text((GAP, 12), "Codes and the nearest to them", INK, font(17, bold=True))
    words = (
        f"the {len(shown)} most used of {len(table)} codes: share of the places, and where samples "
        "have them (a place and one about it)"
    )
    pen.text((GAP, 36), words, GREY, face)
    for left, text in ((GAP, "code"), (2 * GAP + half, "nearest code in the codebook")):
        pen.text((left, _TOP - 24), text, GREY, face)
    shares, apart = table["share"].to_numpy(), table["distance"].to_numpy()
    beside = zip(shown["code"].tolist(), shown["nearest"].tolist(), strict=True)
    for row, (code, other) in enumerate(beside):
        top = _TOP + row * (_PATCH + GAP)
        halves = [(GAP, code, f"{100 * shares[code]:.2f} %")]
        if other >= 0:
            text = f"{100 * shares[other]:.2f} %, at {apart[code]:.3g}"
            halves.append((2 * GAP + half, other, text))
        for left, number, text in halves:
            pen.text((left, top + 8), f"code {number}", INK, face)
            pen.text((left, top + 28), text, GREY, face)
            own = patches.get(number, [])
            for place, patch in enumerate(own):
                x = left + _TEXT + place * (_PATCH + _BETWEEN)
                drawn.paste(tile(patch, _PATCH), (x, top))
            if not own:
                pen.text((left + _TEXT, top + 18), "never used", GREY, face)
    return drawn
