"""What the channels of a network's layers give, sample by sample."""

from collections.abc import Iterator, Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from PIL import Image

from hardy.explain.drawing import GAP, GREY, GROUND, INK, canvas, fit, font, legible, tile
from hardy.explain.layers import find_maps, watched
from hardy.explain.pairs import Pairs
from hardy.explain.planes import levels
from hardy.explain.spec import FeatureMapsSpec
from hardy.models.state import bare

_FOLDER = "feature-maps"
_MAP, _BETWEEN, _IMAGE, _TOP, _LINE = 56, 4, 168, 44, 26
_COLOURS = "viridis"  # even in lightness, and safe for the colour-blind


def draw(spec: FeatureMapsSpec, pairs: Pairs) -> Iterator[tuple[str, Image.Image | str | float]]:
    """Yield a picture a sample, a table of the layers, and the share of silent maps as metrics.

    A map is silent where it has the same value everywhere, in each of the samples.

    Raises:
        SpecError: If a pattern fits no layer, or one gives no maps.
    """
    layers = find_maps(pairs.model, spec.layers)
    seen: dict[str, list[np.ndarray]] = {name: [] for name in layers}
    number = 0
    for items in pairs.answered(spec.samples):
        for item in items:  # one at a time: a layer's maps may be large
            images = pairs.images([item])
            with torch.no_grad(), pairs.autocast(), watched(bare(pairs.model.network), layers) as g:
                pairs.model(images)
            maps = {name: g[name][0].float().cpu().numpy() for name in layers}
            for name, each in maps.items():
                seen[name].append(_facts(each))
            path = f"{_FOLDER}/{number:02}.png"
            yield path, picture(levels(item.pixels[0]), maps, item.id, spec)
            number += 1
    table = _table(seen)
    yield f"{_FOLDER}/layers.csv", str(table.to_csv(index=False, lineterminator="\n"))
    for name, share in zip(table["layer"], table["silent"], strict=True):
        yield f"feature_maps/silent/{name}", float(share)


def _facts(maps: np.ndarray) -> np.ndarray:
    """Return mean, standard deviation, least, greatest, height and width of maps: (C, 6)."""
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    size = np.broadcast_to(maps.shape[1:], (len(maps), 2))
    own = np.stack([flat.mean(1), flat.std(1), flat.min(1), flat.max(1)], 1)
    return np.concatenate([own, size], 1)


def _table(seen: Mapping[str, Sequence[np.ndarray]]) -> pd.DataFrame:
    rows = []
    for name, each in seen.items():
        facts = np.stack(each)  # (samples, C, 6)
        mean, deviation, least, greatest = np.moveaxis(facts[..., :4], -1, 0)
        height, width = facts[0, 0, 4:].astype(int)
        rows.append(
            {
                "layer": name,
                "channels": facts.shape[1],
                "height": height,
                "width": width,
                "mean": mean.mean(),
                "deviation": deviation.mean(),
                "silent": (least == greatest).all(0).mean(),
                "samples": len(facts),
            }
        )
    return pd.DataFrame(rows)


def picture(
    image: np.ndarray, maps: Mapping[str, np.ndarray], title: str, spec: FeatureMapsSpec
) -> Image.Image:
    """Draw a sample and its maps, layer below layer.

    Each map has its own scale: dark is its least value, bright its greatest; one that has the same
    value everywhere is grey.

    Args:
        image: What the network saw (h, w, 3) of uint8.
        maps: Of each layer (C, h, w), by name.
        title: Headline.
        spec: How many maps, and how many in a row.
    """
    shown = {name: each[: spec.channels] for name, each in maps.items()}
    columns = min(spec.columns, max(len(each) for each in shown.values()))
    width = max(2 * GAP + columns * (_MAP + _BETWEEN) - _BETWEEN, 480)
    rows = {name: -(-len(each) // columns) for name, each in shown.items()}
    height = _TOP + _IMAGE + GAP
    height += sum(_LINE + n * (_MAP + _BETWEEN) + GAP // 2 for n in rows.values())
    drawn, pen = canvas(width, height)
    size = legible(14, width)
    headline, face = font(size + 3, bold=True), font(size)
    pen.text((GAP, 12), fit(title, headline, width - 2 * GAP), INK, headline)
    drawn.paste(tile(image, _IMAGE), (GAP, _TOP))
    left = 2 * GAP + _IMAGE
    words = (
        "what the network saw",
        "each map has its own scale:",
        "dark its least value,",
        "bright its greatest;",
        "grey: the same everywhere",
    )
    for line, text in enumerate(words):
        pen.text((left, _TOP + 4 + (size + 8) * line), text, GREY, face)
    top = _TOP + _IMAGE + GAP
    for name, own in shown.items():
        channels, down, across = maps[name].shape
        some = "" if channels == len(own) else f", the first {len(own)}"
        text = f"{name}: {channels} maps of {down} x {across}{some}"
        pen.text((GAP, top), fit(text, face, width - 2 * GAP), INK, face)
        for place, plane in enumerate(own):
            row, column = divmod(place, columns)
            x = GAP + column * (_MAP + _BETWEEN)
            drawn.paste(_coloured(plane), (x, top + _LINE + row * (_MAP + _BETWEEN)))
        top += _LINE + rows[name] * (_MAP + _BETWEEN) + GAP // 2
    return drawn


def _coloured(plane: np.ndarray) -> Image.Image:
    least, greatest = plane.min(), plane.max()
    if not greatest > least:
        return Image.new("RGB", (_MAP, _MAP), GROUND)
    share = (plane - least) / (greatest - least)
    levels_ = (255 * mpl.colormaps[_COLOURS](share)[..., :3]).round().astype(np.uint8)
    return tile(levels_, _MAP)
