"""How near the activations of clean and shifted samples are, layer by layer."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from hardy.explain.figure import BLUE, DPI, GREY, ORANGE, headline, render, short
from hardy.explain.layers import Layer, find_layers, taken, watched
from hardy.explain.pairs import Pairs
from hardy.explain.spec import SimilaritySpec
from hardy.measure.bootstrap import resampled
from hardy.models.state import bare

IDENTITY = "identity"
_FOLDER = "similarity"
# Of activations that are held at once; what is beyond it waits for another pass.
_BYTES = 2 << 30
_COLUMNS = 1 << 14


def draw(spec: SimilaritySpec, pairs: Pairs) -> Iterator[tuple[str, Image.Image | str | float]]:
    """Yield the table, the picture, and the numbers of each layer by their names as metrics.

    Raises:
        SpecError: If a pattern fits no layer, or a layer has not what is to be taken.
    """
    table = similarity(spec, pairs)
    yield f"{_FOLDER}/similarity.csv", str(table.to_csv(index=False, lineterminator="\n"))
    yield f"{_FOLDER}/similarity.png", picture(table, pairs.shift)
    for name in ("cosine", "cka"):
        for layer, value in zip(table["layer"], table[name], strict=True):
            if np.isfinite(value):
                yield f"similarity/{name}/{layer}", float(value)


def similarity(spec: SimilaritySpec, pairs: Pairs) -> pd.DataFrame:
    """Return a row a layer, in the network's order after the pixels themselves.

    Columns are `layer`, `tokens` (what is taken of it), `width` (numbers a sample), `cosine` (mean
    over samples, with `cosine_low` and `cosine_high`, 95 %), `cka` and `samples`.
    """
    layers = [
        Layer(IDENTITY, "all", _pixels(pairs)),
        *find_layers(pairs.model, spec.layers, spec.tokens),
    ]
    rows = []
    for group in _groups(layers, pairs.count(spec.samples)):
        clean, shifted = _activations(spec, pairs, group)
        for layer in group:
            one, other = clean.pop(layer.name), shifted.pop(layer.name)
            cosines = cosine(one, other)
            low, high = resampled(partial(_mean, cosines), len(cosines))
            rows.append(
                {
                    "layer": layer.name,
                    "tokens": layer.how,
                    "width": layer.width,
                    "cosine": cosines.mean(),
                    "cosine_low": low,
                    "cosine_high": high,
                    "cka": linear_cka(one, other),
                    "samples": len(cosines),
                }
            )
    return pd.DataFrame(rows)


def cosine(one: Tensor, other: Tensor) -> np.ndarray:
    """Return the cosine of each row of (N, D) with the same row of another, (N,), in float64."""
    found = []
    for a, b in zip(one, other, strict=True):
        x, y = a.double(), b.double()
        scale = (x.norm() * y.norm()).clamp_min(torch.finfo(torch.float64).tiny)
        found.append((x * y).sum() / scale)
    values: np.ndarray = torch.stack(found).numpy()
    return values


def linear_cka(one: Tensor, other: Tensor) -> float:
    """Return the linear CKA of (N, D) and (N, E), in [0, 1] (arXiv:1905.00414, equation 3).

    Computed from the N by N products of centred rows, as the layers' widths exceed the number of
    samples, in float64. NaN where one of them is the same for all samples.
    """
    k, l = _gram(one), _gram(other)  # noqa: E741 - the paper's letters
    scale = torch.linalg.matrix_norm(k) * torch.linalg.matrix_norm(l)
    return float((k * l).sum() / scale) if scale > 0 else float("nan")


def _mean(values: np.ndarray, places: np.ndarray) -> float:
    return float(values[places].mean())


def _gram(rows: Tensor) -> Tensor:
    """Return products (N, N) of rows (N, D) centred over the samples, in float64."""
    total = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for part in torch.split(rows, _COLUMNS, dim=1):
        exact = part.double()
        exact = exact - exact.mean(0)
        total += exact @ exact.T
    return total


def _pixels(pairs: Pairs) -> int:
    preprocess = pairs.model.preprocess
    return 3 * preprocess.height * preprocess.width


def _groups(layers: Sequence[Layer], count: int) -> Iterator[list[Layer]]:
    """Yield layers in order, as many at once as memory is for: float32, clean and shifted."""
    group: list[Layer] = []
    for layer in layers:
        if group and 8 * count * sum(each.width for each in (*group, layer)) > _BYTES:
            yield group
            group = []
        group.append(layer)
    if group:
        yield group


@torch.no_grad()
def _activations(
    spec: SimilaritySpec, pairs: Pairs, layers: Sequence[Layer]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return what is taken of layers, (N, D) float32 on the CPU by name: clean and shifted."""
    network, count = bare(pairs.model.network), pairs.count(spec.samples)
    both = tuple({each.name: torch.empty(count, each.width) for each in layers} for _ in range(2))
    inside = [layer for layer in layers if layer.name != IDENTITY]
    start = 0
    with watched(network, [layer.name for layer in inside]) as given:
        for pair in pairs.batches(spec.samples):
            for items, kept in zip(pair, both, strict=True):
                rows, images = slice(start, start + len(items)), pairs.images(items)
                if IDENTITY in kept:
                    kept[IDENTITY][rows] = images.flatten(1).cpu()
                if inside:
                    with pairs.autocast():
                        pairs.model(images)
                for layer in inside:
                    found = taken(network, given[layer.name], layer.how)
                    kept[layer.name][rows] = found.float().cpu()
            start += len(pair.clean)
    clean, shifted = both
    return clean, shifted


def picture(table: pd.DataFrame, shift: str) -> Image.Image:
    """Draw cosine and CKA over the layers.

    Args:
        table: As `similarity` gives it.
        shift: The shift's label.
    """
    count = len(table)
    figure = Figure(figsize=(max(8.0, 0.45 * count + 2), 4.8), dpi=DPI, layout="constrained")
    axes, places = figure.add_subplot(), np.arange(count)
    axes.fill_between(
        places, table["cosine_low"], table["cosine_high"], color=BLUE, alpha=0.2, linewidth=0
    )
    label = "cosine, mean over samples (band: 95 %)"
    axes.plot(places, table["cosine"], color=BLUE, marker="o", label=label)
    axes.plot(places, table["cka"], color=ORANGE, marker="D", linestyle="--", label="linear CKA")
    lowest = np.nanmin(table[["cosine_low", "cka"]].to_numpy(), initial=0.9)
    axes.set_ylim(lowest - 0.05 * (1 - lowest), 1 + 0.05 * (1 - lowest))
    axes.axhline(1, color=GREY, linewidth=1, linestyle=":")
    mixed = table["tokens"].iloc[1:].nunique() > 1
    names = [
        short(f"{name} (CLS)" if mixed and how == "cls" else name)
        for name, how in zip(table["layer"], table["tokens"], strict=True)
    ]
    axes.set_xticks(places, names, rotation=45, ha="right", fontsize=10, parse_math=False)
    axes.set_xlabel("layer, from the pixels on")
    axes.set_ylabel("similarity (1: the same)")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=10)
    headline(axes, f"Activations, clean against {shift} ({table['samples'].iloc[0]} samples)")
    return render(figure)
